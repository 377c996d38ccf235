//! examples/courier-chat: what the view says is reckoned here once more, from the very events that were sent.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use pipas::Conversations;
use serde_json::{Value, json};
use tests::{Example, pipas};

const PATIENCE: Duration = Duration::from_secs(90);
const STREAM: &str = "courier-chat";
const VIEW: &str = "SELECT * FROM courier_chat.customer_courier_conversations ORDER BY order_id";

/// Waits until the view is what `events` make.
async fn view_is(chat: &Example, events: &[Value]) -> anyhow::Result<()> {
    chat.shows(VIEW, &conversations(events), PATIENCE).await
}

/// Every event is one row or one dead letter.
async fn closes(chat: &Example, events: usize, dead_letters: usize) -> anyhow::Result<()> {
    let account = chat.closes(STREAM, PATIENCE).await?;
    anyhow::ensure!(account["received"] == json!(events), "{events} events: {account}");
    anyhow::ensure!(account["dead_lettered"] == json!(dead_letters), "{dead_letters} dead letters: {account}");
    Ok(())
}

fn sample(name: &str) -> PathBuf {
    Example::folder(STREAM).join("samples").join(STREAM).join(name)
}

fn lines(text: &str) -> anyhow::Result<Vec<Value>> {
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The rows of the view: those of orders with a message at least, by their number.
fn conversations(events: &[Value]) -> Value {
    let mut cities: BTreeMap<u64, &Value> = BTreeMap::new();
    let mut chats: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for event in events {
        let order = event["orderId"].as_u64().expect("an order");
        match event.get("cityCode") {
            Some(city) => drop(cities.insert(order, city)),
            None => chats.entry(order).or_default().push(event),
        }
    }
    let row = |(order, mut messages): (u64, Vec<&Value>)| {
        messages.sort_by_key(|message| time(message));
        let of = |side: &str| -> Vec<&Value> {
            let is_of = |message: &&&Value| sender(message) == side;
            messages.iter().filter(is_of).copied().collect()
        };
        let (courier, customer) = (of("Courier"), of("Customer"));
        let sent = |message: Option<&&Value>| message.map_or(Value::Null, |message| message["messageSentTime"].clone());
        let delay = match (courier.first(), customer.first()) {
            (Some(one), Some(other)) => json!((time(one).as_second() - time(other).as_second()).abs()),
            _ => Value::Null,
        };
        json!({
            "order_id": order,
            "city_code": cities.get(&order),
            "first_courier_message": sent(courier.first()),
            "first_customer_message": sent(customer.first()),
            "num_messages_courier": courier.len(),
            "num_messages_customer": customer.len(),
            "first_message_by": messages.first().map(|message| sender(message)),
            "conversation_started_at": sent(messages.first()),
            "first_responsetime_delay_seconds": delay,
            "last_message_time": sent(messages.last()),
            "last_message_order_stage": messages.last().map(|message| message["orderStage"].clone()),
        })
    };
    chats.into_iter().map(row).collect()
}

fn sender(message: &Value) -> &str {
    message["senderAppType"].as_str().and_then(|app| app.split(' ').next()).expect("a sender")
}

fn time(message: &Value) -> jiff::Timestamp {
    message["messageSentTime"].as_str().and_then(|time| time.parse().ok()).expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_follows_a_conversation() -> anyhow::Result<()> {
    let chat = Example::start(STREAM, &[]).await?;
    view_is(&chat, &[]).await?;
    let mut events = Vec::new();
    for step in ["1-first-message.json", "2-order-and-reply.ndjson", "3-the-rest.ndjson"] {
        chat.printed(&["send", &sample(step).display().to_string(), "--stream", STREAM])?;
        events.extend(lines(&fs::read_to_string(sample(step))?)?);
        view_is(&chat, &events).await?;
        let row = &chat.query(VIEW)?[0];
        let told = [
            "city_code",
            "first_responsetime_delay_seconds",
            "num_messages_courier",
            "num_messages_customer",
            "last_message_order_stage",
        ];
        let told: Vec<&Value> = told.iter().map(|column| &row[*column]).collect();
        let expected = match step {
            "1-first-message.json" => json!([null, null, 1, 0, "AWAITING_PICKUP"]),
            "2-order-and-reply.ndjson" => json!(["ROM", 40, 1, 1, "DELAYED"]),
            _ => json!(["ROM", 40, 3, 2, "ACCEPTED"]),
        };
        assert_eq!(json!(told), expected, "{step}");
    }

    // What cannot be a row, and what cannot even be an event.
    let http = reqwest::Client::new();
    for (file, status) in [("no-route", 200), ("no-sender", 200), ("no-time", 200), ("no-number", 200), ("broken", 400)]
    {
        let body = fs::read(sample(&format!("refused/{file}.json")))?;
        let post = http.post(chat.events_of(STREAM)).header("idempotency-key", file).body(body);
        let answer = post.send().await?;
        assert_eq!(answer.status(), status, "{file}");
        if status == 400 {
            let problem: Value = answer.json().await?;
            assert_eq!(problem["errors"][0]["line"], json!(1), "{problem}");
        }
    }
    let letters = "SELECT event_id, reason, pointer FROM pipas_ops.dead_letters ORDER BY event_id";
    let letter =
        |id: &str, reason: &str, pointer: Option<&str>| json!({ "event_id": id, "reason": reason, "pointer": pointer });
    let expected = json!([
        letter("no-number", "type_mismatch", Some("/orderId")),
        letter("no-route", "no_route", None),
        letter("no-sender", "missing_required", Some("/senderAppType")),
        letter("no-time", "type_mismatch", Some("/messageSentTime")),
    ]);
    chat.shows(letters, &expected, PATIENCE).await?;
    view_is(&chat, &events).await?;
    closes(&chat, events.len() + 4, 4).await?;
    chat.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_conversations_stream_in() -> anyhow::Result<()> {
    let chat = Example::start(STREAM, &[]).await?;
    let demo = chat.printed(&["demo", "--conversations", "400"])?;
    assert_eq!(demo["closed"], json!(true), "{demo}");
    let mut events = Vec::new();
    for line in Conversations::new(1, 400).flatten() {
        events.push(serde_json::from_str(&line.json)?);
    }
    view_is(&chat, &events).await?;

    // Others come beside them; the events of one seed are always the same, so they can be had without being sent.
    let feed = ["feed", "courier-chat", "--rate", "150", "--duration", "4s", "--seed", "11"];
    let printed = pipas(chat.data.path(), &[feed.as_slice(), &["--print"]].concat())?;
    let more = lines(&String::from_utf8(printed.stdout)?)?;
    assert_eq!(more.len(), 600);
    let report = chat.printed(&feed)?;
    assert_eq!((&report["accepted"], &report["refused"]), (&json!(600), &json!(0)), "{report}");
    events.extend(more);
    view_is(&chat, &events).await?;
    closes(&chat, events.len(), 0).await?;
    chat.stop().await
}
