//! The example of a shop's backend: its generated events and others, as rows, dead letters, landed files and views.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context;
use serde_json::{Value, json};
use tests::{Example, Recorder, eventually, pipas, said};

const STREAM: &str = "backend-events";
const PATIENCE: Duration = Duration::from_secs(90);
const TYPES: [&str; 3] = ["order", "inventory", "user_activity"];
const STATUSES: [&str; 4] = ["pending", "processing", "shipped", "delivered"];

fn order(id: &str, status: &str, cents: i64) -> Value {
    json!({
        "event_type": "order", "order_id": id, "customer_id": "c-1", "order_date": "2024-03-01T23:30:00-01:00",
        "status": status, "items": [{ "product_id": "P1", "product_name": "Lamp", "quantity": 1, "price": 0.5 }],
        "shipping_address": { "street": "Via Roma 1", "city": "Roma", "country": "IT" },
        "total_amount": cents as f64 / 100.0,
    })
}

fn inventory(id: &str, change: Value) -> Value {
    json!({
        "event_type": "inventory", "inventory_id": id, "product_id": "P-own", "warehouse_id": "W9",
        "quantity_change": change, "reason": "return", "timestamp": "2024-03-01T08:00:00Z",
    })
}

fn activity(session: &str) -> Value {
    json!({
        "event_type": "user_activity", "user_id": "u-1", "activity_type": "login", "ip_address": "203.0.113.7",
        "user_agent": "Mozilla", "timestamp": "2024-03-01T08:00:00Z",
        "metadata": { "session_id": session, "platform": "tablet" },
    })
}

/// The event with another value there; without one where there is none.
fn with(mut event: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(parent) = event.pointer_mut(parent) {
        match value {
            Some(value) => parent[name] = value,
            None => drop(parent.as_object_mut().and_then(|parent| parent.remove(name))),
        }
    }
    event
}

/// Events that are refused: the table, the reason and the place of each.
fn refused() -> Vec<(Value, Option<&'static str>, &'static str, Option<&'static str>)> {
    let of_order = |pointer, value| with(order("bad", "pending", 100), pointer, value);
    let of_stock = |pointer, value| with(inventory("bad", json!(1)), pointer, value);
    let of_user = |pointer, value| with(activity("bad"), pointer, value);
    let all = [
        (of_order("/status", Some(json!("lost"))), "check_failed", "/status"),
        (of_order("/items", Some(json!([]))), "check_failed", "/items"),
        (of_order("/items/0/quantity", Some(json!(0))), "check_failed", "/items/0/quantity"),
        (of_order("/total_amount", Some(json!(-1))), "check_failed", "/total_amount"),
        (of_order("/status", None), "missing_required", "/status"),
        (of_order("/order_date", Some(json!("yesterday"))), "type_mismatch", "/order_date"),
        (of_stock("/quantity_change", Some(json!(101))), "check_failed", "/quantity_change"),
        (of_stock("/quantity_change", Some(json!(-101))), "check_failed", "/quantity_change"),
        (of_stock("/quantity_change", Some(json!("ten"))), "type_mismatch", "/quantity_change"),
        (of_stock("/reason", Some(json!("theft"))), "check_failed", "/reason"),
        (of_stock("/warehouse_id", None), "missing_required", "/warehouse_id"),
        (of_user("/activity_type", Some(json!("dance"))), "check_failed", "/activity_type"),
        (of_user("/metadata/platform", Some(json!("fridge"))), "check_failed", "/metadata/platform"),
        (of_user("/metadata/platform", None), "check_failed", "/metadata/platform"),
        (of_user("/metadata/session_id", None), "check_failed", "/metadata/session_id"),
        (of_user("/user_id", None), "missing_required", "/user_id"),
    ];
    let tables = [("order", "shop.order"), ("inventory", "shop.inventory"), ("user_activity", "shop.user_activity")];
    let table = |event: &Value| tables.iter().find(|(kind, _)| event["event_type"] == *kind).map(|(_, table)| *table);
    let all = all.into_iter().map(|(event, reason, pointer)| (table(&event), event, reason, Some(pointer)));
    let unrouted = [
        json!({ "event_type": "refund", "order_id": "bad" }),
        json!({ "order_id": "of no type", "status": "pending" }),
    ];
    all.map(|(table, event, reason, pointer)| (event, table, reason, pointer))
        .chain(unrouted.map(|event| (event, None, "no_route", None)))
        .collect()
}

