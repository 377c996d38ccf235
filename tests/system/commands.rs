//! What the commands beside `pipas up` print, for people and for programs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Up, eventually, pipas};

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_and_the_status_are_told_to_people_and_to_programs() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--compact-every", "2"]).await?;
    let demo = pipas(data.path(), &["demo", "--conversations", "20", "--rows", "3"])?;
    assert!(demo.status.success(), "{}", stderr(&demo));
    let printed = stdout(&demo);
    assert!(printed.starts_with("courier_chat.customer_courier_conversations, first 3 rows:\n"), "{printed}");
    assert!(printed.contains("┆ city_code ┆"), "{printed}");
    let rows = printed.lines().filter(|line| line.starts_with('│')).count();
    assert_eq!(rows, 1 + 3, "a header and the rows: {printed}");
    let [account, told] = printed.lines().rev().take(2).collect::<Vec<_>>()[..] else { panic!("{printed}") };
    let numbers = |line: &str| -> Vec<u64> { line.split(' ').filter_map(|word| word.parse().ok()).collect() };
    let [conversations, lines, twice] = numbers(&told.replace(',', ""))[..] else { panic!("{told}") };
    let [received, written, duplicate, dead_lettered] = numbers(account)[..] else { panic!("{account}") };
    assert_eq!((conversations, received), (20, lines + twice), "{printed}");
    assert_eq!((written, duplicate, dead_lettered), (lines, twice, 0), "{printed}");
    assert!(
        account.starts_with(&format!("received {received} = written {written} + duplicate {duplicate}")),
        "{account}"
    );

    eventually(Duration::from_secs(60), async || {
        let status = pipas(data.path(), &["status", "--json"])?;
        let status: Value = serde_json::from_slice(&status.stdout)?;
        let chat = status.as_array().into_iter().flatten().find(|found| found["stream"] == "courier-chat");
        let chat = chat.ok_or_else(|| anyhow::anyhow!("{status}"))?;
        for field in ["received", "published", "delivered"] {
            anyhow::ensure!(chat[field] == json!(received), "{field}: {chat}");
        }
        anyhow::ensure!(chat["backlog"] == 0 && chat["oldest_unacked_seconds"].is_null(), "{chat}");
        let (p50, p99) = (chat["freshness_p50_ms"].as_f64(), chat["freshness_p99_ms"].as_f64());
        anyhow::ensure!(p50 > Some(0.0) && p99 >= p50 && p99 < Some(60_000.0), "{chat}");
        let (objects, bytes) = (chat["archive_objects"].as_u64(), chat["archive_bytes"].as_u64());
        // An event of the demo has some hundred bytes, and Avro's codec leaves a part of them.
        anyhow::ensure!(objects > Some(0) && bytes > Some(lines * 20) && bytes < Some(lines * 2_000), "{chat}");
        Ok(())
    })
    .await?;
    let status = stdout(&pipas(data.path(), &["status"])?);
    for column in ["received", "published", "oldest unacked", "fresh p50", "fresh p99", "archive"] {
        assert!(status.contains(column), "{column}: {status}");
    }
    up.interrupt().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_is_summed_up_for_people() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--ephemeral"]).await?;
    let file = data.path().join("events.ndjson");
    let name = file.display().to_string();
    let order = |id: u64| json!({ "orderId": id, "cityCode": "ROM" }).to_string();

    // A bad line, one of more than a message, and one of more than any request: each by its number, and the rest goes on.
    let long = |bytes: usize| format!("{{\"orderId\": 5, \"cityCode\": \"{}\"}}", "x".repeat(bytes));
    let lines = [order(1), "nope".to_owned(), order(2), long(11_000_000), long(40 << 20), order(3)];
    std::fs::write(&file, lines.join("\n"))?;
    let sent = pipas(data.path(), &["send", &name, "--stream", "courier-chat"])?;
    assert!(!sent.status.success(), "refused lines are an error");
    let printed = stdout(&sent);
    let told: Vec<&str> = printed.lines().collect();
    assert_eq!(told.len(), 4, "{printed} {}", stderr(&sent));
    assert!(told[0].starts_with("line 2: expected"), "{printed}");
    assert!(told[1].starts_with("line 4: a message holds at most 10000000 bytes"), "{printed}");
    assert_eq!(
        told[2],
        format!("line 5: a line holds less than 33554432 bytes, found {}", (40 << 20) + 31),
        "{printed}"
    );
    assert!(told[3].starts_with("accepted 3, refused 3, in ") && told[3].ends_with(" events/s)"), "{printed}");

    // At a rate: the twentieth event has its turn 0.95 s after the first.
    std::fs::write(&file, (0..20).map(order).collect::<Vec<_>>().join("\n"))?;
    let started = Instant::now();
    let sent = pipas(data.path(), &["send", &name, "--stream", "courier-chat", "--batch", "1", "--rate", "20"])?;
    assert!(sent.status.success() && started.elapsed() >= Duration::from_millis(950), "{:?}", started.elapsed());
    assert!(stdout(&sent).starts_with("accepted 20, refused 0, in "), "{}", stdout(&sent));

    // Nothing to send is no reason to pass over that the stream does not exist.
    for (text, accepted) in [("", 0), ("\n\n", 0), (order(1).as_str(), 1)] {
        std::fs::write(&file, text)?;
        let sent = pipas(data.path(), &["send", &name, "--stream", "nope"])?;
        assert!(
            !sent.status.success() && stderr(&sent).contains("no stream is named `nope`"),
            "{text:?}: {}",
            stderr(&sent)
        );
        let sent = pipas(data.path(), &["send", &name, "--stream", "courier-chat"])?;
        assert!(sent.status.success(), "{text:?}: {}", stderr(&sent));
        assert!(stdout(&sent).starts_with(&format!("accepted {accepted}, refused 0")), "{text:?}: {}", stdout(&sent));
    }
    up.interrupt().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_printed_in_every_format() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--ephemeral"]).await?;
    let sql = r#"SELECT NUMERIC '1.50' AS price, b'\x00\xff' AS raw, JSON '{"b": [1, 9007199254740993], "a": null}' AS more,
        STRUCT(1 AS x, 'y' AS s, [TRUE] AS l) AS pair, [1, 2] AS list, [STRUCT(TIMESTAMP '9999-12-31 23:59:59+00' AS at)] AS last,
        TIMESTAMP '0001-01-01 00:00:00+00' AS first, DATETIME '9999-12-31 23:59:59.999999' AS local, DATE '0001-01-01' AS day,
        -9223372036854775808 AS least, CAST('-inf' AS FLOAT64) AS below, 1.5e300 AS large,
        BIGNUMERIC '-99999999999999999999999999999999999999' AS wide, CAST(NULL AS STRUCT<x INT64>) AS nothing, ARRAY<INT64>[] AS none"#;
    let line = concat!(
        r#"{"price":"1.5","raw":"AP8=","more":{"a":null,"b":[1,9007199254740993]},"pair":{"x":1,"s":"y","l":[true]},"#,
        r#""list":[1,2],"last":[{"at":"9999-12-31T23:59:59Z"}],"first":"0001-01-01T00:00:00Z","#,
        r#""local":"9999-12-31T23:59:59.999999","day":"0001-01-01","least":-9223372036854775808,"below":"-Infinity","#,
        r#""large":1.5e+300,"wide":"-99999999999999999999999999999999999999","nothing":null,"none":[]}"#,
    );
    let printed = |format: &str| -> anyhow::Result<String> {
        let output = pipas(data.path(), &["query", sql, "--format", format])?;
        anyhow::ensure!(output.status.success(), "{}", stderr(&output));
        Ok(stdout(&output))
    };
    assert_eq!(printed("ndjson")?, format!("{line}\n"));
    let json: Value = serde_json::from_str(&printed("json")?)?;
    assert_eq!(json, json!([serde_json::from_str::<Value>(line)?]));
    let csv = printed("csv")?;
    assert!(csv.contains("9999-12-31T23:59:59Z") && csv.contains(",0001-01-01 00:00:00 UTC,"), "{csv}");
    let last = "SELECT TIMESTAMP '9999-12-31 23:59:59.999999+00' AS last";
    let table = stdout(&pipas(data.path(), &["query", last])?);
    assert!(table.contains("│ 9999-12-31 23:59:59.999999 UTC │"), "{table}");
    up.interrupt().await
}
