use tonic::Code;

use super::*;

#[tokio::test]
async fn topics_and_subscriptions_come_and_go() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let again = world.publisher.create_topic(pb::Topic { name: topic.clone(), ..Default::default() }).await;
    let status = again.expect_err("is there already");
    assert_eq!(
        (status.code(), status.message()),
        (Code::AlreadyExists, "Resource already exists in the project (resource=orders).")
    );
    for id in ["sub-a", "sub-b", "sub-c"] {
        world.subscribe(subscription(id, &topic)).await;
    }
    let request =
        pb::ListSubscriptionsRequest { project: "projects/p".into(), page_size: 2, page_token: String::new() };
    let first = world.subscriber.list_subscriptions(request.clone()).await.expect("lists").into_inner();
    assert_eq!(first.subscriptions.len(), 2);
    let request = pb::ListSubscriptionsRequest { page_token: first.next_page_token, ..request };
    let second = world.subscriber.list_subscriptions(request).await.expect("lists").into_inner();
    assert_eq!(second.subscriptions[0].name, "projects/p/subscriptions/sub-c");
    assert_eq!(second.next_page_token, "");

    let name = "projects/p/subscriptions/sub-b".to_owned();
    let request = pb::DeleteSubscriptionRequest { subscription: name.clone() };
    world.subscriber.delete_subscription(request).await.expect("deletes");
    let gone = world.subscriber.get_subscription(pb::GetSubscriptionRequest { subscription: name }).await;
    assert_eq!(gone.expect_err("is gone").message(), "Resource not found (resource=sub-b).");
    let request = pb::ListTopicSubscriptionsRequest { topic: topic.clone(), ..Default::default() };
    let left = world.publisher.list_topic_subscriptions(request).await.expect("lists").into_inner();
    assert_eq!(left.subscriptions, ["projects/p/subscriptions/sub-a", "projects/p/subscriptions/sub-c"]);

    world.publish(&topic, vec![message("before")]).await;
    world.publisher.delete_topic(pb::DeleteTopicRequest { topic: topic.clone() }).await.expect("deletes");
    let request = pb::GetSubscriptionRequest { subscription: left.subscriptions[0].clone() };
    let orphan = world.subscriber.get_subscription(request).await.expect("is there").into_inner();
    assert_eq!(orphan.topic, "_deleted-topic_");
    assert_eq!(data(&world.pull(&orphan.name).await), ["before"]);
    let publish = pb::PublishRequest { topic, messages: vec![message("after")] };
    assert_eq!(world.publisher.publish(publish).await.expect_err("is gone").code(), Code::NotFound);
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let request = |paths: &[&str]| pb::UpdateSubscriptionRequest {
        subscription: Some(pb::Subscription {
            ack_deadline_seconds: 42,
            filter: "attributes:a".into(),
            ..subscription("sub", "")
        }),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
    };
    let updated = world.subscriber.update_subscription(request(&["ack_deadline_seconds"])).await;
    assert_eq!(updated.expect("updates").into_inner().ack_deadline_seconds, 42);
    let refused = world.subscriber.update_subscription(request(&["filter"])).await.expect_err("is immutable");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = world.subscriber.update_subscription(request(&[])).await.expect_err("names nothing");
    assert_eq!(refused.code(), Code::InvalidArgument);

    let push_config = Some(pb::PushConfig { push_endpoint: "http://127.0.0.1:9/".into(), ..Default::default() });
    let request = pb::ModifyPushConfigRequest { subscription: name.clone(), push_config };
    world.subscriber.modify_push_config(request).await.expect("modifies");
    let pull = pb::PullRequest { subscription: name, max_messages: 1, ..Default::default() };
    assert_eq!(world.subscriber.pull(pull).await.expect_err("pushes").code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_detached_subscription_serves_no_more() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    world.publish(&topic, vec![message("lost")]).await;
    let request = pb::DetachSubscriptionRequest { subscription: name.clone() };
    world.publisher.detach_subscription(request).await.expect("detaches");
    world.publish(&topic, vec![message("never seen")]).await;
    let pull = pb::PullRequest { subscription: name.clone(), max_messages: 1, ..Default::default() };
    let mut world = {
        assert_eq!(
            world.subscriber.pull(pull.clone()).await.expect_err("is detached").code(),
            Code::FailedPrecondition
        );
        world.restart().await
    };
    assert_eq!(world.subscriber.pull(pull).await.expect_err("is detached").code(), Code::FailedPrecondition);
    assert_eq!(world.stats(&name).backlog, 0);
}

#[tokio::test]
async fn a_publish_that_breaks_a_limit_is_refused_whole() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let long = "x".repeat(257);
    for (messages, complaint) in [
        (vec![message("fine"), message("")], "One or more messages in the publish request is empty."),
        (vec![message("x"); 1001], "The value for message_count is too large. You passed 1001"),
        (vec![message(&"x".repeat(10_000_001))], "The value for request_size is too large."),
        (vec![tagged(&[(&long, "")])], "The value for attribute_key_size is too large."),
        (vec![tagged(&[("k", &"x".repeat(1025))])], "The value for attribute_value_size is too large."),
    ] {
        let request = pb::PublishRequest { topic: topic.clone(), messages };
        let status = world.publisher.publish(request).await.expect_err("is refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(complaint), "{}", status.message());
    }
    assert_eq!(world.stats(&name).backlog, 0);
    let largest = "x".repeat(10_000_000);
    world.publish(&topic, vec![message(&largest)]).await;
    assert_eq!(data(&world.pull(&name).await), [largest]);
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let snapshots = world.subscriber.list_snapshots(pb::ListSnapshotsRequest::default()).await;
    let status = snapshots.expect_err("is not there");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("snapshots"), "{}", status.message());
    let bigquery =
        pb::Subscription { bigquery_config: Some(pb::BigQueryConfig::default()), ..subscription("sub", &topic) };
    let status = world.subscriber.create_subscription(bigquery).await.expect_err("is not there");
    assert_eq!(status.message(), "The local Pub/Sub does not support bigquery_config.");
}