/// What was sent: events by their type, each once; and every event with the type that it lands under.
#[derive(Default)]
struct Sent {
    rows: BTreeMap<&'static str, Vec<Value>>,
    landed: BTreeSet<(String, String)>,
}

impl Sent {
    fn add(&mut self, kind: &str, event: Value) {
        self.landed.insert((kind.to_owned(), event.to_string()));
        let Some(kind) = TYPES.into_iter().find(|known| *known == kind) else { return };
        self.rows.entry(kind).or_default().push(event);
    }

    /// By day and status: how many orders, each under the status that it has come furthest to, and their cents.
    fn revenue(&self) -> anyhow::Result<Value> {
        let mut furthest: BTreeMap<&str, (usize, &Value)> = BTreeMap::new();
        for event in &self.rows["order"] {
            let stage = STATUSES.iter().position(|status| event["status"] == *status).context("a status")?;
            let known = furthest.entry(event["order_id"].as_str().context("an id")?).or_insert((stage, event));
            if known.0 < stage {
                *known = (stage, event);
            }
        }
        let mut sums: BTreeMap<(String, &str), (u64, i64)> = BTreeMap::new();
        for (stage, event) in furthest.into_values() {
            let placed: jiff::Timestamp = event["order_date"].as_str().context("a date")?.parse()?;
            let sum = sums.entry((placed.strftime("%Y-%m-%d").to_string(), STATUSES[stage])).or_default();
            *sum = (sum.0 + 1, sum.1 + (event["total_amount"].as_f64().context("an amount")? * 100.0).round() as i64);
        }
        let row = |((day, status), (orders, cents))| json!({ "day": day, "status": status, "orders": orders, "cents": cents });
        Ok(sums.into_iter().map(row).collect())
    }

    fn stock(&self) -> anyhow::Result<Value> {
        let mut sums: BTreeMap<(&str, &str), (i64, u64)> = BTreeMap::new();
        for event in &self.rows["inventory"] {
            let text = |name: &str| event[name].as_str().with_context(|| name.to_owned());
            let sum = sums.entry((text("product_id")?, text("warehouse_id")?)).or_default();
            *sum = (sum.0 + event["quantity_change"].as_i64().context("a change")?, sum.1 + 1);
        }
        let row = |((product, warehouse), (stock, changes))| json!({ "product_id": product, "warehouse_id": warehouse, "stock": stock, "changes": changes });
        Ok(sums.into_iter().map(row).collect())
    }

    fn sessions(&self) -> anyhow::Result<Value> {
        let mut sums: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>, u64)> = BTreeMap::new();
        for event in &self.rows["user_activity"] {
            let text =
                |pointer: &str| event.pointer(pointer).and_then(Value::as_str).with_context(|| pointer.to_owned());
            let sum = sums.entry(text("/metadata/platform")?).or_default();
            sum.0.insert(text("/metadata/session_id")?);
            sum.1.insert(text("/user_id")?);
            sum.2 += 1;
        }
        let row = |(platform, (sessions, users, activities)): (_, (BTreeSet<_>, BTreeSet<_>, u64))| {
            let (sessions, users) = (sessions.len(), users.len());
            json!({ "platform": platform, "sessions": sessions, "users": users, "activities": activities })
        };
        Ok(sums.into_iter().map(row).collect())
    }
}

struct Shop {
    example: Example,
    http: reqwest::Client,
}

impl Shop {
    async fn start() -> anyhow::Result<Self> {
        Ok(Self { example: Example::start("shop", &[]).await?, http: reqwest::Client::new() })
    }

