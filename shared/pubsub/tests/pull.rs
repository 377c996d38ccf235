//! Pulling and administration over the wire.

mod subscriptions;

use std::time::{Duration, Instant};

use pubsub::{
    AdminError, Client, DeadLetterPolicy, Delivery, OidcToken, PubSubConfig, PullError, PullLimits, RetryBackoff,
    SubscriptionSpec, TopicSpec,
};
use subscriptions::Subscriptions;

const IDLE: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(10);

async fn client() -> (Subscriptions, Client) {
    let (server, endpoint) = Subscriptions::start().await;
    let client =
        Client::connect(&PubSubConfig { project: "p".into(), endpoint: Some(endpoint) }).await.expect("a client");
    (server, client)
}

#[tokio::test]
async fn acks_have_arrived_once_the_pull_is_finished() {
    let (server, client) = client().await;
    server.offer(100);
    let mut pull = client.pull("s", PullLimits::default());
    let mut held = Vec::new();
    while let Some(received) = pull.next(IDLE).await.expect("no error") {
        held.push(received);
    }
    assert_eq!(held.len(), 100);
    let first = &held[0];
    assert_eq!((first.message.message_id.as_str(), first.message.data.as_ref()), ("0", b"data 0".as_slice()));
    assert_eq!(first.message.attribute("ce-id"), Some("0"));
    assert_eq!(first.message.publish_time.as_second(), 1_706_781_886);
    assert_eq!(first.delivery_attempt, Some(1));
    let kept = held.split_off(60);
    held.into_iter().for_each(|received| received.ack.ack());
    drop(kept);
    pull.finish(LIMIT).await.expect("flushed");
    let state = server.state();
    assert_eq!(state.acked.len(), 60);
    assert_eq!(state.nacked.len(), 40, "what was dropped is nacked");
    assert!(state.acked.iter().all(|id| id.parse::<usize>().is_ok_and(|id| id < 60)));
    assert_eq!(state.asked, Some((10_000, 128 << 20)), "the bounds are told to the server");
}

#[tokio::test]
async fn an_idle_subscription_gives_nothing_and_messages_that_come_later_are_not_lost() {
    let (server, client) = client().await;
    let mut pull = client.pull("s", PullLimits::default());
    assert!(pull.next(Duration::from_millis(50)).await.expect("no error").is_none());
    server.offer(1);
    let received = pull.next(LIMIT).await.expect("no error").expect("a message");
    received.ack.ack();
    pull.finish(LIMIT).await.expect("flushed");
    assert_eq!(server.state().acked.len(), 1);
}

#[tokio::test]
async fn a_message_that_is_still_held_is_told_of() {
    let (server, client) = client().await;
    server.offer(1);
    let mut pull = client.pull("s", PullLimits::default());
    let held = pull.next(LIMIT).await.expect("no error").expect("a message");
    let began = Instant::now();
    let finished = pull.finish(Duration::from_millis(200)).await;
    assert!(matches!(finished, Err(PullError::Flush { .. })), "{finished:?}");
    assert!(began.elapsed() < LIMIT);
    drop(held);
}

#[tokio::test]
async fn a_subscription_that_does_not_exist_is_an_error() {
    let (_server, client) = client().await;
    let mut pull = client.pull("absent", PullLimits::default());
    let next = pull.next(LIMIT).await;
    assert!(matches!(next, Err(PullError::Stream(_))), "{next:?}");
}

#[tokio::test]
async fn topics_and_subscriptions_are_made_once_and_changed_after() {
    let (server, client) = client().await;
    let admin = client.admin();
    let topic = TopicSpec { id: "t".into(), retention: Some(Duration::from_secs(3600)) };
    for _ in 0..2 {
        admin.ensure_topic(&topic).await.expect("made, or there");
    }
    assert!(admin.topic_exists("t").await.expect("an answer"));
    assert!(!admin.topic_exists("u").await.expect("an answer"));

    let mut spec = SubscriptionSpec {
        delivery: Delivery::Push {
            endpoint: "http://localhost:1/push".into(),
            oidc: Some(OidcToken { service_account: "a@p".into(), audience: "aud".into() }),
            unwrapped: false,
        },
        ack_deadline: Duration::from_secs(20),
        ordered: true,
        retry: Some(RetryBackoff { minimum: Duration::from_millis(100), maximum: Duration::from_secs(60) }),
        dead_letter: Some(DeadLetterPolicy { topic: "dead".into(), max_delivery_attempts: 5 }),
        ..SubscriptionSpec::pull("s", "t")
    };
    admin.ensure_subscription(&spec).await.expect("made");
    spec.ack_deadline = Duration::from_secs(30);
    for _ in 0..2 {
        admin.ensure_subscription(&spec).await.expect("changed, or the same");
    }
    {
        let state = server.state();
        let made = &state.subscriptions["projects/p/subscriptions/s"];
        assert_eq!((made.topic.as_str(), made.ack_deadline_seconds), ("projects/p/topics/t", 30));
        assert!(made.enable_message_ordering);
        assert_eq!(made.expiration_policy.map(|policy| policy.ttl), Some(None), "it never expires");
        let push = made.push_config.as_ref().expect("push");
        assert_eq!(push.push_endpoint, "http://localhost:1/push");
        let policy = made.dead_letter_policy.as_ref().expect("a policy");
        assert_eq!((policy.dead_letter_topic.as_str(), policy.max_delivery_attempts), ("projects/p/topics/dead", 5));
        let backoff = made.retry_policy.as_ref().and_then(|retry| retry.minimum_backoff).expect("a back-off");
        assert_eq!(backoff.nanos, 100_000_000);
        assert_eq!(state.masks, [["ack_deadline_seconds"]], "only what differs is changed, once");
    }
    let other = SubscriptionSpec { ordered: false, ..spec };
    let error = admin.ensure_subscription(&other).await.expect_err("cannot be changed");
    assert!(matches!(error, AdminError::Immutable { what: "message ordering", .. }), "{error}");
    for _ in 0..2 {
        admin.delete_subscription("s").await.expect("deleted, or gone");
    }
}
