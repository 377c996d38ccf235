use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::HeaderMap, routing::post};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{Action, Faults, LocalCloud, Options, Rule, When};

const QUEUE: &str = "projects/p/locations/l/queues/polls";

/// A request: when it came, its headers and its body.
type Seen = (Timestamp, BTreeMap<String, String>, String);

/// An endpoint that refuses the first so many requests.
#[derive(Clone, Default)]
struct Target {
    requests: Arc<Mutex<Vec<Seen>>>,
    refuses: Arc<AtomicUsize>,
}

impl Target {
    async fn start(refuses: usize) -> (Self, String) {
        let target = Self { refuses: Arc::new(AtomicUsize::new(refuses)), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/fetch", listener.local_addr().expect("an address"));
        let seen = target.clone();
        let handler = async move |headers: HeaderMap, body: String| {
            let headers =
                headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
            seen.requests.lock().push((Timestamp::now(), headers.collect(), body));
            let refused = seen.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if refused.is_ok() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
        };
        let router = Router::new().route("/fetch", post(handler));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (target, url)
    }

    async fn wait_for(&self, count: usize) {
        let started = Instant::now();
        while self.requests.lock().len() < count {
            assert!(started.elapsed() < Duration::from_secs(20), "{} of {count} requests", self.requests.lock().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn call(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

async fn with_queue(options: Options) -> (LocalCloud, String, reqwest::Client) {
    let cloud = LocalCloud::start(options).await.expect("starts");
    let base = format!("{}/v2/", cloud.endpoints().tasks);
    let http = reqwest::Client::new();
    let queue = json!({ "name": QUEUE, "retryConfig": { "minBackoff": "0.02s", "maxAttempts": 5 } });
    call(http.post(format!("{base}projects/p/locations/l/queues")).json(&queue)).await;
    (cloud, base, http)
}

fn task(id: &str, url: &str, after: SignedDuration) -> Value {
    json!({ "task": {
        "name": format!("{QUEUE}/tasks/{id}"),
        "scheduleTime": (Timestamp::now() + after).to_string(),
        "httpRequest": { "url": url, "httpMethod": "POST", "headers": { "x-a": "1" }, "body": "aGk=",
            "oidcToken": { "serviceAccountEmail": "poller@p.example" } },
    } })
}

#[tokio::test]
async fn a_task_is_sent_at_its_time_and_its_name_is_taken_for_good() {
    let (cloud, base, http) = with_queue(Options::default()).await;
    let (target, url) = Target::start(0).await;
    let due = Timestamp::now() + SignedDuration::from_millis(400);
    let create = || http.post(format!("{base}{QUEUE}/tasks"));
    let body = task("t-1", &url, SignedDuration::from_millis(400));
    let (status, made) = call(create().json(&body)).await;
    assert_eq!((status, &made["name"]), (StatusCode::OK, &json!(format!("{QUEUE}/tasks/t-1"))), "{made}");
    let (status, twice) = call(create().json(&body)).await;
    assert_eq!((status, &twice["error"]["status"]), (StatusCode::CONFLICT, &json!("ALREADY_EXISTS")));
    target.wait_for(1).await;
    let (at, headers, sent) = target.requests.lock()[0].clone();
    assert!(at >= due - SignedDuration::from_millis(5), "sent at {at}, due at {due}");
    assert_eq!((sent.as_str(), headers["x-a"].as_str(), headers["x-cloudtasks-taskname"].as_str()), ("hi", "1", "t-1"));
    assert_eq!(
        (headers["x-cloudtasks-queuename"].as_str(), headers["x-cloudtasks-taskretrycount"].as_str()),
        ("polls", "0")
    );
    let token = headers["authorization"].strip_prefix("Bearer ").expect("a token");
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token).expect("a token").claims;
    assert_eq!((&claims["email"], &claims["aud"]), (&json!("poller@p.example"), &json!(url)));
    let (status, again) = call(create().json(&body)).await;
    assert_eq!(status, StatusCode::CONFLICT, "done, and its name is taken: {again}");
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn a_task_is_sent_again_until_it_is_answered_and_not_for_ever() {
    let (cloud, base, http) = with_queue(Options::default()).await;
    let (target, url) = Target::start(2).await;
    call(http.post(format!("{base}{QUEUE}/tasks")).json(&task("a", &url, SignedDuration::ZERO))).await;
    target.wait_for(3).await;
    let retried = target.requests.lock()[2].1.clone();
    assert_eq!(retried["x-cloudtasks-taskretrycount"], "2");
    assert_eq!(retried["x-cloudtasks-taskpreviousresponse"], "503");
    let (stubborn, url) = Target::start(100).await;
    call(http.post(format!("{base}{QUEUE}/tasks")).json(&task("b", &url, SignedDuration::ZERO))).await;
    stubborn.wait_for(5).await;
    let started = Instant::now();
    while call(http.get(format!("{base}{QUEUE}/tasks"))).await.1["tasks"] != json!([]) {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stubborn.requests.lock().len(), 5);
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = || Options { data_dir: Some(folder.path().to_owned()), ..Options::default() };
    let (target, url) = Target::start(0).await;
    let (cloud, base, http) = with_queue(options()).await;
    let body = task("later", &url, SignedDuration::from_millis(700));
    call(http.post(format!("{base}{QUEUE}/tasks")).json(&body)).await;
    cloud.shutdown().await.expect("stops");
    let (cloud, base, http) = with_queue(options()).await;
    target.wait_for(1).await;
    let (status, _) = call(http.post(format!("{base}{QUEUE}/tasks")).json(&body)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn what_is_wrong_or_not_done_is_refused_by_name() {
    let faults = Faults::default();
    let (cloud, base, http) = with_queue(Options { faults: faults.clone(), ..Options::default() }).await;
    let told = async |path: &str, body: Value| {
        let (status, error) = call(http.post(format!("{base}{path}")).json(&body)).await;
        format!("{} {}", status.as_u16(), error["error"]["message"].as_str().unwrap_or_default())
    };
    let tasks = format!("{QUEUE}/tasks");
    assert!(told(&tasks, json!({ "task": {} })).await.starts_with("400 expected an `httpRequest`"));
    assert!(told(&tasks, json!({ "task": { "appEngineHttpRequest": {} } })).await.starts_with("501"));
    assert!(
        told(&tasks, json!({ "task": { "httpRequest": { "url": "ftp://a" } } }))
            .await
            .starts_with("400 expected a URL")
    );
    assert!(
        told("projects/p/locations/l/queues/none/tasks", task("a", "http://a", SignedDuration::ZERO))
            .await
            .starts_with("400")
    );
    let unnamed = json!({ "task": { "httpRequest": { "url": "http://a" } } });
    assert!(told("projects/p/locations/l/queues/none/tasks", unnamed.clone()).await.starts_with("404"));
    assert!(told(&format!("{QUEUE}:pause"), json!({})).await.starts_with("501"));
    faults.inject(Rule::new("tasks/POST", When::Next(1), Action::error(tonic::Code::Unavailable, "away")));
    assert_eq!(told(&tasks, unnamed).await, "503 away");
    cloud.shutdown().await.expect("stops");
}
