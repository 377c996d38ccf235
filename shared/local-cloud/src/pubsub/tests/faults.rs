use tonic::Code;

use super::{
    push::{Endpoint, pushing},
    *,
};
use crate::faults::{Action, Rule, When};

#[tokio::test]
async fn a_publish_fails_as_the_rule_says() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let request = pb::PublishRequest { topic: topic.clone(), messages: vec![message("one")] };
    for (action, code, backlog) in [
        (Action::error(Code::ResourceExhausted, "slow down"), Some(Code::ResourceExhausted), 0),
        (Action::ApplyThenFail, Some(Code::Unavailable), 1),
        (Action::Delay(Duration::from_millis(1)), None, 2),
    ] {
        world.faults.inject(Rule::new("Publisher/Publish", When::Next(1), action.clone()));
        let published = world.publisher.publish(request.clone()).await;
        assert_eq!(published.err().map(|status| status.code()), code, "{action:?}");
        assert_eq!(world.stats(&name).backlog, backlog, "{action:?}");
        world.faults.clear();
    }
}

#[tokio::test]
async fn a_dropped_connection_is_dropped() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    world.faults.inject(Rule::new("Publisher/Publish", When::Next(1), Action::DropConnection));
    let request = pb::PublishRequest { topic: topic.clone(), messages: vec![message("one")] };
    let failed = world.publisher.publish(request).await.expect_err("the connection is gone");
    assert!(matches!(failed.code(), Code::Unknown | Code::Unavailable | Code::Internal), "{failed:?}");
    // The client connects again by itself.
    world.publish(&topic, vec![message("two")]).await;
}

#[tokio::test]
async fn a_push_is_doubled_lost_or_refused_as_the_rule_says() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let endpoint = Endpoint::start(|_, _| 204).await;
    let name =
        world.subscribe(pb::Subscription { retry_policy: retry_after(1), ..pushing("sub", &topic, &endpoint) }).await;
    for (calls, action, pushes) in [
        ("push", Action::Duplicate, 2),
        ("push/sub", Action::ApplyThenFail, 2),
        ("push", Action::error(Code::Unavailable, ""), 1),
    ] {
        let before = endpoint.pushes().len();
        world.faults.inject(Rule::new(calls, When::Next(1), action.clone()));
        world.publish(&topic, vec![message("one")]).await;
        endpoint.got(before + pushes).await;
        world.drained(&name).await;
        assert_eq!(endpoint.pushes().len(), before + pushes, "{action:?}");
        world.faults.clear();
    }
}
