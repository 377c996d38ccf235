//! The receiver over the wire: HTTP on one side, a Pub/Sub service on the other.

mod bodies;
mod pages;
mod peer;
mod process;

use std::{collections::BTreeMap, io::Write, sync::Arc, time::Duration};

use catalog::{ArchiveSettings, Catalog, JsonPointer, OnLedgerLoss, Stream};
use peer::Peer;
use prometheus::Registry;
use receiver::{Config, Receiver};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service::{App, Env};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// A receiver on a port, and the Pub/Sub service that it publishes to.
struct World {
    peer: Peer,
    base: String,
    http: reqwest::Client,
    registry: Registry,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn stream(name: &str, event_id: Option<&str>, ordering_key: Option<&str>) -> Stream {
    Stream {
        name: name.into(),
        description: format!("What {name} carries"),
        event_id: event_id.and_then(JsonPointer::parse),
        content_hash: None,
        event_type: None,
        shaping: Default::default(),
        cors: None,
        feeds: Vec::new(),
        subscriptions: Vec::new(),
        ordering_key: ordering_key.and_then(JsonPointer::parse),
        dedupe_window: Duration::from_secs(60),
        on_ledger_loss: OnLedgerLoss::Nack,
        max_delivery_attempts: Stream::DEFAULT_DELIVERY_ATTEMPTS,
        rate: None,
        archive: ArchiveSettings::default(),
        tables: Vec::new(),
    }
}

impl World {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(more: &[(&str, &str)]) -> Self {
        let (peer, endpoint) = Peer::start().await;
        let variables = [("GOOGLE_CLOUD_PROJECT", "p"), ("PIPAS_PUBSUB_ENDPOINT", &endpoint)];
        let env = Env::from_pairs(variables.into_iter().chain(more.iter().copied()));
        let config = Config::from_env(&env).expect("a config");
        let streams = [
            stream("chat", None, None),
            stream("orders", None, Some("/orderId")),
            stream("envelopes", Some("/event_id"), None),
            pages::search(),
            pages::open(),
            pages::departures(),
        ];
        let streams = streams.into_iter().map(|stream| (stream.name.clone(), stream)).collect();
        let catalog = Catalog { streams, ..Catalog::default() };
        let receiver = Receiver::with_catalog(&config, catalog).await.expect("a receiver");
        let app: App = receiver::router(receiver).expect("an app");
        let registry = app.registry.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        tokio::spawn(service::serve("receiver", listener, app, stop.clone()));
        Self { peer, base, http: reqwest::Client::new(), registry, stop }
    }

    fn post(&self, stream: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http.post(format!("{}/v1/streams/{stream}/events", self.base)).body(body)
    }

    fn data(&self) -> Vec<String> {
        self.peer.state().messages.iter().map(|m| String::from_utf8_lossy(&m.data).into_owned()).collect()
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        self.peer.state().messages[0].attributes.clone().into_iter().collect()
    }

    /// The value of a counter, by its labels in the order of their names.
    fn counted(&self, name: &str, labels: &[&str]) -> f64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        let found = metrics.filter(|m| m.get_label().iter().map(|l| l.value()).eq(labels.iter().copied()));
        found.map(|metric| metric.get_counter().get_value()).sum()
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("a response");
    let (status, media_type) = (response.status(), response.headers()["content-type"].clone());
    let expected = if status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(media_type, expected);
    (status, response.json().await.expect("JSON"))
}

#[tokio::test]
async fn an_event_is_on_the_topic_before_the_answer() {
    let world = World::start().await;
    let body = r#"{"orderId" : 77656162,  "cityCode":"ROM"}"#;
    let request = world
        .post("chat", body)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("ce-source", "shop")
        .header("ce-time", "2024-02-01T10:04:46Z")
        .header("pipas-attribute-Team", "a")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let (status, answer) = answer(request).await;
    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(1)));
    assert_eq!(world.data(), [body], "byte for byte");
    let mut attributes = world.attributes();
    assert_eq!(answer["event_ids"][0], attributes["ce-id"]);
    attributes.remove("ce-id");
    let received = attributes.remove("ce-pipasreceived").expect("a time");
    assert!(received.ends_with('Z') && received.len() == "2024-02-01T10:04:46.000000Z".len(), "{received}");
    let traceparent = attributes.remove("traceparent").expect("a trace");
    assert!(traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "the producer's trace: {traceparent}");
    assert!(!traceparent.contains("00f067aa0ba902b7"), "and a span of the receiver's: {traceparent}");
    insta::assert_json_snapshot!(attributes);
    assert_eq!(world.counted("pipas_receiver_events_total", &["accepted", "chat"]), 1.0);
    assert_eq!(world.counted("pipas_receiver_event_bytes_total", &["chat"]), body.len() as f64);
}

