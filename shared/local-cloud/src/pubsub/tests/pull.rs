use tonic::Code;

use super::*;

#[tokio::test]
async fn each_subscription_gets_each_message_once() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let early = world.subscribe(subscription("early", &topic)).await;
    let ids = world.publish(&topic, vec![message("one"), message("two")]).await;
    let late = world.subscribe(subscription("late", &topic)).await;
    world.publish(&topic, vec![message("three")]).await;

    let received = world.pull(&early).await;
    assert_eq!(data(&received), ["one", "two", "three"]);
    let first = received[0].message.as_ref().expect("a message");
    assert_eq!(first.message_id, ids[0]);
    assert!(first.publish_time.is_some());
    assert_eq!(received[0].delivery_attempt, 0, "there is no dead-letter policy");
    world.ack(&early, &received).await;
    assert_eq!(data(&world.pull(&late).await), ["three"]);
    assert!(world.pull(&early).await.is_empty());
    let stats = world.stats(&early);
    assert_eq!((stats.backlog, stats.delivered, stats.acked, stats.nacked), (0, 3, 3, 0));
    assert_eq!(world.stats(&late).backlog, 1);
}

#[tokio::test]
async fn a_pull_waits_for_a_message() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let mut subscriber = world.subscriber.clone();
    let request = pb::PullRequest { subscription: name, max_messages: 10, ..Default::default() };
    let waiting = tokio::spawn(async move { subscriber.pull(request).await });
    world.publish(&topic, vec![message("at last")]).await;
    let received = waiting.await.expect("ends").expect("pulls").into_inner().received_messages;
    assert_eq!(data(&received), ["at last"]);
}

#[tokio::test]
async fn a_nacked_message_comes_again_and_then_is_a_dead_letter() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let dead = world.topic("orders-dead").await;
    let letters = world.subscribe(subscription("letters", &dead)).await;
    let name = world
        .subscribe(pb::Subscription {
            dead_letter_policy: dead_letter_policy(&dead, 5),
            retry_policy: retry_after(10),
            ..subscription("sub", &topic)
        })
        .await;
    world.publish(&topic, vec![pb::PubsubMessage { data: "bad".into(), ..tagged(&[("a", "b")]) }]).await;
    for attempt in 1..=5 {
        let received = world.pull_some(&name).await;
        assert_eq!(received[0].delivery_attempt, attempt);
        world.nack(&name, &received).await;
    }
    let letter = world.pull_some(&letters).await[0].message.clone().expect("a message");
    assert_eq!(letter.data, "bad");
    assert_eq!(letter.attributes["a"], "b");
    assert_eq!(letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"], "5");
    assert_eq!(letter.attributes["CloudPubSubDeadLetterSourceSubscription"], "sub");
    world.drained(&name).await;
    assert_eq!(world.stats(&name).dead_lettered, 1);
}

#[tokio::test]
async fn a_filter_keeps_the_others_out() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let filter = r#"attributes.type = "order" AND NOT attributes:test"#.to_owned();
    let name = world.subscribe(pb::Subscription { filter, ..subscription("sub", &topic) }).await;
    let sent = vec![
        tagged(&[("type", "order"), ("n", "1")]),
        tagged(&[("type", "stock")]),
        tagged(&[("type", "order"), ("test", "")]),
        message("untagged"),
    ];
    assert_eq!(world.publish(&topic, sent).await.len(), 4);
    let received = world.pull(&name).await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].message.as_ref().expect("a message").attributes["n"], "1");
    assert_eq!(world.stats(&name).backlog, 1);
}

#[tokio::test]
async fn exactly_once_delivery_names_the_acks_that_came_too_late() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name =
        world.subscribe(pb::Subscription { enable_exactly_once_delivery: true, ..subscription("sub", &topic) }).await;
    world.publish(&topic, vec![message("one")]).await;
    let first = world.pull(&name).await;
    world.nack(&name, &first).await;
    let second = world.pull_some(&name).await;
    let ack_ids = vec![first[0].ack_id.clone(), second[0].ack_id.clone()];
    let request = pb::AcknowledgeRequest { subscription: name.clone(), ack_ids: ack_ids.clone() };
    let status = world.subscriber.acknowledge(request).await.expect_err("the first is over");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details: googleapis::google::rpc::Status = prost::Message::decode(status.details()).expect("a status");
    let info: googleapis::google::rpc::ErrorInfo =
        prost::Message::decode(&*details.details[0].value).expect("an ErrorInfo");
    assert_eq!(info.metadata, HashMap::from([(ack_ids[0].clone(), "PERMANENT_FAILURE_INVALID_ACK_ID".to_owned())]));
    assert_eq!(world.stats(&name).backlog, 0, "the second is acked all the same");
}

#[tokio::test]
async fn a_foreign_ack_id_is_refused() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let request = pb::AcknowledgeRequest { subscription: name, ack_ids: vec!["made-up".into()] };
    let status = world.subscriber.acknowledge(request).await.expect_err("is no ack id");
    assert_eq!(status.message(), "You have passed an invalid ack ID to the service (ack_id=made-up).");
}

#[tokio::test]
async fn a_seek_brings_acked_messages_back() {
    let mut world = World::start().await;
    let retention = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let kept = pb::Topic { name: topic("kept"), message_retention_duration: retention, ..Default::default() };
    let kept = world.publisher.create_topic(kept).await.expect("is created").into_inner().name;
    let plain = world.topic("plain").await;
    let by_topic = world.subscribe(subscription("by-topic", &kept)).await;
    let by_itself =
        world.subscribe(pb::Subscription { retain_acked_messages: true, ..subscription("by-itself", &plain) }).await;
    let neither = world.subscribe(subscription("neither", &plain)).await;
    for topic in [&kept, &plain] {
        world.publish(topic, vec![message("one"), message("two")]).await;
    }
    for name in [&by_topic, &by_itself, &neither] {
        let received = world.pull(name).await;
        world.ack(name, &received).await;
    }
    let mut world = world.restart().await;
    let late = world.subscribe(subscription("late", &kept)).await;
    let start = prost_types::Timestamp { seconds: 1, nanos: 0 };
    for (name, expected) in [(&by_topic, 2), (&by_itself, 2), (&neither, 0), (&late, 2)] {
        let target = Some(pb::seek_request::Target::Time(start));
        world.subscriber.seek(pb::SeekRequest { subscription: name.clone(), target }).await.expect("seeks");
        assert_eq!(world.pull(name).await.len(), expected, "{name}");
    }
    let far = prost_types::Timestamp { seconds: 1 << 40, nanos: 0 };
    let target = Some(pb::seek_request::Target::Time(far));
    world.subscriber.seek(pb::SeekRequest { subscription: by_topic.clone(), target }).await.expect("seeks");
    assert_eq!(world.stats(&by_topic).backlog, 0);
}
