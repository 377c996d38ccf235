use googleapis::google::pubsub::v1::{StreamingPullRequest, StreamingPullResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::*;

/// An open stream.
struct Pulling {
    requests: mpsc::Sender<StreamingPullRequest>,
    responses: Streaming<StreamingPullResponse>,
}

fn opening(subscription: &str) -> StreamingPullRequest {
    StreamingPullRequest { subscription: subscription.into(), stream_ack_deadline_seconds: 10, ..Default::default() }
}

impl Pulling {
    async fn open(world: &mut World, first: StreamingPullRequest) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(100);
        requests.send(first).await.expect("is open");
        let responses = world.subscriber.streaming_pull(ReceiverStream::new(stream)).await?.into_inner();
        Ok(Self { requests, responses })
    }

    async fn next(&mut self) -> StreamingPullResponse {
        let next = tokio::time::timeout(Duration::from_secs(20), self.responses.message());
        next.await.expect("a response in time").expect("no error").expect("the stream is open")
    }

    /// Receives this many messages.
    async fn receive(&mut self, count: usize) -> Vec<pb::ReceivedMessage> {
        let mut received = Vec::new();
        while received.len() < count {
            received.extend(self.next().await.received_messages);
        }
        assert_eq!(received.len(), count);
        received
    }

    async fn ack(&self, messages: &[pb::ReceivedMessage]) {
        let ack_ids = messages.iter().map(|message| message.ack_id.clone()).collect();
        self.requests.send(StreamingPullRequest { ack_ids, ..Default::default() }).await.expect("is open");
    }

    async fn nack(&self, messages: &[pb::ReceivedMessage]) {
        let modify_deadline_ack_ids: Vec<_> = messages.iter().map(|message| message.ack_id.clone()).collect();
        let modify_deadline_seconds = vec![0; modify_deadline_ack_ids.len()];
        let request = StreamingPullRequest { modify_deadline_ack_ids, modify_deadline_seconds, ..Default::default() };
        self.requests.send(request).await.expect("is open");
    }

    /// Nothing comes for a while.
    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(150), self.responses.message()).await.is_err()
    }
}

#[tokio::test]
async fn messages_flow_while_there_is_room() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let first = StreamingPullRequest { max_outstanding_messages: 3, ..opening(&name) };
    let mut pulling = Pulling::open(&mut world, first).await.expect("opens");
    world.publish(&topic, (0..10).map(|n| message(&n.to_string())).collect()).await;
    let mut seen = pulling.receive(3).await;
    assert!(pulling.is_silent().await, "the client holds as many as it may");
    pulling.ack(&seen[..1]).await;
    seen.extend(pulling.receive(1).await);
    assert!(pulling.is_silent().await);
    world.ack(&name, &seen[1..]).await;
    let mut rest = pulling.receive(3).await;
    while seen.len() + rest.len() < 10 {
        pulling.ack(&rest).await;
        let more = 3.min(10 - seen.len() - rest.len());
        seen.extend(std::mem::replace(&mut rest, pulling.receive(more).await));
    }
    pulling.ack(&rest).await;
    seen.extend(rest);
    assert_eq!(data(&seen), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    world.drained(&name).await;
}

#[tokio::test]
async fn several_thousand_messages_pass_through_small_batches() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    for chunk in 0..5 {
        world.publish(&topic, (0..1000).map(|n| message(&format!("{}", chunk * 1000 + n))).collect()).await;
    }
    let mut pulling = Pulling::open(&mut world, opening(&name)).await.expect("opens");
    let received = pulling.receive(5000).await;
    assert_eq!(data(&received), (0..5000).map(|n| n.to_string()).collect::<Vec<_>>());
    pulling.ack(&received).await;
    world.drained(&name).await;
}

#[tokio::test]
async fn a_key_stays_in_order_through_a_nack() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(pb::Subscription { enable_message_ordering: true, ..subscription("sub", &topic) }).await;
    let mut pulling = Pulling::open(&mut world, opening(&name)).await.expect("opens");
    world.publish(&topic, vec![keyed("k", "1"), keyed("k", "2"), keyed("l", "a"), keyed("k", "3")]).await;
    let received = pulling.receive(4).await;
    let of_k = |messages: &[pb::ReceivedMessage]| -> Vec<String> {
        data(messages).into_iter().filter(|data| data != "a").collect()
    };
    assert_eq!(of_k(&received), ["1", "2", "3"]);
    let two = received.iter().position(|m| data(std::slice::from_ref(m)) == ["2"]).expect("is there");
    pulling.nack(&received[two..=two]).await;
    let again = pulling.receive(2).await;
    assert_eq!(data(&again), ["2", "3"]);
    pulling.ack(&received).await;
    pulling.ack(&again).await;
    world.drained(&name).await;
}

#[tokio::test]
async fn exactly_once_acks_are_confirmed() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name =
        world.subscribe(pb::Subscription { enable_exactly_once_delivery: true, ..subscription("sub", &topic) }).await;
    let mut pulling = Pulling::open(&mut world, opening(&name)).await.expect("opens");
    world.publish(&topic, vec![message("one")]).await;
    let response = pulling.next().await;
    let properties = response.subscription_properties.expect("properties");
    assert!(properties.exactly_once_delivery_enabled);
    let first = response.received_messages;
    pulling.nack(&first).await;
    let modified = pulling.next().await.modify_ack_deadline_confirmation.expect("a confirmation");
    assert_eq!(modified.ack_ids, [first[0].ack_id.clone()]);
    let second = pulling.receive(1).await;
    pulling.ack(&first).await;
    let acked = pulling.next().await.acknowledge_confirmation.expect("a confirmation");
    assert_eq!(acked.invalid_ack_ids, [first[0].ack_id.clone()]);
    pulling.ack(&second).await;
    let acked = pulling.next().await.acknowledge_confirmation.expect("a confirmation");
    assert_eq!(acked.ack_ids, [second[0].ack_id.clone()]);
    world.drained(&name).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_reason() {
    let mut world = World::start().await;
    let topic = world.topic("orders").await;
    let name = world.subscribe(subscription("sub", &topic)).await;
    let short = StreamingPullRequest { stream_ack_deadline_seconds: 5, ..opening(&name) };
    let refused = Pulling::open(&mut world, short).await.err().expect("is refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let missing = Pulling::open(&mut world, opening("projects/p/subscriptions/none")).await.err();
    assert_eq!(missing.expect("is refused").code(), Code::NotFound);

    let mut pulling = Pulling::open(&mut world, opening(&name)).await.expect("opens");
    pulling.requests.send(opening(&name)).await.expect("is open");
    let status = pulling.responses.message().await.expect_err("only the first names the subscription");
    assert_eq!(status.code(), Code::InvalidArgument);

    let mut pulling = Pulling::open(&mut world, opening(&name)).await.expect("opens");
    let request = pb::DeleteSubscriptionRequest { subscription: name.clone() };
    world.subscriber.delete_subscription(request).await.expect("deletes");
    assert_eq!(pulling.responses.message().await.expect_err("is gone").code(), Code::NotFound);

    let name = world.subscribe(subscription("other", &topic)).await;
    let mut pulling = Pulling::open(&mut world, opening(&name)).await.expect("opens");
    world.server.shutdown().await.expect("stops");
    let ended = pulling.responses.message().await;
    assert_eq!(ended.expect_err("the server stopped").code(), Code::Unavailable);
}
