//! examples/search: beacons of a page become masked rows, and reach a second subscriber as they were sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use jiff::Timestamp;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tests::{Example, eventually, pipas};

const PATIENCE: Duration = Duration::from_secs(90);
const PAGE: &str = "https://www.example.com";
const OTHER_PAGE: &str = "https://www.example.net";

struct Search {
    example: Example,
    http: reqwest::Client,
}

impl Search {
    async fn start() -> anyhow::Result<Self> {
        Ok(Self { example: Example::start("search", &[]).await?, http: reqwest::Client::new() })
    }

    async fn shows(&self, sql: &str, expected: &Value) -> anyhow::Result<()> {
        self.example.shows(sql, expected, PATIENCE).await
    }

    /// What a browser asks before it posts JSON for a page of `origin`.
    async fn preflight(&self, origin: &str) -> anyhow::Result<Response> {
        let request = self.http.request(Method::OPTIONS, self.example.events_of("search"));
        let request = request.header("origin", origin).header("access-control-request-method", "POST");
        Ok(request.header("access-control-request-headers", "content-type").send().await?)
    }

    /// What `navigator.sendBeacon` of a page of `origin` sends: a string as text/plain, a Blob as what it says it is.
    async fn beacon(&self, origin: &str, content_type: &'static str, event: &str) -> anyhow::Result<Response> {
        let request = self.http.post(self.example.events_of("search"));
        let request = request.header("origin", origin).header("content-type", content_type);
        Ok(request.body(event.to_owned()).send().await?)
    }