#[tokio::test]
async fn every_form_of_body_is_taken() {
    let world = World::start().await;
    let events = ["{\"n\":1}", "{\"n\": 2}"];
    let (array, lines) = (format!("[{}]", events.join(", ")), format!("{}\n", events.join("\n")));
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(lines.as_bytes()).expect("written");
        encoder.finish().expect("finished")
    };
    let zstd = zstd::encode_all(lines.as_bytes(), 1).expect("encoded");
    for request in [
        world.post("chat", array.clone()).header("content-type", "application/json"),
        world.post("chat", array),
        world.post("chat", lines.clone()).header("content-type", "application/x-ndjson; charset=utf-8"),
        world.post("chat", lines.clone()),
        world.post("chat", gzip).header("content-encoding", "gzip"),
        world.post("chat", zstd).header("content-encoding", "zstd"),
    ] {
        world.peer.state().messages.clear();
        let (status, answer) = answer(request).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(world.data(), events);
        let ids: Vec<_> = world.peer.state().messages.iter().map(|m| json!(m.attributes["ce-id"])).collect();
        assert_eq!(answer["event_ids"], json!(ids), "in order");
    }
}

#[tokio::test]
async fn the_same_key_gives_the_same_ids() {
    let world = World::start().await;
    let post = |stream, body: &'static str, key| answer(world.post(stream, body).header("idempotency-key", key));
    assert_eq!(post("chat", "{}", "k-1").await.1["event_ids"], json!(["k-1"]));
    let batch = post("chat", "[{},{}]", "k-1").await.1;
    assert_eq!(post("chat", "[{},{}]", "k-1").await.1, batch);
    assert_ne!(post("chat", "[{},{}]", "k-2").await.1, batch);
    assert_ne!(batch["event_ids"][0], batch["event_ids"][1]);
    let own = world.post("chat", "{}").header("ce-id", "own").header("idempotency-key", "k-1");
    assert_eq!(answer(own).await.1["event_ids"], json!(["own"]));
    let (status, problem) = answer(world.post("chat", "[{},{}]").header("ce-id", "own")).await;
    assert_eq!((status, problem["type"].as_str()), (StatusCode::BAD_REQUEST, Some("urn:pipas:problem:bad-header")));
}

