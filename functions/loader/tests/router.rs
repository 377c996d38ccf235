//! The push endpoint where nothing of BigQuery is needed: who is let in, what is understood, when there is no room.

use std::{path::Path, time::Duration};

use axum::body::Body;
use catalog::Catalog;
use exactly_once::Limits;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use loader::{Config, LedgerConfig, Loader, metrics};
use objects::StoreConfig;
use pubsub::OidcConfig;
use service::App;
use tower::ServiceExt;

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

const PUSH: &str = r#"{"message":{"data":"eyJvcmRlcklkIjo3NzY1NjE2MiwiY2l0eUNvZGUiOiJST00ifQ==","messageId":"1","publishTime":"2024-02-01T10:04:46Z"},
    "subscription":"projects/p/subscriptions/courier-chat-loader"}"#;

fn config() -> Config {
    Config {
        catalog: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipas.yaml"),
        project: "p".into(),
        bigquery_endpoint: Some(NOWHERE.into()),
        storage_endpoint: Some(NOWHERE.into()),
        ledger: LedgerConfig::InProcess { journal: None },
        registry: Some(StoreConfig { bucket: "r".into(), endpoint: Some(NOWHERE.into()) }),
        janitor_idle: Duration::from_secs(1800),
        recovery_limit: Duration::from_secs(60),
        auth: None,
        mask_key: None,
        buffer_bytes: 1 << 20,
        limits: Limits { hold: Duration::from_millis(100), ..Limits::default() },
        #[cfg(feature = "unfenced")]
        unfenced: false,
    }
}

async fn app(config: &Config) -> App {
    service::install_tls_provider();
    loader::router(Loader::connect(config).await.expect("a loader"))
}

fn post(path: &str, body: &'static str) -> Request<Body> {
    Request::post(path).header(header::CONTENT_LENGTH, body.len()).body(Body::from(body)).expect("a request")
}

async fn send(app: &App, request: Request<Body>) -> Response<Body> {
    app.router.clone().oneshot(request).await.expect("a response")
}

async fn problem(response: Response<Body>) -> serde_json::Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

/// The value of the counter whose labels have these values, in the order of the labels' names.
fn count(app: &App, name: &str, labels: &[&str]) -> u64 {
    let families = app.registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
    let metric = metrics
        .iter()
        .find(|metric| metric.get_label().iter().map(|label| label.value()).collect::<Vec<_>>() == labels);
    metric.map_or(0, |metric| metric.get_counter().get_value() as u64)
}

#[tokio::test]
async fn a_push_without_a_token_is_refused_before_it_is_read() {
    let app = app(&Config { auth: Some(OidcConfig::google("https://loader", "push@p.iam")), ..config() }).await;
    for (authorization, said) in [(None, "no Authorization header"), (Some("Bearer x"), "no token")] {
        let mut request = post("/", "neither JSON nor authentic");
        if let Some(authorization) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().expect("a header"));
        }
        let response = send(&app, request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let problem = problem(response).await;
        assert_eq!(problem["type"], "urn:pipas:problem:unauthenticated");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{problem}");
    }
    assert_eq!(count(&app, metrics::NACKS, &["unauthenticated"]), 2);
}

#[tokio::test]
async fn what_is_no_push_is_told_so() {
    let app = app(&config()).await;
    let response = send(&app, post("/", "{\"message\":\n oops}")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let problem = problem(response).await;
    assert_eq!(problem["type"], "urn:pipas:problem:envelope");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("line 2")), "{problem}");
    assert_eq!(count(&app, metrics::NACKS, &["envelope"]), 1);
}

#[tokio::test]
async fn a_push_must_belong_to_a_stream() {
    let app = app(&config()).await;
    let unknown = PUSH.replace("courier-chat-loader", "weather-loader").leak();
    for (path, body, named) in [("/", &*unknown, "weather-loader"), ("/push/weather", PUSH, "weather")] {
        let response = send(&app, post(path, body)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let problem = problem(response).await;
        assert_eq!(problem["type"], "urn:pipas:problem:unknown-stream");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(named)), "{problem}");
        assert_eq!(problem["streams"], serde_json::json!(["courier-chat", "events"]));
    }
}

