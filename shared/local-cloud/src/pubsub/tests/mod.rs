//! The server over its real wire.

mod admin;
mod faults;
mod google_client;
mod pull;
mod push;
mod restart;
mod streaming_pull;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use googleapis::google::pubsub::v1::{
    self as pb, publisher_client::PublisherClient, subscriber_client::SubscriberClient,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Channel;

use super::{Server, SubscriptionStats};
use crate::faults::Faults;

/// A running Pub/Sub with Google's own stubs as clients.
struct World {
    server: Server,
    faults: Faults,
    folder: Arc<TempDir>,
    base: String,
    publisher: PublisherClient<Channel>,
    subscriber: SubscriberClient<Channel>,
}

impl World {
    async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a folder"))).await
    }

    async fn start_in(folder: Arc<TempDir>) -> Self {
        let faults = Faults::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let server = super::start(listener, folder.path().to_owned(), faults.clone()).await.expect("the server starts");
        let channel = Channel::from_shared(base.clone()).expect("a URI").connect().await.expect("the server answers");
        Self {
            server,
            faults,
            folder,
            publisher: PublisherClient::new(channel.clone()),
            subscriber: SubscriberClient::new(channel).max_decoding_message_size(usize::MAX),
            base,
        }
    }

    /// Stops the server and starts another on its data.
    async fn restart(self) -> Self {
        let folder = self.folder.clone();
        self.server.shutdown().await.expect("stops");
        Self::start_in(folder).await
    }

    async fn topic(&mut self, id: &str) -> String {
        let name = topic(id);
        self.publisher
            .create_topic(pb::Topic { name: name.clone(), ..Default::default() })
            .await
            .expect("a topic is created");
        name
    }

    async fn subscribe(&mut self, subscription: pb::Subscription) -> String {
        let name = subscription.name.clone();
        self.subscriber.create_subscription(subscription).await.expect("a subscription is created");
        name
    }

    async fn publish(&mut self, topic: &str, messages: Vec<pb::PubsubMessage>) -> Vec<String> {
        let request = pb::PublishRequest { topic: topic.into(), messages };
        self.publisher.publish(request).await.expect("publishes").into_inner().message_ids
    }

    /// Pulls what is there at once.
    async fn pull(&mut self, subscription: &str) -> Vec<pb::ReceivedMessage> {
        #[allow(deprecated, reason = "the tests want no waiting")]
        let request =
            pb::PullRequest { subscription: subscription.into(), return_immediately: true, max_messages: 1000 };
        self.subscriber.pull(request).await.expect("pulls").into_inner().received_messages
    }

    /// Pulls until there is something.
    async fn pull_some(&mut self, subscription: &str) -> Vec<pb::ReceivedMessage> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let received = self.pull(subscription).await;
            if !received.is_empty() || Instant::now() > deadline {
                return received;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn ack(&mut self, subscription: &str, messages: &[pb::ReceivedMessage]) {
        let ack_ids = messages.iter().map(|message| message.ack_id.clone()).collect();
        let request = pb::AcknowledgeRequest { subscription: subscription.into(), ack_ids };
        self.subscriber.acknowledge(request).await.expect("acks");
    }

    async fn nack(&mut self, subscription: &str, messages: &[pb::ReceivedMessage]) {
        let ack_ids = messages.iter().map(|message| message.ack_id.clone()).collect();
        let request =
            pb::ModifyAckDeadlineRequest { subscription: subscription.into(), ack_ids, ack_deadline_seconds: 0 };
        self.subscriber.modify_ack_deadline(request).await.expect("nacks");
    }

    fn stats(&self, subscription: &str) -> SubscriptionStats {
        let stats = self.server.stats();
        stats.into_iter().find(|stats| stats.name == subscription).expect("a subscription of this name")
    }

    /// Waits until nothing is unacked.
    async fn drained(&self, subscription: &str) {
        until(subscription, || self.stats(subscription).backlog == 0).await;
    }
}

fn topic(id: &str) -> String {
    format!("projects/p/topics/{id}")
}

fn subscription(id: &str, topic: &str) -> pb::Subscription {
    pb::Subscription { name: format!("projects/p/subscriptions/{id}"), topic: topic.into(), ..Default::default() }
}

fn message(data: &str) -> pb::PubsubMessage {
    pb::PubsubMessage { data: data.to_owned().into(), ..Default::default() }
}

fn keyed(key: &str, data: &str) -> pb::PubsubMessage {
    pb::PubsubMessage { ordering_key: key.into(), ..message(data) }
}

fn tagged(attributes: &[(&str, &str)]) -> pb::PubsubMessage {
    let attributes: HashMap<_, _> = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    pb::PubsubMessage { attributes, ..Default::default() }
}

fn dead_letter_policy(topic: &str, max_delivery_attempts: i32) -> Option<pb::DeadLetterPolicy> {
    Some(pb::DeadLetterPolicy { dead_letter_topic: topic.into(), max_delivery_attempts })
}

/// A back-off of so many milliseconds, always.
fn retry_after(milliseconds: i32) -> Option<pb::RetryPolicy> {
    let backoff = Some(prost_types::Duration { seconds: 0, nanos: milliseconds * 1_000_000 });
    Some(pb::RetryPolicy { minimum_backoff: backoff, maximum_backoff: backoff })
}

fn data(messages: &[pb::ReceivedMessage]) -> Vec<String> {
    let text = |message: &pb::PubsubMessage| String::from_utf8_lossy(&message.data).into_owned();
    messages.iter().filter_map(|received| received.message.as_ref().map(text)).collect()
}

/// Polls until it holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: it did not come to hold in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
