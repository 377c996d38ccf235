//! Raw tables, checks, derived columns and masks, end to end; and the tools that say beforehand what will come of an event.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use local_cloud::{Action, Rule, When};
use pipas::Endpoints;
use serde_json::{Value, json};
use tests::{Process, Setup, World, eventually};

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "a key for the tests of masks";
const CATALOG: &str = "
streams:
  shop:
    tables:
      raw: { raw: true, table: raw.shop }
      order:
        when: { any: [{ equals: { /event_type: order } }, { attribute: { type: order } }], not: { has: [/test] } }
        table: shop.orders
        schema: orders.json
        event_id: /order_id
        checks:
          status: { enum: [pending, shipped] }
          items.quantity: { min: 1, max: 100 }
          /event_type: { pattern: '^[a-z_]+$' }
        derive:
          source: { constant: web }
          country: { uppercase: /address/country }
          ordered_at: { time: /date, format: '%d/%m/%Y %H:%M', zone: Europe/Rome }
        mask:
          customer: hash
          ip: truncate_ip
          agent: drop
          data.user.email: hash
";
const ORDERS: &str = r#"[
    {"name": "order_id", "type": "STRING", "mode": "REQUIRED"},
    {"name": "status", "type": "STRING"},
    {"name": "source", "type": "STRING"},
    {"name": "country", "type": "STRING"},
    {"name": "ordered_at", "type": "TIMESTAMP"},
    {"name": "customer", "type": "STRING"},
    {"name": "ip", "type": "STRING"},
    {"name": "agent", "type": "STRING"},
    {"name": "data", "type": "JSON"},
    {"name": "items", "type": "RECORD", "mode": "REPEATED", "fields": [
        {"name": "sku", "type": "STRING"}, {"name": "quantity", "type": "INT64"}]}
]"#;
/// What must stand nowhere in BigQuery.
const SECRETS: [&str; 4] = ["customer-57270753", "192.168.17.23", "Mozilla", "ada@example.com"];

fn setup(folder: &Path) -> anyhow::Result<Setup> {
    fs::write(folder.join("pipas.yaml"), CATALOG)?;
    fs::write(folder.join("orders.json"), ORDERS)?;
    let loader_env = vec![("PIPAS_MASK_KEY", KEY.to_owned())];
    Ok(Setup { catalog: Some(folder.join("pipas.yaml")), loader_env, ..Setup::default() })
}

fn order(id: &str) -> Value {
    json!({
        "event_type": "order", "order_id": id, "status": "pending", "address": { "country": "it" },
        "date": "01/07/2024 10:04", "customer": "customer-57270753", "ip": "192.168.17.23", "agent": "Mozilla",
        "data": { "user": { "email": "ada@example.com" }, "n": 1 }, "items": [{ "sku": "a", "quantity": 1 }],
    })
}

fn changed(id: &str, pointer: &str, value: Value) -> Value {
    let mut order = order(id);
    if let Some(found) = order.pointer_mut(pointer) {
        *found = value;
    }
    order
}

async fn rows(world: &World, sql: &str, wanted: usize) -> anyhow::Result<Vec<Vec<Value>>> {
    eventually(PATIENCE, async || {
        let rows = world.query(sql).await?;
        anyhow::ensure!(rows.len() == wanted, "{sql}: {rows:?}");
        Ok(rows)
    })
    .await
}

