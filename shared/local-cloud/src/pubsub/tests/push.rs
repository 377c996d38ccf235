use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use parking_lot::Mutex;
use serde_json::Value;

use super::*;

/// One push as the endpoint got it.
#[derive(Debug, Clone)]
pub(super) struct Push {
    headers: HeaderMap,
    body: Bytes,
}

impl Push {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("is JSON")
    }

    pub(super) fn data(&self) -> String {
        let json = self.json();
        let data = STANDARD.decode(json["message"]["data"].as_str().unwrap_or_default()).expect("is base64");
        String::from_utf8(data).expect("is text")
    }
}

type Answer = Box<dyn Fn(usize, &Push) -> u16 + Send + Sync>;

/// A push endpoint that keeps what it gets.
pub(super) struct Endpoint {
    pub(super) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Answer,
    pushes: Mutex<Vec<Push>>,
    active: AtomicUsize,
    most_active: AtomicUsize,
    delay: Duration,
}

impl Endpoint {
    /// `answer` gets the number of the push, from 0, and the push, and gives the status.
    pub(super) async fn start(answer: impl Fn(usize, &Push) -> u16 + Send + Sync + 'static) -> Self {
        Self::slow(Duration::ZERO, answer).await
    }

    async fn slow(delay: Duration, answer: impl Fn(usize, &Push) -> u16 + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            pushes: Mutex::default(),
            active: AtomicUsize::new(0),
            most_active: AtomicUsize::new(0),
            delay,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/push?a=b", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    pub(super) fn pushes(&self) -> Vec<Push> {
        self.shared.pushes.lock().clone()
    }

    pub(super) fn data(&self) -> Vec<String> {
        self.pushes().iter().map(Push::data).collect()
    }

    pub(super) async fn got(&self, count: usize) {
        until(&format!("{count} pushes"), || self.shared.pushes.lock().len() >= count).await;
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let push = Push { headers, body };
    let active = shared.active.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most_active.fetch_max(active, Ordering::SeqCst);
    let number = {
        let mut pushes = shared.pushes.lock();
        pushes.push(push.clone());
        pushes.len() - 1
    };
    tokio::time::sleep(shared.delay).await;
    shared.active.fetch_sub(1, Ordering::SeqCst);
    StatusCode::from_u16((shared.answer)(number, &push)).expect("a status")
}

pub(super) fn pushing(id: &str, topic: &str, endpoint: &Endpoint) -> pb::Subscription {
    let push_config = Some(pb::PushConfig { push_endpoint: endpoint.url.clone(), ..Default::default() });
    pb::Subscription { push_config, ..subscription(id, topic) }
}

#[tokio::test]
async fn a_push_is_acked_by_the_statuses_that_the_service_names() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let statuses = [503, 200, 201, 202, 204, 203, 304, 404];
    let endpoint = Endpoint::start(move |number, _| statuses.get(number).copied().unwrap_or(204)).await;
    let name =
        world.subscribe(pb::Subscription { retry_policy: retry_after(1), ..pushing("sub", &topic, &endpoint) }).await;
    for (message_data, pushes) in [("503 then 200", 2), ("201", 3), ("202", 4), ("204", 5), ("203, 304, 404", 9)] {
        world.publish(&topic, vec![message(message_data)]).await;
        endpoint.got(pushes).await;
        world.drained(&name).await;
        assert_eq!(endpoint.pushes().len(), pushes, "{message_data}");
    }
    let stats = world.stats(&name);
    assert_eq!((stats.acked, stats.nacked, stats.delivered), (5, 4, 9));
}