    /// Posts an event, with the attribute `type` where there is one.
    async fn post(&self, event: &Value, kind: Option<&str>) -> anyhow::Result<()> {
        let mut request = self.http.post(self.example.events_of(STREAM));
        if let Some(kind) = kind {
            request = request.header("pipas-attribute-type", kind);
        }
        request.body(event.to_string()).send().await?.error_for_status()?;
        Ok(())
    }

    /// Puts data on the topic, past the receiver.
    async fn publish(&self, data: &str, attributes: &[(&str, &str)]) -> anyhow::Result<()> {
        let (project, endpoint) = (self.example.endpoints.project.clone(), Some(self.example.endpoints.pubsub.clone()));
        let client = pubsub::Client::connect(&pubsub::PubSubConfig { project, endpoint }).await?;
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let message = pubsub::Outgoing { data: data.to_owned().into(), attributes, ..pubsub::Outgoing::default() };
        for id in client.publisher(STREAM).publish(vec![message]).await {
            id?;
        }
        Ok(())
    }

    fn query(&self, sql: &str) -> anyhow::Result<Vec<Value>> {
        self.example.query(sql)
    }

    /// The landed events by the folder of their type.
    fn landed(&self) -> anyhow::Result<BTreeSet<(String, String)>> {
        let root = self.example.data.path().join("storage/pipas-archive/output");
        let (mut found, mut folders) = (BTreeSet::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let place = path.strip_prefix(&root)?.display().to_string();
                let parts: Vec<&str> = place.split('/').collect();
                let is_time =
                    |part: &&str, digits| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
                let is_in_place = parts.len() == 7
                    && parts[1..6].iter().zip([4, 2, 2, 2, 2]).all(|(part, digits)| is_time(part, digits));
                anyhow::ensure!(is_in_place && place.ends_with(".ndjson"), "{place}");
                for line in std::fs::read_to_string(&path)?.lines() {
                    found.insert((parts[0].to_owned(), line.to_owned()));
                }
            }
        }
        Ok(found)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_views_and_files_are_what_the_events_add_up_to() -> anyhow::Result<()> {
    let shop = Shop::start().await?;
    let mut sent = Sent::default();
    let recorder = Recorder::before(&shop.example.endpoints).await?;
    let fed =
        pipas(recorder.data_dir(), &["feed", "shop", "--rate", "60", "--duration", "3s", "--seed", "7", "--json"])?;
    assert!(fed.status.success(), "{}", said(&fed));
    for event in recorder.events()? {
        let kind = event["event_type"].as_str().context("a type")?.to_owned();
        sent.add(&kind, event);
    }
    let fed: usize = sent.rows.values().map(Vec::len).sum();
    assert!(fed == 180 && sent.rows.len() == 3, "{fed}");

    // An order on its way, told of out of turn, and once more; the bounds of what is in range.
    for (status, cents) in [("shipped", 1234), ("pending", 1000), ("processing", 1100), ("shipped", 1234)] {
        let event = order("own", status, cents);
        shop.post(&event, None).await?;
        if !sent.landed.contains(&("order".to_owned(), event.to_string())) {
            sent.add("order", event);
        }
    }
    for (id, change) in [("least", -100), ("most", 100)] {
        let event = inventory(id, json!(change));
        shop.post(&event, None).await?;
        sent.add("inventory", event);
    }
    // Typed by the attribute alone, through the receiver and past it; where the two differ the field counts.
    let untyped = with(order("by-attribute", "delivered", 99), "/event_type", None);
    shop.post(&untyped, Some("order")).await?;
    sent.add("order", untyped);
    let untyped = with(activity("by-attribute"), "/event_type", None);
    shop.publish(&untyped.to_string(), &[("type", "user_activity")]).await?;
    sent.add("user_activity", untyped);
    let differing = inventory("differing", json!(7));
    shop.post(&differing, Some("order")).await?;
    sent.add("inventory", differing);

    let refused = refused();
    for (event, ..) in &refused {
        shop.post(event, None).await?;
        let kind = event["event_type"].as_str().unwrap_or("backend-events");
        sent.landed.insert((kind.to_owned(), event.to_string()));
    }
    let broken = shop.http.post(shop.example.events_of(STREAM));
    assert_eq!(broken.body(r#"{"event_type": "order", "#).send().await?.status(), 400);
    shop.publish(r#"{"event_type": "order", "#, &[]).await?;

    let rows: usize = sent.rows.values().map(Vec::len).sum();
    let counts = "SELECT (SELECT COUNT(*) FROM shop.`order`) + (SELECT COUNT(*) FROM shop.inventory) \
                  + (SELECT COUNT(*) FROM shop.user_activity) AS typed, (SELECT COUNT(*) FROM raw.backend_events) AS raw, \
                  (SELECT COUNT(*) FROM pipas_ops.dead_letters) AS refused";
    eventually(PATIENCE, async || {
        let found = shop.query(counts)?;
        let expected = json!([{ "typed": rows, "raw": rows + refused.len(), "refused": refused.len() + 1 }]);
        anyhow::ensure!(json!(found) == expected, "{found:?}, expected {expected}");
        Ok(())
    })
    .await?;

    rows_are(&shop, &sent)?;
    views_are(&shop, &sent)?;
    dead_letters_are(&shop, &refused)?;
    eventually(PATIENCE, async || {
        let landed = shop.landed()?;
        let missing: Vec<_> = sent.landed.difference(&landed).collect();
        let unknown: Vec<_> = landed.difference(&sent.landed).collect();
        anyhow::ensure!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
        Ok(())
    })
    .await?;
    shop.example.closes(STREAM, PATIENCE).await?;
    shop.example.stop().await
}

/// The value with its numbers as numbers are compared: 59 is 59.0.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(elements) => elements.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

/// The rows of each table, column by column, and the raw layer.
fn rows_are(shop: &Shop, sent: &Sent) -> anyhow::Result<()> {
    let sorted = |rows: Vec<Value>| {
        let mut rows: Vec<String> = rows.into_iter().map(|row| plain(row).to_string()).collect();
        rows.sort();
        rows
    };
    let seconds = |value: &Value| -> anyhow::Result<i64> {
        Ok(value.as_str().context("a time")?.parse::<jiff::Timestamp>()?.as_second())
    };
    let column_by_column = [
        (
            "order",
            "SELECT event_type, order_id, customer_id, UNIX_SECONDS(order_date) AS at, status, TO_JSON_STRING(items) AS items, \
             TO_JSON_STRING(shipping_address) AS address, TO_JSON_STRING(total_amount) AS total FROM shop.`order`",
        ),
        (
            "inventory",
            "SELECT event_type, inventory_id, product_id, warehouse_id, quantity_change, reason, UNIX_SECONDS(timestamp) AS at \
             FROM shop.inventory",
        ),
        (
            "user_activity",
            "SELECT event_type, user_id, activity_type, ip_address, user_agent, UNIX_SECONDS(timestamp) AS at, \
             TO_JSON_STRING(metadata) AS metadata FROM shop.user_activity",
        ),
    ];
    for (kind, sql) in column_by_column {
        // Nested values are texts of JSON: the order of their keys is the schema's.
        let mut found = shop.query(sql)?;
        for row in &mut found {
            for (nested, name) in [
                ("items", "items"),
                ("address", "shipping_address"),
                ("metadata", "metadata"),
                ("total", "total_amount"),
            ] {
                if let Some(text) = row.as_object_mut().and_then(|row| row.remove(nested)) {
                    row[name] = serde_json::from_str(text.as_str().context("JSON")?)?;
                }
            }
        }
        let expected = sent.rows[kind].iter().map(|event| {
            let mut row = event.clone();
            row["event_type"] = json!(kind);
            let time = if kind == "order" { "order_date" } else { "timestamp" };
            row["at"] = json!(seconds(&event[time])?);
            row.as_object_mut().and_then(|row| row.remove(time));
            Ok(row)
        });
        assert_eq!(sorted(found), sorted(expected.collect::<anyhow::Result<_>>()?), "{kind}");
    }
    let raw = shop.query("SELECT event_type, TO_JSON_STRING(payload) AS payload FROM raw.backend_events")?;
    let raw = raw.iter().map(|row| {
        let payload: Value = serde_json::from_str(row["payload"].as_str().context("a payload")?)?;
        Ok((row["event_type"].as_str().context("a type")?.to_owned(), plain(payload).to_string()))
    });
    let sent =
        sent.landed.iter().map(|(kind, event)| Ok((kind.clone(), plain(serde_json::from_str(event)?).to_string())));
    assert_eq!(raw.collect::<anyhow::Result<BTreeSet<_>>>()?, sent.collect::<anyhow::Result<BTreeSet<_>>>()?);
    Ok(())
}

/// The views over the raw layer, the same of the typed tables, and what the events add up to: all one.
fn views_are(shop: &Shop, sent: &Sent) -> anyhow::Result<()> {
    let all = [
        (
            "SELECT CAST(day AS STRING) AS day, status, orders, CAST(revenue * 100 AS INT64) AS cents \
             FROM curated.daily_revenue_by_status ORDER BY day, status",
            "SELECT CAST(DATE(order_date) AS STRING) AS day, status, COUNT(*) AS orders, \
             CAST(SUM(total_amount) * 100 AS INT64) AS cents FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY order_id \
             ORDER BY STRPOS('pending processing shipped delivered', status) DESC) AS place FROM shop.`order`) \
             WHERE place = 1 GROUP BY day, status ORDER BY day, status",
            sent.revenue()?,
        ),
        (
            "SELECT product_id, warehouse_id, stock, changes FROM curated.stock_by_product_and_warehouse ORDER BY 1, 2",
            "SELECT product_id, warehouse_id, SUM(quantity_change) AS stock, COUNT(*) AS changes FROM shop.inventory \
             GROUP BY product_id, warehouse_id ORDER BY 1, 2",
            sent.stock()?,
        ),
        (
            "SELECT platform, sessions, users, activities FROM curated.sessions_by_platform ORDER BY platform",
            "SELECT metadata.platform AS platform, COUNT(DISTINCT metadata.session_id) AS sessions, \
             COUNT(DISTINCT user_id) AS users, COUNT(*) AS activities FROM shop.user_activity GROUP BY platform ORDER BY platform",
            sent.sessions()?,
        ),
    ];
    for (view, typed, expected) in all {
        assert_eq!(json!(shop.query(view)?), expected, "{view}");
        assert_eq!(json!(shop.query(typed)?), expected, "{typed}");
    }
    Ok(())
}

fn dead_letters_are(shop: &Shop, refused: &[(Value, Option<&str>, &str, Option<&str>)]) -> anyhow::Result<()> {
    let letters = shop.query(
        "SELECT `table`, reason, pointer, detail, SAFE_CONVERT_BYTES_TO_STRING(payload) AS payload FROM pipas_ops.dead_letters",
    )?;
    for (event, table, reason, pointer) in refused {
        let payload = json!(event.to_string());
        let of_event: Vec<&Value> = letters.iter().filter(|letter| letter["payload"] == payload).collect();
        let told = of_event.iter().map(|letter| json!([letter["table"], letter["reason"], letter["pointer"]]));
        assert_eq!(told.collect::<Vec<_>>(), [json!([table, reason, pointer])], "{event}: {of_event:?}");
        assert!(of_event[0]["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{of_event:?}");
    }
    let broken: Vec<&Value> = letters.iter().filter(|letter| letter["reason"] == "malformed_json").collect();
    assert!(broken.len() == 1 && broken[0]["payload"] == r#"{"event_type": "order", "#, "{broken:?}");
    Ok(())
}

#[test]
fn the_samples_are_as_they_must_be() -> anyhow::Result<()> {
    let said = Example::check_samples("shop")?;
    assert!(said.contains("9 samples would be loaded, 17 would be refused and must be, 0 are not"), "{said}");
    Ok(())
}