fn hash(text: &str) -> anyhow::Result<String> {
    let mut verdict = Command::new("python3");
    verdict.args([
        "-c",
        "import hmac,sys; print(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), 'sha256').hexdigest())",
    ]);
    let output = verdict.args([KEY, text]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_land_by_their_rules_and_once_in_each_table() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = setup(folder.path())?;
    // Appends that are applied and then lost: each table must find out by itself what it has.
    setup.faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Next(3), Action::ApplyThenFail));
    let world = World::start(setup).await?;
    let mut test = order("test");
    test["test"] = json!(true);
    let events = [
        order("1"),
        order("2"),
        order("1"),
        changed("3", "/status", json!("lost")),
        changed("4", "/items/0/quantity", json!(0)),
        changed("5", "/date", json!("2024-07-01")),
        changed("6", "/ip", json!("nowhere at all")),
        test,
    ];
    for (at, event) in events.iter().enumerate() {
        let key = event["order_id"].as_str().map(|id| format!("key-{id}"));
        assert_eq!(world.post("shop", event.to_string(), key.as_deref()).await?.status(), 200, "{at}");
    }

    let hashed = hash("customer-57270753")?;
    let orders = rows(
        &world,
        "SELECT order_id, status, source, country, CAST(ordered_at AS STRING), customer, ip, agent, \
         JSON_VALUE(data, '$.user.email'), JSON_VALUE(data, '$.n') FROM shop.orders ORDER BY order_id",
        2,
    )
    .await?;
    let email = hash("ada@example.com")?;
    let expected = ["1", "2"].map(|id| {
        vec![
            json!(id),
            json!("pending"),
            json!("web"),
            json!("IT"),
            json!("2024-07-01 08:04:00+00"),
            json!(hashed),
            json!("192.168.17.0"),
            json!(null),
            json!(email),
            json!("1"),
        ]
    });
    assert_eq!(orders, expected);
    // Nor can what is masked be tried out until its hash fits.
    let hashes = world.query_one("SELECT COUNT(ingest.payload_hash) FROM shop.orders").await?;
    assert_eq!(hashes, json!("0"));

    let letters = rows(
        &world,
        "SELECT event_id, reason, pointer, detail, SAFE_CONVERT_BYTES_TO_STRING(payload), \
         JSON_VALUE(attributes, '$.\"pipas-masked\"') FROM pipas_ops.dead_letters ORDER BY event_id",
        5,
    )
    .await?;
    let told: Vec<[&Value; 3]> = letters.iter().map(|row| [&row[0], &row[1], &row[2]]).collect();
    assert_eq!(
        json!(told),
        json!([
            ["3", "check_failed", "/status"],
            ["4", "check_failed", "/items/0/quantity"],
            ["5", "type_mismatch", "/date"],
            ["6", "type_mismatch", "/ip"],
            ["key-test", "no_route", null],
        ])
    );
    assert_eq!(letters[0][3], json!(r#"expected one of "pending", "shipped", found the string "lost""#));
    assert_eq!(letters[1][3], json!("expected a number from 1 to 100, found the number 0"));
    assert!(letters.iter().all(|row| row[5] == json!("true")), "{letters:?}");

    // Every event once, also those that are dead letters, and nothing of what is masked.
    let raw = rows(
        &world,
        "SELECT JSON_VALUE(payload, '$.order_id'), JSON_VALUE(payload, '$.customer'), TO_JSON_STRING(payload), \
         ingest.event_id FROM raw.shop ORDER BY 1",
        7,
    )
    .await?;
    let ids: Vec<&Value> = raw.iter().map(|row| &row[0]).collect();
    assert_eq!(json!(ids), json!(["1", "2", "3", "4", "5", "6", "test"]));
    assert!(raw.iter().all(|row| row[1] == json!(hashed)), "{raw:?}");
    let everything = format!("{orders:?}{letters:?}{raw:?}");
    for secret in SECRETS.iter().chain(&["nowhere at all"]) {
        assert!(!everything.contains(secret), "{secret}");
    }

    // The account closes: each message is an event of the raw table, and one of where it was routed.
    let data = tempfile::tempdir()?;
    fs::write(data.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
    eventually(PATIENCE, async || {
        world.compact().await?;
        let output = pipas(&["--json", "audit", "--stream", "shop", "--data-dir"], data.path(), folder.path())?;
        let account: Value = serde_json::from_slice(&output.stdout)?;
        anyhow::ensure!(output.status.success(), "{account}");
        anyhow::ensure!(account["archived"] == 8 || account["archived"] == 16, "{account}");
        anyhow::ensure!(
            account["received"] == 14 && account["written"] == 9 && account["dead_lettered"] == 5,
            "{account}"
        );
        anyhow::ensure!(account["not_archived"] == 0, "{account}");
        Ok(())
    })
    .await?;
    let diff = pipas(&["schema", "diff", "--data-dir"], data.path(), folder.path())?;
    let told = String::from_utf8_lossy(&diff.stdout).into_owned();
    assert!(diff.status.success() && told.contains("raw.shop: as declared"), "{told}");
    assert!(!told.contains("BREAKING") && told.contains("shop.orders_unique: as declared"), "{told}");
    let narrower = ORDERS.replace(r#"{"name": "agent", "type": "STRING"}"#, r#"{"name": "agent", "type": "DATE"}"#);
    fs::write(
        folder.path().join("orders.json"),
        narrower.replace("\"quantity\"", "\"quantity\", \"mode\": \"NULLABLE\""),
    )?;
    let diff = pipas(&["schema", "diff", "--data-dir"], data.path(), folder.path())?;
    let told = String::from_utf8_lossy(&diff.stdout).into_owned();
    assert!(diff.status.code() == Some(1) && told.contains("BREAKING: `agent`: another type"), "{told}");
    world.stop().await
}

/// Runs `pipas` with the catalog in `folder`.
fn pipas(args: &[&str], data_dir: &Path, folder: &Path) -> anyhow::Result<Output> {
    let mut command = Command::new(Process::binary("pipas")?);
    command.args(args).arg(data_dir).env("PIPAS_CATALOG", folder.join("pipas.yaml"));
    Ok(command.output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_dead_letter_can_be_sent_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::start(setup(folder.path())?).await?;
    let masked = changed("7", "/customer", json!(hash("customer-57270753")?));
    for (id, is_masked) in [("7", true), ("8", false)] {
        let mut attributes = json!({ "ce-id": id });
        if is_masked {
            attributes["pipas-masked"] = json!("true");
        }
        let mut event = masked.clone();
        event["order_id"] = json!(id);
        let body = json!({
            "message": { "data": STANDARD.encode(event.to_string()), "messageId": format!("m-{id}"),
                "publishTime": "2024-02-01T10:04:46Z", "attributes": attributes },
            "subscription": "projects/pipas-local/subscriptions/shop-loader",
        });
        let url = format!("{}/push/shop", world.endpoints.loader);
        assert_eq!(reqwest::Client::new().post(url).json(&body).send().await?.status(), 204);
    }
    let once = hash("customer-57270753")?;
    let found = rows(&world, "SELECT customer FROM shop.orders ORDER BY order_id", 2).await?;
    assert_eq!(found, [[json!(once)], [json!(hash(&once)?)]]);
    world.stop().await
}

/// Publishes the stream's dead letters of that reason again; the report.
async fn redrive(folder: &Path, reason: &str, more: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(Process::binary("pipas")?);
    command.args(["dead-letters", "redrive", "--json", "--stream", "shop", "--reason", reason]).args(more);
    command.arg("--data-dir").arg(folder);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_dead_letter_is_redriven_as_the_event_that_it_was() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::start(setup(folder.path())?).await?;
    fs::write(folder.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
    let lost = changed("3", "/status", json!("lost"));
    assert_eq!(world.post("shop", lost.to_string(), None).await?.status(), 200);
    // Two that are dead letters of both tables: the raw one takes no half of a character.
    let mut halves = changed("4", "/status", json!("lost"));
    halves["zero"] = json!("half");
    let halves = halves.to_string().replace("half", r"\ud83d");
    assert_eq!(world.post("shop", halves, None).await?.status(), 200);
    let letters = "SELECT dead_letter_id, redrive_of, reason, `table`, event_id FROM pipas_ops.dead_letters \
                   ORDER BY rejected_at, 1";
    let first = rows(&world, letters, 3).await?;
    let letter = |event: &str| {
        let of = |letter: &&Vec<Value>| letter[4] == json!(event) && letter[2] == json!("check_failed");
        first.iter().find(of).and_then(|letter| letter[0].as_str()).unwrap_or_default().to_owned()
    };

    let patch = folder.path().join("patch");
    fs::write(&patch, r#".status = "pending""#)?;
    let patch = patch.display().to_string();
    let report = redrive(folder.path(), "check_failed", &["--id", &letter("3"), "--patch", &patch]).await?;
    assert_eq!(report["marked"], json!(1), "{report}");
    let report = redrive(folder.path(), "check_failed", &["--id", &letter("4")]).await?;
    assert_eq!(report["marked"], json!(1), "{report}");
    let found = rows(&world, "SELECT order_id, customer, ip FROM shop.orders", 1).await?;
    assert_eq!(found, [[json!("3"), json!(hash("customer-57270753")?), json!("192.168.17.0")]]);
    // The other failed in both tables again, and each says so.
    let all = rows(&world, letters, 5).await?;
    let again: Vec<_> = all.iter().filter(|letter| !first.contains(letter)).collect();
    let told: std::collections::BTreeSet<_> =
        again.iter().map(|letter| (letter[2].to_string(), letter[3].to_string())).collect();
    assert_eq!(told.len(), 2, "{all:?}");
    assert!(again.iter().all(|letter| letter[1].is_string() && letter[2] != json!("payload_conflict")), "{all:?}");
    let ids: std::collections::BTreeSet<_> = all.iter().map(|letter| letter[0].to_string()).collect();
    assert_eq!(ids.len(), 5, "{all:?}");
    assert_eq!(rows(&world, "SELECT 1 FROM raw.shop", 1).await?.len(), 1);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_id_is_its_content_is_redriven() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = setup(folder.path())?;
    let catalog = "
streams:
  shop:
    event_id: { content_hash: [/order_id] }
    tables:
      order: { table: shop.orders, schema: orders.json, checks: { status: { enum: [pending] } } }
";
    fs::write(folder.path().join("pipas.yaml"), catalog)?;
    let world = World::start(setup).await?;
    fs::write(folder.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
    let lost = json!({ "order_id": "1", "status": "lost" });
    assert_eq!(world.post("shop", lost.to_string(), None).await?.status(), 200);
    rows(&world, "SELECT 1 FROM pipas_ops.dead_letters", 1).await?;
    let patch = folder.path().join("patch");
    fs::write(&patch, r#".status = "pending""#)?;
    redrive(folder.path(), "check_failed", &["--patch", &patch.display().to_string()]).await?;
    let found = rows(&world, "SELECT order_id, status FROM shop.orders", 1).await?;
    assert_eq!(found, [[json!("1"), json!("pending")]]);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_to_a_table_that_was_made_anew_is_loaded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::start(setup(folder.path())?).await?;
    let post = async || world.post("shop", order("1").to_string(), None).await;
    assert_eq!(post().await?.status(), 200);
    rows(&world, "SELECT 1 FROM shop.orders", 1).await?;
    let catalog = catalog::Catalog::load(&folder.path().join("pipas.yaml"))?;
    let tables = storage_write::Tables::connect(&world.endpoints.project, Some(&world.endpoints.bigquery)).await?;
    for table in &catalog.streams["shop"].tables {
        tables.drop_table(&table.name).await?;
    }
    pipas::provision(&catalog, &world.endpoints).await?;
    // No new event comes by which the loader would notice.
    assert_eq!(post().await?.status(), 200);
    rows(&world, "SELECT 1 FROM shop.orders", 1).await?;
    rows(&world, "SELECT 1 FROM raw.shop", 1).await?;
    world.stop().await
}

/// Runs `pipas replay` of the stream; its exit code and its report, or what it says.
async fn replay(folder: &Path, key: Option<&str>, more: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
    let mut command = Command::new(Process::binary("pipas")?);
    command.args(["replay", "--json", "--stream", "shop", "--catalog"]).arg(folder.join("pipas.yaml"));
    command.arg("--data-dir").arg(folder).args(more).env_remove("PIPAS_MASK_KEY");
    command.envs(key.map(|key| ("PIPAS_MASK_KEY", key)));
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = || json!(String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| said())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_makes_the_rows_that_the_loader_made() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = setup(folder.path())?;
    fs::write(folder.path().join("pipas.yaml"), CATALOG.replace("  shop:\n", "  shop:\n    dedupe_window: 4s\n"))?;
    let world = World::start(setup).await?;
    fs::write(folder.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
    let mut test = order("test");
    test["test"] = json!(true);
    for event in [order("1"), order("2"), changed("3", "/status", json!("lost")), test] {
        let key = event["order_id"].as_str().map(|id| format!("key-{id}"));
        assert_eq!(world.post("shop", event.to_string(), key.as_deref()).await?.status(), 200);
    }
    let orders = "SELECT ingest.event_id, ingest.message_id, order_id, status, source, country, CAST(ordered_at AS STRING), \
                  customer, ip, agent, TO_JSON_STRING(data), TO_JSON_STRING(extra) FROM shop.orders ORDER BY 1";
    let raw = "SELECT ingest.event_id, ingest.message_id, TO_JSON_STRING(payload) FROM raw.shop ORDER BY 1";
    let before = (rows(&world, orders, 2).await?, rows(&world, raw, 4).await?);
    eventually(PATIENCE, async || {
        world.compact().await?;
        let (code, report) = replay(folder.path(), None, &["--dry-run"]).await?;
        anyhow::ensure!((code, &report["held_back"]) == (Some(2), &json!(4)), "{report}");
        Ok(())
    })
    .await?;
    let catalog = catalog::Catalog::load(&folder.path().join("pipas.yaml"))?;
    let tables = storage_write::Tables::connect(&world.endpoints.project, Some(&world.endpoints.bigquery)).await?;
    let make_anew = async |key: &str| -> anyhow::Result<()> {
        let table = catalog.streams["shop"].tables.iter().find(|table| table.key == key).expect("a table");
        tables.drop_table(&table.name).await?;
        pipas::provision(&catalog, &world.endpoints).await
    };
    // The table is new and has no rows, but the raw table has, and nobody remembers them.
    make_anew("order").await?;
    for more in [&[][..], &["--table", "order"]] {
        let (code, report) = replay(folder.path(), None, more).await?;
        assert_eq!((code, &report["taken"]), (Some(2), &json!(0)), "{report}");
    }
    assert_eq!(rows(&world, raw, 4).await?, before.1);

    let (code, said) = replay(folder.path(), None, &["--mode", "merge"]).await?;
    assert!(code == Some(1) && said.to_string().contains("PIPAS_MASK_KEY is not set"), "{said}");
    let (code, report) = replay(folder.path(), Some(KEY), &["--mode", "merge"]).await?;
    assert_eq!((code, &report["staged"], &report["inserted"]), (Some(0), &json!(6), &json!(2)), "{report}");
    make_anew("raw").await?;
    let (code, report) = replay(folder.path(), Some(KEY), &["--mode", "merge", "--table", "raw"]).await?;
    assert_eq!((code, &report["staged"], &report["inserted"]), (Some(0), &json!(4), &json!(4)), "{report}");
    assert_eq!((rows(&world, orders, 2).await?, rows(&world, raw, 4).await?), before);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_told_what_would_become_of_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::start(setup(folder.path())?).await?;
    let url = |stream: &str| format!("{}/v1/streams/{stream}/check", world.endpoints.receiver);
    let http = reqwest::Client::new();
    let bad = json!({
        "event_type": "Order!", "order_id": "9", "status": "lost", "ip": "somewhere",
        "items": [{ "quantity": 0 }, { "quantity": "x" }],
    });
    let body = format!("{}\n{bad}\n", order("1"));
    let request = http.post(url("shop")).header("pipas-attribute-type", "order").body(body);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    assert_eq!((&answer["checked"], &answer["loaded"]), (&json!(2), &json!(1)), "{answer}");
    let good = &answer["events"][0];
    assert_eq!(
        good["row"],
        json!({
            "order_id": "1", "status": "pending", "source": "web", "country": "IT", "ordered_at": "2024-07-01T08:04:00Z",
            "customer": "0".repeat(64), "ip": "192.168.17.0", "items": [{ "sku": "a", "quantity": 1 }],
            "data": { "user": { "email": "0".repeat(64) }, "n": 1 },
            "extra": { "event_type": "order", "address": { "country": "it" }, "date": "01/07/2024 10:04" },
        })
    );
    assert_eq!((&good["table"], &good["event_id"]), (&json!("shop.orders"), &json!("1")));
    assert_eq!(good["raw"][0]["table"], json!("raw.shop"));
    let refused = &answer["events"][1];
    assert_eq!((&refused["loaded"], &refused["row"]), (&json!(false), &json!(null)), "{refused}");
    let errors: Vec<Value> =
        refused["errors"].as_array().into_iter().flatten().map(|e| json!([e["pointer"], e["reason"]])).collect();
    assert_eq!(
        json!(errors),
        json!([
            ["/event_type", "check_failed"],
            ["/ip", "type_mismatch"],
            ["/items/0/quantity", "check_failed"],
            ["/items/1/quantity", "type_mismatch"],
            ["/status", "check_failed"],
        ])
    );
    assert!(!answer.to_string().contains("somewhere"), "{answer}");
    assert_eq!(http.post(url("nothing")).body("{}").send().await?.status(), 404);
    assert_eq!(http.post(url("shop")).body("{").send().await?.status(), 400);
    let archive = world.subscription("shop-archive").await?;
    assert_eq!(archive["backlog"], json!(0), "nothing was published: {archive}");
    world.stop().await
}

#[test]
fn a_folder_of_samples_is_what_a_deploy_is_gated_on() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    setup(folder.path())?;
    let check = || -> anyhow::Result<(Option<i32>, String)> {
        let output = pipas(&["check", "--all"], folder.path(), folder.path())?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    };
    assert_eq!(check()?.0, Some(1), "no samples");
    let samples = folder.path().join("samples/shop");
    fs::create_dir_all(samples.join("refused"))?;
    fs::write(samples.join("orders.ndjson"), format!("{}\n{}\n", order("1"), order("2")))?;
    let mut untyped = order("3");
    untyped["event_type"] = json!("other");
    fs::write(samples.join("routed.json"), untyped.to_string())?;
    fs::write(samples.join("routed.attributes.json"), r#"{"type": "order"}"#)?;
    fs::write(samples.join("refused/lost.json"), changed("4", "/status", json!("lost")).to_string())?;
    fs::write(samples.join("refused/broken.json"), "{\"order_id\": ")?;
    let (code, said) = check()?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("4 files: 3 samples would be loaded, 2 would be refused and must be, 0 are not"), "{said}");
    fs::write(samples.join("refused/good.json"), order("5").to_string())?;
    let (code, said) = check()?;
    assert!(
        code == Some(1) && said.contains("good.json:1: would be loaded into shop.orders, and must be refused"),
        "{said}"
    );

    let file = samples.join("refused/lost.json");
    let output = pipas(&["check", "--stream", "shop"], &file, folder.path())?;
    let said = String::from_utf8(output.stdout)?;
    assert!(output.status.code() == Some(1) && said.contains("/status: check_failed: expected one of"), "{said}");
    let inferred = pipas(&["schema", "infer", "--stream", "shop"], &samples.join("orders.ndjson"), folder.path())?;
    let inferred: Value = serde_json::from_slice(&inferred.stdout)?;
    assert_eq!(inferred[0]["name"], json!("address"), "{inferred}");
    Ok(())
}