    /// The hash of each value, by Python's HMAC and the key that the instance made.
    fn hashes(&self, values: &BTreeSet<String>) -> anyhow::Result<BTreeMap<String, String>> {
        const SCRIPT: &str = "import hmac, json, sys; key = sys.argv[1].encode(); \
            print(json.dumps({v: hmac.new(key, v.encode(), 'sha256').hexdigest() for v in json.loads(sys.argv[2])}))";
        let key = fs::read_to_string(self.example.data.path().join("mask-key"))?;
        let output =
            Command::new("python3").args(["-c", SCRIPT, key.trim(), &serde_json::to_string(values)?]).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The example's subscriber on `search-live`, which ends after so many events.
struct Subscriber {
    child: Child,
    printed: PathBuf,
}

impl Subscriber {
    fn start(search: &Search, count: usize) -> anyhow::Result<Self> {
        let python =
            std::env::var_os("PIPAS_TEST_PYTHON").context("PIPAS_TEST_PYTHON names no Python; scripts/test sets it")?;
        let pubsub = &search.example.endpoints.pubsub;
        let printed = search.example.data.path().join("printed");
        let mut command = Command::new(python);
        command.arg(Example::folder("search").join("subscribe.py")).args([
            "pipas-local",
            "search-live",
            &count.to_string(),
        ]);
        command.env("PUBSUB_EMULATOR_HOST", pubsub.trim_start_matches("http://"));
        let child = command.stdin(Stdio::null()).stdout(fs::File::create(&printed)?).spawn()?;
        Ok(Self { child, printed })
    }

    /// The events' data by their ids, once it has ended.
    async fn got(mut self) -> anyhow::Result<BTreeMap<String, String>> {
        let status = eventually(PATIENCE, || {
            let status = self.child.try_wait();
            async { status?.context("the subscriber still waits") }
        });
        let status = status.await?;
        anyhow::ensure!(status.success(), "the subscriber ended with {status}");
        let printed = fs::read_to_string(&self.printed)?;
        let event = |line: &str| line.split_once(' ').map(|(id, data)| (id.to_owned(), data.to_owned()));
        printed.lines().map(|line| event(line).with_context(|| line.to_owned())).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn samples(name: &str) -> anyhow::Result<Vec<String>> {
    let file: PathBuf = Example::folder("search").join("samples/search").join(name);
    let text = fs::read_to_string(&file)?;
    // A file with one event may have it on several lines.
    let events = match serde_json::from_str::<Value>(&text) {
        Ok(_) => vec![text],
        Err(_) => text.lines().map(str::to_owned).collect(),
    };
    Ok(events)
}

/// An event as it may be seen: what is masked in any table of the stream is masked.
fn masked(event: &Value, hashes: &BTreeMap<String, String>) -> Value {
    let mut event = event.clone();
    for (name, value) in event.as_object_mut().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        *value = match name.as_str() {
            "session_id" | "user_email" => json!(hashes[text]),
            "user_agent" => Value::Null,
            "ip_address" if text.starts_with("2001:db8:17:") => json!("2001:db8:17::"),
            "ip_address" => json!(text.rsplit_once('.').map(|(network, _)| format!("{network}.0"))),
            _ => continue,
        };
    }
    event
}

/// Rows of `columns`, and in `extra` whatever else the events say, by event id.
fn rows(events: &[Value], columns: &[&str], hashes: &BTreeMap<String, String>) -> Value {
    let row = |event: &Value| {
        let event = masked(event, hashes);
        let mut row: serde_json::Map<String, Value> = columns
            .iter()
            .map(|column| ((*column).to_owned(), event.get(*column).cloned().unwrap_or_default()))
            .collect();
        row.insert("occurred_at".into(), json!(time(&event).to_string()));
        let rest = event.as_object().into_iter().flatten().filter(|(name, _)| !columns.contains(&name.as_str()));
        let rest: serde_json::Map<String, Value> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
        row.insert("extra".into(), if rest.is_empty() { Value::Null } else { rest.into() });
        (event["event_id"].to_string(), Value::from(row))
    };
    events.iter().map(row).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn of_type<'e>(events: &'e [Value], event_type: &'e str) -> impl Iterator<Item = &'e Value> {
    events.iter().filter(move |event| event["event_type"] == event_type)
}

fn time(event: &Value) -> Timestamp {
    event["occurred_at"].as_str().and_then(|time| time.parse().ok()).expect("a time")
}

fn share(part: usize, whole: usize) -> f64 {
    (part as f64 / whole as f64 * 1e3).round() / 1e3
}

/// The searches by what was searched for, as the views write it.
fn by_query(events: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    let mut queries: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for search in of_type(events, "submit") {
        let query = search["query"].as_str().expect("a query").trim().to_lowercase();
        queries.entry(query).or_default().push(search);
    }
    queries
}

fn zero_result_searches(events: &[Value]) -> Value {
    let row = |(query, searches): (String, Vec<&Value>)| {
        let nothing: Vec<&&Value> = searches.iter().filter(|search| search["result_count"] == 0).collect();
        let last = nothing.iter().map(|search| time(search)).max()?;
        Some(json!({ "query": query, "searches": searches.len(), "without_results": nothing.len(),
            "share_without_results": share(nothing.len(), searches.len()), "last_without_results": last.to_string() }))
    };
    by_query(events).into_iter().filter_map(row).collect()
}

fn click_through(events: &[Value]) -> Value {
    let mut first: BTreeMap<&str, (Timestamp, i64)> = BTreeMap::new();
    for choice in of_type(events, "select") {
        let found = (time(choice), choice["position"].as_i64().expect("a position"));
        let known = first.entry(choice["search_id"].as_str().expect("a search")).or_insert(found);
        *known = (*known).min(found);
    }
    let row = |(query, searches): (String, Vec<&Value>)| {
        let found: Vec<&Value> = searches.into_iter().filter(|search| search["result_count"] != 0).collect();
        let positions: Vec<i64> = found
            .iter()
            .filter_map(|search| first.get(search["search_id"].as_str()?))
            .map(|(_, position)| *position)
            .collect();
        let mean = positions.iter().sum::<i64>() as f64 / positions.len() as f64;
        (!found.is_empty()).then(|| {
            json!({ "query": query, "searches": found.len(), "with_choice": positions.len(),
                "click_through": share(positions.len(), found.len()),
                "mean_first_position": (!positions.is_empty()).then(|| (mean * 1e2).round() / 1e2) })
        })
    };
    by_query(events).into_iter().filter_map(row).collect()
}

fn top_queries(events: &[Value]) -> Value {
    let mut days: BTreeMap<&str, BTreeMap<String, Vec<&Value>>> = BTreeMap::new();
    for (query, searches) in by_query(events) {
        for search in searches {
            let day = search["occurred_at"].as_str().and_then(|time| time.get(..10)).expect("a day");
            days.entry(day).or_default().entry(query.clone()).or_default().push(search);
        }
    }
    let of_day = |(day, queries): (&str, BTreeMap<String, Vec<&Value>>)| {
        let counted = queries.into_iter().map(|(query, searches)| {
            let visits: BTreeSet<_> = searches.iter().map(|search| search["session_id"].as_str()).collect();
            (query, searches.len(), visits.len())
        });
        let counted: Vec<_> = counted.collect();
        let row = |(query, searches, visits): &(String, usize, usize)| {
            let place = 1 + counted.iter().filter(|other| (other.1, other.2) > (*searches, *visits)).count();
            json!({ "day": day, "place": place, "query": query, "searches": searches, "visits": visits })
        };
        counted.iter().map(row).collect::<Vec<_>>()
    };
    days.into_iter().flat_map(of_day).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_kept_out() -> anyhow::Result<()> {
    let search = Search::start().await?;
    for origin in [PAGE, "http://localhost:8000"] {
        let answer = search.preflight(origin).await?;
        assert_eq!(answer.status(), 204, "{origin}");
        let told = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(told("access-control-allow-origin").as_deref(), Some(origin));
        assert_eq!(told("access-control-allow-methods").as_deref(), Some("POST"));
        assert_eq!(told("access-control-allow-headers").as_deref(), Some("content-type"));
        assert_eq!(told("access-control-allow-credentials").as_deref(), Some("true"), "beacons carry them");
        assert_eq!(told("access-control-max-age").as_deref(), Some("7200"));
    }
    let denied = search.preflight(OTHER_PAGE).await?;
    assert_eq!(denied.status(), 403);
    assert!(!denied.headers().contains_key("access-control-allow-origin"));

    // A simple request is not asked for beforehand: it is refused when it comes, whatever it carries.
    let event = &samples("one-search.ndjson")?[2];
    for origin in [OTHER_PAGE, "null", "https://www.example.com.evil.example"] {
        let refused = search.beacon(origin, "text/plain;charset=UTF-8", event).await?;
        assert_eq!(refused.status(), 403, "{origin}");
        assert_eq!(refused.json::<Value>().await?["type"], json!("urn:pipas:problem:origin-not-allowed"));
    }
    // What is no event is told to a listed page.
    for (body, detail) in
        [("{\"event_id\": ", "found the end of the data"), (samples("refused/no-id.json")?[0].as_str(), "/event_id")]
    {
        let refused = search.beacon(PAGE, "text/plain;charset=UTF-8", body).await?;
        assert_eq!(refused.status(), 400);
        assert_eq!(refused.headers()["access-control-allow-origin"], PAGE);
        let problem = refused.text().await?;
        assert!(problem.contains(detail), "{problem}");
    }
    assert_eq!(search.beacon(PAGE, "text/csv", event).await?.status(), 415);

    let accepted = search.beacon(PAGE, "text/plain;charset=UTF-8", event).await?;
    assert_eq!(accepted.status(), 200);
    assert_eq!(accepted.headers()["access-control-allow-origin"], PAGE);
    search.shows("SELECT COUNT(*) AS n FROM web.searches", &json!([{ "n": 1 }])).await?;
    let status: Value = search.example.printed(&["status"])?;
    assert_eq!(status[0]["received"], json!(1), "nothing but what was accepted is on the topic: {status}");
    search.example.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn beacons_become_masked_rows_and_reach_a_second_subscriber() -> anyhow::Result<()> {
    let search = Search::start().await?;
    let beacons = [samples("one-search.ndjson")?, samples("nothing-found.json")?].concat();
    let bad =
        [samples("refused/unknown-type.json")?, samples("refused/checks.ndjson")?, samples("refused/values.ndjson")?];
    let mut bad = bad.concat();
    // One that would show everything if nobody looked.
    bad.push(beacons[2].replace("5f0c6a1e-3", "r-0").replace("\"result_count\": 42", "\"result_count\": -42"));
    let feed = ["feed", "search", "--rate", "100", "--duration", "3s", "--seed", "3"];
    let fed = String::from_utf8(pipas(search.example.data.path(), &[feed.as_slice(), &["--print"]].concat())?.stdout)?;
    let fed: Vec<String> = fed.lines().map(str::to_owned).collect();
    let sent: BTreeMap<String, String> = [beacons.as_slice(), &bad, &fed]
        .concat()
        .into_iter()
        .map(|text| {
            let event: Value = serde_json::from_str(&text)?;
            // The printed lines have no line breaks, and neither has what is compared with them.
            Ok((event["event_id"].as_str().unwrap_or_default().to_owned(), event.to_string()))
        })
        .collect::<anyhow::Result<_>>()?;

    let subscriber = Subscriber::start(&search, sent.len())?;
    for (at, event) in beacons.iter().chain(&bad).enumerate() {
        let content_type = ["text/plain;charset=UTF-8", "application/json"][at % 2];
        let event = serde_json::from_str::<Value>(event)?.to_string();
        assert_eq!(search.beacon(PAGE, content_type, &event).await?.status(), 200, "{event}");
    }
    let report: Value = search.example.printed(&feed)?;
    assert_eq!((&report["accepted"], &report["refused"]), (&json!(fed.len()), &json!(0)), "{report}");

    // Each event once, as it was sent, the bad ones too.
    let got = subscriber.got().await?;
    assert_eq!(got.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
    for (id, data) in &got {
        assert_eq!(serde_json::from_str::<Value>(data)?, serde_json::from_str::<Value>(&sent[id])?, "{id}");
    }

    let good: Vec<Value> =
        beacons.iter().chain(&fed).map(|event| serde_json::from_str(event)).collect::<Result<_, _>>()?;
    let wrong: Vec<Value> = bad.iter().map(|event| serde_json::from_str(event)).collect::<Result<_, _>>()?;
    let hidden =
        |name: &'static str| good.iter().chain(&wrong).filter_map(move |event| event[name].as_str()).map(str::to_owned);
    let hashes = search.hashes(&hidden("session_id").chain(hidden("user_email")).collect())?;

    // Every row, reckoned from what was sent.
    let identity = ["event_id", "event_type", "search_id", "session_id", "page", "query", "occurred_at"];
    let searches = [identity.as_slice(), &["user_email", "ip_address", "user_agent", "result_count"]].concat();
    let interactions = [identity.as_slice(), &["position", "result_url"]].concat();
    let (submitted, others): (Vec<Value>, Vec<Value>) =
        good.iter().cloned().partition(|event| event["event_type"] == "submit");
    assert!(submitted.len() > 20 && others.len() > 20, "{} and {}", submitted.len(), others.len());
    for (table, columns, events) in
        [("searches", &searches, &submitted), ("search_interactions", &interactions, &others)]
    {
        let sql = format!("SELECT {}, extra FROM web.{table} ORDER BY event_id", columns.join(", "));
        search.shows(&sql, &rows(events, columns, &hashes)).await?;
    }
    search.shows("SELECT * FROM web.top_queries_by_day ORDER BY day, query", &top_queries(&good)).await?;
    search.shows("SELECT * FROM web.zero_result_searches ORDER BY query", &zero_result_searches(&good)).await?;
    search.shows("SELECT * FROM web.click_through ORDER BY query", &click_through(&good)).await?;

    // What cannot be a row is kept, with what is wrong and without what is masked.
    let letters = "SELECT event_id, reason, pointer FROM pipas_ops.dead_letters ORDER BY event_id";
    let expected = [
        ("r-0", "check_failed", Some("/result_count")),
        ("r-1", "no_route", None),
        ("r-2", "check_failed", Some("/query")),
        ("r-3", "check_failed", Some("/result_count")),
        ("r-4", "check_failed", Some("/page")),
        ("r-5", "check_failed", Some("/position")),
        ("r-6", "missing_required", Some("/query")),
        ("r-7", "type_mismatch", Some("/result_count")),
        ("r-8", "type_mismatch", Some("/ip_address")),
        ("r-9", "type_mismatch", Some("/occurred_at")),
    ];
    let letter = |(id, reason, pointer)| json!({ "event_id": id, "reason": reason, "pointer": pointer });
    search.shows(letters, &expected.map(letter).into()).await?;
    let payloads = search
        .example
        .query("SELECT event_id, SAFE_CONVERT_BYTES_TO_STRING(payload) AS payload FROM pipas_ops.dead_letters")?;
    for found in payloads {
        let event = wrong.iter().find(|event| event["event_id"] == found["event_id"]).context("a bad event")?;
        let payload: Value = serde_json::from_str(found["payload"].as_str().unwrap_or_default())?;
        assert_eq!(payload, masked(event, &hashes), "{found}");
    }

    // Nothing of what is masked stands anywhere in BigQuery, whole or in part.
    let tables = ["web.searches", "web.search_interactions", "pipas_ops.dead_letters"];
    let mut everything = String::new();
    for table in tables {
        everything +=
            &json!(search.example.query(&format!("SELECT TO_JSON_STRING(t) AS row_ FROM {table} AS t"))?).to_string();
        everything += &json!(search.example.query(&format!("SELECT * FROM {table}"))?).to_string();
    }
    for name in ["session_id", "user_email", "ip_address", "user_agent"] {
        for secret in hidden(name).collect::<BTreeSet<_>>() {
            assert!(!everything.contains(&secret), "{name} {secret}");
        }
    }

    let account = search.example.closes("search", PATIENCE).await?;
    assert_eq!((&account["received"], &account["dead_lettered"]), (&json!(sent.len()), &json!(bad.len())), "{account}");
    search.example.stop().await
}