#[tokio::test]
async fn ids_and_ordering_keys_come_from_the_event() {
    let world = World::start().await;
    let body = r#"{"orderId":7,"x":1}
{"x":2}
{"orderId":"8"}"#;
    assert_eq!(answer(world.post("orders", body)).await.0, StatusCode::OK);
    let mut keys: Vec<_> = world.peer.state().messages.iter().map(|m| m.ordering_key.clone()).collect();
    keys.sort();
    assert_eq!(keys, ["", "7", "8"]);

    let ids = answer(world.post("envelopes", r#"[{"event_id":"e-1"},{"event_id":2}]"#).header("ce-id", "x")).await.1;
    assert_eq!(ids["event_ids"], json!(["e-1", "2"]));
    let (status, problem) = answer(world.post("envelopes", "{\"event_id\":\"e\"}\n{}\n{\"event_id\":\"\"}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    insta::assert_json_snapshot!(problem);
}

#[tokio::test]
async fn one_bad_event_and_nothing_is_published() {
    let world = World::start().await;
    let (status, problem) = answer(world.post("chat", "{\"a\":1}\n{\"a\":1 \"b\":2}\n[]\n{}\n")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    insta::assert_json_snapshot!(problem);
    assert_eq!(world.peer.state().requests, 0);
    assert_eq!(world.counted("pipas_receiver_refused_requests_total", &["invalid"]), 1.0);
}

#[tokio::test]
async fn refusals_say_what_was_expected() {
    let world = World::start().await;
    let mut problems = Vec::new();
    for request in [
        world.post("chats", "{}"),
        world.post("chat", ""),
        world.post("chat", "{}").header("content-type", "application/xml"),
        world.post("chat", "{}").header("content-encoding", "br"),
        world.post("chat", "not gzip").header("content-encoding", "gzip"),
        world.post("chat", "{}").header("ce-time", "noon"),
        world.http.put(format!("{}/v1/streams/chat/events", world.base)),
        world.http.get(format!("{}/v2", world.base)),
    ] {
        let (status, problem) = answer(request).await;
        assert_eq!(json!(status.as_u16()), problem["status"]);
        problems.push(problem);
    }
    insta::assert_json_snapshot!(problems);
    let put = world.http.put(format!("{}/v1/streams/chat/events", world.base)).send().await.expect("a response");
    assert_eq!(put.headers()["allow"], "POST,OPTIONS");
    assert_eq!(world.peer.state().requests, 0);
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    let world = World::start_with(&[("PIPAS_MAX_BODY_BYTES", "12000000")]).await;
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(9_999_990));
    let (status, problem) = answer(world.post("chat", format!("[{{}}, {large}]"))).await;
    assert_eq!((status, &problem["errors"][0]["index"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(1)), "{problem}");
    let (status, problem) = answer(world.post("chat", " ".repeat(12_000_001))).await;
    assert_eq!((status, &problem["limit_bytes"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(12_000_000)), "{problem}");
    assert_eq!(world.peer.state().requests, 0);
    let fits = format!(r#"{{"a":"{}"}}"#, "x".repeat(9_990_000));
    assert_eq!(answer(world.post("chat", fits)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_bomb_is_refused_where_it_bursts() {
    let world = World::start_with(&[("PIPAS_MAX_BODY_BYTES", "1000000")]).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mebibyte = vec![b' '; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&mebibyte).expect("written");
    }
    let bomb = encoder.finish().expect("finished");
    assert!(bomb.len() < 100_000);
    let (status, _) = answer(world.post("chat", bomb).header("content-encoding", "gzip")).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn more_than_there_is_room_for_is_429() {
    let world = World::start_with(&[("PIPAS_PUBLISH_BYTES", "2000")]).await;
    let gate = Arc::new(Semaphore::new(0));
    world.peer.state().gate = Some(Arc::clone(&gate));
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(1200));
    let first = tokio::spawn(answer(world.post("chat", body.clone())));
    while world.peer.state().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let response = world.post("chat", body).send().await.expect("a response");
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    gate.add_permits(10);
    assert_eq!(first.await.expect("no panic").0, StatusCode::OK);
    assert_eq!(world.counted("pipas_receiver_events_total", &["overloaded", "chat"]), 1.0);
}

#[tokio::test]
async fn what_pubsub_does_not_take_is_no_200() {
    let world = World::start().await;
    world.peer.state().refusals = [Status::not_found("no such topic")].into();
    let (status, problem) = answer(world.post("chat", "[{},{}]").header("idempotency-key", "k")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    insta::assert_json_snapshot!(problem);
    assert!(world.data().is_empty());
    assert_eq!(world.counted("pipas_receiver_events_total", &["refused", "chat"]), 2.0);
    assert_eq!(answer(world.post("chat", "[{},{}]").header("idempotency-key", "k")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_streams_and_the_document_are_served() {
    let world = World::start().await;
    let (status, streams) = answer(world.http.get(format!("{}/v1/streams", world.base))).await;
    assert_eq!((status, &streams[0]["name"]), (StatusCode::OK, &json!("chat")));
    assert_eq!(streams.as_array().map(Vec::len), Some(6));
    let (status, document) = answer(world.http.get(format!("{}/openapi.json", world.base))).await;
    assert_eq!((status, &document["info"]["title"]), (StatusCode::OK, &json!("Pipas receiver")));
}