#[tokio::test]
async fn a_wrapped_push_carries_what_the_service_sends() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let dead = world.topic("dead").await;
    let endpoint = Endpoint::start(|number, _| if number == 0 { 500 } else { 204 }).await;
    let name = world
        .subscribe(pb::Subscription {
            dead_letter_policy: dead_letter_policy(&dead, 5),
            ..pushing("sub", &topic, &endpoint)
        })
        .await;
    let sent = pb::PubsubMessage {
        data: "{}".into(),
        attributes: HashMap::from([("ce-id".to_owned(), "e-1".to_owned())]),
        ordering_key: "k".into(),
        ..Default::default()
    };
    let id = world.publish(&topic, vec![sent]).await.remove(0);
    endpoint.got(2).await;
    world.drained(&name).await;
    for (attempt, push) in (1..).zip(endpoint.pushes()) {
        let json = push.json();
        assert_eq!(json["deliveryAttempt"], attempt);
        assert_eq!(json["subscription"], name);
        assert_eq!(json["message"]["messageId"], id);
        assert_eq!(json["message"]["message_id"], id);
        assert_eq!(json["message"]["publishTime"], json["message"]["publish_time"]);
        assert_eq!(json["message"]["orderingKey"], "k");
        assert_eq!(json["message"]["attributes"]["ce-id"], "e-1");
        assert_eq!(push.headers["content-type"], "application/json");
        assert!(!push.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn an_unwrapped_push_carries_the_data_alone() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let endpoint = Endpoint::start(|_, _| 204).await;
    let mut subscription = pushing("sub", &topic, &endpoint);
    let push_config = subscription.push_config.as_mut().expect("is set");
    push_config.wrapper =
        Some(pb::push_config::Wrapper::NoWrapper(pb::push_config::NoWrapper { write_metadata: true }));
    let name = world.subscribe(subscription).await;
    let attributes = [("Content-Type", "application/json"), ("Host", "evil"), ("not a header", "x")];
    let sent = pb::PubsubMessage { data: "{\"a\": 1}".into(), ..tagged(&attributes) };
    let id = world.publish(&topic, vec![sent]).await.remove(0);
    endpoint.got(1).await;
    let push = endpoint.pushes().remove(0);
    assert_eq!(push.body, "{\"a\": 1}");
    assert_eq!(push.headers["x-goog-pubsub-message-id"], id.as_str());
    assert_eq!(push.headers["x-goog-pubsub-subscription-name"], name.as_str());
    assert_eq!(push.headers["content-type"], "application/json");
    assert_ne!(push.headers["host"], "evil");
}

#[tokio::test]
async fn a_push_token_verifies_against_the_key_set() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let endpoint = Endpoint::start(|_, _| 204).await;
    let mut subscription = pushing("sub", &topic, &endpoint);
    let email = "pusher@p.iam.gserviceaccount.com";
    let token = pb::push_config::OidcToken { service_account_email: email.into(), audience: "loader".into() };
    let push_config = subscription.push_config.as_mut().expect("is set");
    push_config.authentication_method = Some(pb::push_config::AuthenticationMethod::OidcToken(token));
    world.subscribe(subscription).await;
    world.publish(&topic, vec![message("one")]).await;
    endpoint.got(1).await;

    let url = format!("{}{}", world.base, crate::pubsub::JWKS_PATH);
    let keys: JwkSet = reqwest::get(url).await.expect("answers").json().await.expect("is a key set");
    let push = endpoint.pushes().remove(0);
    let authorization = push.headers["authorization"].to_str().expect("is text").to_owned();
    let token = authorization.strip_prefix("Bearer ").expect("is a bearer token");
    let header = jsonwebtoken::decode_header(token).expect("has a header");
    let key = keys.find(&header.kid.expect("names its key")).expect("is in the set");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["loader"]);
    validation.set_issuer(&["https://accounts.google.com"]);
    let key = DecodingKey::from_jwk(key).expect("is a key");
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).expect("verifies").claims;
    assert_eq!(claims["email"], email);
    assert_eq!(claims["email_verified"], true);
}