#[tokio::test]
async fn over_the_bound_pub_sub_is_asked_to_slow_down() {
    let app = app(&Config { buffer_bytes: 100, ..config() }).await;
    let response = send(&app, post("/", PUSH)).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert_eq!(problem(response).await["type"], "urn:pipas:problem:overloaded");
    // A body of unknown length is taken for the largest.
    let mut unsized_body = post("/", "{}");
    unsized_body.headers_mut().remove(header::CONTENT_LENGTH);
    assert_eq!(send(&app, unsized_body).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(send(&app, post("/", "{}")).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_has_the_delivery_come_again() {
    let app = app(&config()).await;
    let response = send(&app, post("/", PUSH)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem(response).await["type"], "urn:pipas:problem:recovering");
    assert_eq!(count(&app, metrics::DELIVERIES, &["retried", "courier-chat"]), 1);
}

#[tokio::test]
async fn a_registry_that_nobody_names_is_missed_at_the_start() {
    let config = Config { registry: None, ..config() };
    let refused = Loader::connect(&config).await.err().expect("no loader");
    assert!(refused.to_string().contains("PIPAS_REGISTRY_BUCKET is not set"), "{refused}");
}

#[tokio::test]
async fn a_table_that_cannot_be_reached_has_the_delivery_come_again() {
    service::install_tls_provider();
    let mut catalog = Catalog::load(&config().catalog).expect("the shipped catalog");
    catalog.registry = catalog::Registry::None;
    let app = loader::router(Loader::with_catalog(&config(), catalog).await.expect("a loader"));
    let by_path = PUSH.replace("courier-chat-loader", "whatever").leak();
    for (path, body) in [("/", PUSH), ("/push/courier-chat", &*by_path)] {
        let response = send(&app, post(path, body)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem(response).await["type"], "urn:pipas:problem:table");
    }
    assert_eq!(count(&app, metrics::DELIVERIES, &["retried", "courier-chat"]), 2);
    assert_eq!(count(&app, metrics::DELIVERIES, &["written", "courier-chat"]), 0);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_written_is_not_acked() {
    let app = app(&config()).await;
    let malformed = PUSH.replace("eyJvcmRlcklkIjo3NzY1NjE2MiwiY2l0eUNvZGUiOiJST00ifQ==", "b29wcw==").leak();
    let response = send(&app, post("/", malformed)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem(response).await["type"], "urn:pipas:problem:dead-letter-failed");
    assert_eq!(count(&app, metrics::DELIVERIES, &["retried", "courier-chat"]), 1);
}

#[tokio::test]
async fn a_loader_that_stops_takes_nothing_more() {
    let app = app(&config()).await;
    app.stopping.cancel();
    let response = send(&app, post("/", PUSH)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem(response).await["type"], "urn:pipas:problem:stopping");
    for drain in app.drains {
        drain.run().await;
    }
}

#[tokio::test]
async fn every_delivery_ends_in_a_known_stream() {
    let catalog = Catalog::load(&config().catalog).expect("the shipped catalog");
    let app = app(&config()).await;
    for stream in catalog.streams.keys() {
        assert_eq!(count(&app, metrics::DELIVERIES, &["written", stream]), 0);
    }
    app.readiness.check().await.expect("a ledger in the process is ready");
}

#[tokio::test]
async fn a_catalog_that_hashes_needs_the_key() {
    service::install_tls_provider();
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = folder.path().join("pipas.yaml");
    let table = "{ table: d.t, schema: t.json, mask: { name: hash } }";
    std::fs::write(&catalog, format!("streams: {{ tried: {{ tables: {{ t: {table} }} }} }}")).expect("written");
    std::fs::write(folder.path().join("t.json"), r#"[{"name":"name","type":"STRING"}]"#).expect("written");
    let without = Config { catalog, ..config() };
    match Loader::connect(&without).await {
        Err(error) => assert!(error.to_string().contains("PIPAS_MASK_KEY is not set"), "{error}"),
        Ok(_) => panic!("it starts without a key"),
    }
    let key = rows::MaskKey::new(&"sixteen bytes and more".into()).expect("a key");
    assert!(Loader::connect(&Config { mask_key: Some(key), ..without }).await.is_ok());
}
