//! Publishing over the wire.

mod peer;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use peer::Peer;
use pubsub::{Client, Outgoing, PubSubConfig, PublishError, PublishLimits, Publisher};
use tokio::sync::Semaphore;
use tonic::Status;

async fn publisher(limits: PublishLimits) -> (Peer, Publisher) {
    let (peer, endpoint) = Peer::start().await;
    let config = PubSubConfig { project: "p".into(), endpoint: Some(endpoint) };
    let client = Client::connect_with(&config, limits).await.expect("a client");
    (peer, client.publisher("t"))
}

fn message(text: &str, ordering_key: &str) -> Outgoing {
    let attributes = BTreeMap::from([("ce-id".to_owned(), text.to_owned())]);
    Outgoing { data: text.to_owned().into(), attributes, ordering_key: ordering_key.into() }
}

/// Polls until `holds`.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn texts(peer: &Peer) -> Vec<String> {
    peer.state().messages.iter().map(|m| String::from_utf8_lossy(&m.data).into_owned()).collect()
}

#[tokio::test]
async fn messages_share_requests_and_answers_keep_their_order() {
    let (peer, publisher) = publisher(PublishLimits::default()).await;
    let messages: Vec<_> = (0..1000).map(|n| message(&n.to_string(), "")).collect();
    let ids: Vec<String> = publisher.publish(messages).await.into_iter().map(|id| id.expect("published")).collect();
    let state = peer.state();
    assert_eq!(state.messages.len(), 1000);
    assert!(state.requests <= 10, "{} requests", state.requests);
    for (n, id) in ids.iter().enumerate() {
        let message = &state.messages[id.parse::<usize>().expect("the place")];
        assert_eq!(message.data, n.to_string());
        assert_eq!(message.attributes["ce-id"], n.to_string());
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_once_and_fits_again_later() {
    let limits = PublishLimits { outstanding_bytes: 1000, ..PublishLimits::default() };
    let (peer, publisher) = publisher(limits).await;
    let gate = Arc::new(Semaphore::new(0));
    peer.state().gate = Some(Arc::clone(&gate));
    let large = Outgoing { data: vec![0; 900].into(), ..Outgoing::default() };
    let first = tokio::spawn({
        let (publisher, large) = (publisher.clone(), large.clone());
        async move { publisher.publish(vec![large]).await }
    });
    until("the first request", || peer.state().waiting == 1).await;
    let second = publisher.publish(vec![large.clone(), large.clone()]).await;
    assert_eq!(second.len(), 2);
    assert!(matches!(
        second[..],
        [Err(PublishError::Overloaded { limit: 1000 }), Err(PublishError::Overloaded { .. })]
    ));
    gate.add_permits(100);
    assert!(first.await.expect("no panic")[0].is_ok());
    let third = publisher.publish(vec![large.clone(), large]).await;
    assert!(third.iter().all(Result::is_ok), "larger than all room goes alone: {third:?}");
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nothing_and_flush_waits() {
    let (peer, publisher) = publisher(PublishLimits::default()).await;
    let gate = Arc::new(Semaphore::new(0));
    peer.state().gate = Some(Arc::clone(&gate));
    let caller = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish(vec![message("kept", "")]).await }
    });
    until("the request", || peer.state().waiting == 1).await;
    caller.abort();
    assert!(caller.await.expect_err("aborted").is_cancelled());
    gate.add_permits(1);
    publisher.flush().await;
    assert_eq!(texts(&peer), ["kept"]);
}

#[tokio::test]
async fn passing_faults_are_tried_again() {
    let (peer, publisher) = publisher(PublishLimits::default()).await;
    peer.state().refusals = [Status::unavailable("restarting"), Status::resource_exhausted("quota")].into();
    assert!(publisher.publish(vec![message("a", "")]).await[0].is_ok());
    assert_eq!(peer.state().requests, 3);
}

#[tokio::test]
async fn trying_again_ends() {
    let limits = PublishLimits { time_limit: Duration::from_millis(300), ..PublishLimits::default() };
    let (peer, publisher) = publisher(limits).await;
    peer.state().refusals = (0..10_000).map(|_| Status::unavailable("down")).collect();
    let began = Instant::now();
    let result = publisher.publish(vec![message("a", "")]).await;
    assert!(matches!(result[0], Err(PublishError::Unavailable(_))), "{result:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_permanent_fault_is_told_apart() {
    let (peer, publisher) = publisher(PublishLimits::default()).await;
    peer.state().refusals = [Status::not_found("no such topic")].into();
    let result = publisher.publish(vec![message("a", "")]).await;
    let error = result[0].as_ref().expect_err("refused");
    assert!(matches!(error, PublishError::Refused(_)) && !error.is_transient());
}

#[tokio::test]
async fn a_key_that_failed_can_be_published_to_again() {
    let (peer, publisher) = publisher(PublishLimits::default()).await;
    peer.state().refusals = [Status::permission_denied("not yet")].into();
    let failed = publisher.publish(vec![message("1", "k"), message("2", "k")]).await;
    assert!(failed.iter().all(Result::is_err), "nothing overtakes what failed: {failed:?}");
    for round in ["3", "4", "5"] {
        let again = publisher.publish(vec![message(round, "k")]).await;
        assert!(again[0].is_ok(), "{again:?}");
    }
    assert_eq!(texts(&peer), ["3", "4", "5"]);
}

#[tokio::test]
async fn keys_keep_their_order_across_more_of_them_than_a_batcher_holds() {
    let (peer, publisher) = publisher(PublishLimits::default()).await;
    const KEYS: usize = 5000;
    for start in (0..KEYS).step_by(1000) {
        let messages = (start..start + 1000).map(|key| message("other", &format!("k{key}")));
        let ours = (0..2).map(|n| message(&format!("{}", start / 500 + n), "ours"));
        let results = publisher.publish(messages.chain(ours).collect()).await;
        assert!(results.iter().all(Result::is_ok));
    }
    let ours: Vec<_> = texts(&peer).into_iter().filter(|text| text != "other").collect();
    assert_eq!(ours, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(peer.state().messages.len(), KEYS + 10);
}