#[tokio::test]
async fn a_poisoned_message_holds_up_nobody_and_ends_as_a_dead_letter() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let dead = world.topic("dead").await;
    let letters = world.subscribe(subscription("letters", &dead)).await;
    let endpoint = Endpoint::start(|_, push| if push.data() == "poison" { 400 } else { 204 }).await;
    let name = world
        .subscribe(pb::Subscription {
            dead_letter_policy: dead_letter_policy(&dead, 5),
            ..pushing("sub", &topic, &endpoint)
        })
        .await;
    let mut sent = vec![message("poison")];
    sent.extend((0..200).map(|n| message(&n.to_string())));
    world.publish(&topic, sent).await;
    until("the others are acked", || world.stats(&name).acked == 200).await;
    assert!(world.stats(&name).nacked < 5);
    assert_eq!(data(&world.pull_some(&letters).await), ["poison"]);
    world.drained(&name).await;
    assert_eq!(world.stats(&name).nacked, 5);
}

#[tokio::test]
async fn a_key_has_one_push_on_its_way() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let failed = Mutex::new(std::collections::HashSet::new());
    let endpoint = Endpoint::start(move |_, push| {
        // Every third message fails once.
        let data = push.data();
        let number: usize = data.split('-').nth(1).and_then(|n| n.parse().ok()).expect("a number");
        if number.is_multiple_of(3) && failed.lock().insert(data) { 500 } else { 204 }
    })
    .await;
    let name = world
        .subscribe(pb::Subscription {
            enable_message_ordering: true,
            retry_policy: retry_after(5),
            ..pushing("sub", &topic, &endpoint)
        })
        .await;
    let sent: Vec<_> = (0..60).map(|n| keyed(&format!("k{}", n % 4), &format!("k{}-{}", n % 4, n / 4))).collect();
    world.publish(&topic, sent).await;
    world.drained(&name).await;
    for key in 0..4 {
        let prefix = format!("k{key}-");
        let mut of_key: Vec<_> = endpoint.data().into_iter().filter(|data| data.starts_with(&prefix)).collect();
        of_key.dedup();
        assert_eq!(of_key, (0..15).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_found_soon() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = well.clone();
    let endpoint = Endpoint::start(move |_, _| if is_well.load(Ordering::SeqCst) { 204 } else { 503 }).await;
    let name = world.subscribe(pushing("sub", &topic, &endpoint)).await;
    world.publish(&topic, (0..500).map(|n| message(&n.to_string())).collect()).await;
    until("it gives up on nothing", || world.stats(&name).nacked >= 70).await;
    well.store(true, Ordering::SeqCst);
    world.drained(&name).await;
    let stats = world.stats(&name);
    assert_eq!(stats.acked, 500);
    assert!(stats.nacked < 500, "it slowed down while nothing succeeded: {stats:?}");
}

#[tokio::test]
async fn a_push_endpoint_can_change_while_messages_wait() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let broken = Endpoint::start(|_, _| 500).await;
    let working = Endpoint::start(|_, _| 204).await;
    let name = world.subscribe(pushing("sub", &topic, &broken)).await;
    world.publish(&topic, vec![message("one")]).await;
    broken.got(1).await;
    let push_config = pushing("sub", &topic, &working).push_config;
    let request = pb::ModifyPushConfigRequest { subscription: name.clone(), push_config };
    world.subscriber.modify_push_config(request).await.expect("modifies");
    world.drained(&name).await;
    assert_eq!(working.data(), ["one"]);
}

#[tokio::test]
async fn pushes_go_out_side_by_side() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let endpoint = Endpoint::slow(Duration::from_millis(50), |_, _| 204).await;
    let name = world.subscribe(pushing("sub", &topic, &endpoint)).await;
    world.publish(&topic, (0..600).map(|n| message(&n.to_string())).collect()).await;
    world.drained(&name).await;
    let most = endpoint.shared.most_active.load(Ordering::SeqCst);
    assert!((32..=1000).contains(&most), "{most} at once");
    assert_eq!(endpoint.pushes().len(), 600);
}
