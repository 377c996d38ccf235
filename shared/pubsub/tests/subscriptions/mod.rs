//! A Pub/Sub service on a port with one topic's worth of administration and a queue to pull from.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use googleapis::google::pubsub::v1::{
    self as wire,
    publisher_server::{Publisher, PublisherServer},
    subscriber_server::{Subscriber, SubscriberServer},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming};

/// The service; clones share what they keep.
#[derive(Clone)]
pub(crate) struct Subscriptions {
    state: Arc<Mutex<State>>,
    offered: mpsc::UnboundedSender<wire::ReceivedMessage>,
    queue: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<wire::ReceivedMessage>>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) topics: BTreeMap<String, wire::Topic>,
    pub(crate) subscriptions: BTreeMap<String, wire::Subscription>,
    /// The update masks that were sent.
    pub(crate) masks: Vec<Vec<String>>,
    pub(crate) acked: Vec<String>,
    pub(crate) nacked: Vec<String>,
    /// The outstanding messages and bytes that the last pull asked for.
    pub(crate) asked: Option<(i64, i64)>,
}

impl Subscriptions {
    /// Starts it; the string is its endpoint.
    pub(crate) async fn start() -> (Self, String) {
        let (offered, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let service = Self { state: Arc::default(), offered, queue };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tonic::transport::Server::builder()
            .add_service(PublisherServer::new(service.clone()))
            .add_service(SubscriberServer::new(service.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (service, endpoint)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Queues `count` messages to be pulled.
    pub(crate) fn offer(&self, count: usize) {
        for n in 0..count {
            let message = wire::PubsubMessage {
                data: format!("data {n}").into(),
                attributes: HashMap::from([("ce-id".to_owned(), n.to_string())]),
                message_id: n.to_string(),
                publish_time: Some(prost_types::Timestamp { seconds: 1_706_781_886, nanos: 5 }),
                ordering_key: String::new(),
            };
            let received = wire::ReceivedMessage { ack_id: n.to_string(), message: Some(message), delivery_attempt: 1 };
            self.offered.send(received).expect("open");
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Subscriber for Subscriptions {
    type StreamingPullStream = Pin<Box<dyn Stream<Item = Result<wire::StreamingPullResponse, Status>> + Send>>;

    async fn streaming_pull(
        &self,
        request: Request<Streaming<wire::StreamingPullRequest>>,
    ) -> Answer<Self::StreamingPullStream> {
        let mut requests = request.into_inner();
        let first = requests.next().await.ok_or_else(|| Status::invalid_argument("no request"))??;
        if first.subscription.ends_with("/absent") {
            return Err(Status::not_found("no such subscription"));
        }
        self.state().asked = Some((first.max_outstanding_messages, first.max_outstanding_bytes));
        let (sender, responses) = mpsc::channel(1);
        let queue = Arc::clone(&self.queue);
        tokio::spawn(async move {
            let mut queue = queue.lock().await;
            loop {
                let mut received_messages = Vec::new();
                let ended = tokio::select! {
                    count = queue.recv_many(&mut received_messages, 50) => count == 0,
                    next = requests.next() => !matches!(next, Some(Ok(_))),
                };
                let response = wire::StreamingPullResponse { received_messages, ..Default::default() };
                if ended || sender.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn acknowledge(&self, request: Request<wire::AcknowledgeRequest>) -> Answer<()> {
        self.state().acked.extend(request.into_inner().ack_ids);
        Ok(Response::new(()))
    }

    async fn modify_ack_deadline(&self, request: Request<wire::ModifyAckDeadlineRequest>) -> Answer<()> {
        let request = request.into_inner();
        if request.ack_deadline_seconds == 0 {
            self.state().nacked.extend(request.ack_ids);
        }
        Ok(Response::new(()))
    }

    async fn create_subscription(&self, request: Request<wire::Subscription>) -> Answer<wire::Subscription> {
        let subscription = request.into_inner();
        let mut state = self.state();
        if state.subscriptions.contains_key(&subscription.name) {
            return Err(Status::already_exists(subscription.name));
        }
        state.subscriptions.insert(subscription.name.clone(), subscription.clone());
        Ok(Response::new(subscription))
    }

    async fn get_subscription(&self, request: Request<wire::GetSubscriptionRequest>) -> Answer<wire::Subscription> {
        let found = self.state().subscriptions.get(&request.into_inner().subscription).cloned();
        found.map(Response::new).ok_or_else(|| Status::not_found("no such subscription"))
    }

    async fn update_subscription(
        &self,
        request: Request<wire::UpdateSubscriptionRequest>,
    ) -> Answer<wire::Subscription> {
        let request = request.into_inner();
        let subscription = request.subscription.ok_or_else(|| Status::invalid_argument("no subscription"))?;
        let mut state = self.state();
        state.masks.push(request.update_mask.map(|mask| mask.paths).unwrap_or_default());
        state.subscriptions.insert(subscription.name.clone(), subscription.clone());
        Ok(Response::new(subscription))
    }

    async fn delete_subscription(&self, request: Request<wire::DeleteSubscriptionRequest>) -> Answer<()> {
        let gone = self.state().subscriptions.remove(&request.into_inner().subscription);
        gone.map(|_| Response::new(())).ok_or_else(|| Status::not_found("no such subscription"))
    }

    async fn list_subscriptions(
        &self,
        _: Request<wire::ListSubscriptionsRequest>,
    ) -> Answer<wire::ListSubscriptionsResponse> {
        Err(Status::unimplemented("list_subscriptions"))
    }
    async fn pull(&self, _: Request<wire::PullRequest>) -> Answer<wire::PullResponse> {
        Err(Status::unimplemented("pull"))
    }
    async fn modify_push_config(&self, _: Request<wire::ModifyPushConfigRequest>) -> Answer<()> {
        Err(Status::unimplemented("modify_push_config"))
    }
    async fn get_snapshot(&self, _: Request<wire::GetSnapshotRequest>) -> Answer<wire::Snapshot> {
        Err(Status::unimplemented("get_snapshot"))
    }
    async fn list_snapshots(&self, _: Request<wire::ListSnapshotsRequest>) -> Answer<wire::ListSnapshotsResponse> {
        Err(Status::unimplemented("list_snapshots"))
    }
    async fn create_snapshot(&self, _: Request<wire::CreateSnapshotRequest>) -> Answer<wire::Snapshot> {
        Err(Status::unimplemented("create_snapshot"))
    }
    async fn update_snapshot(&self, _: Request<wire::UpdateSnapshotRequest>) -> Answer<wire::Snapshot> {
        Err(Status::unimplemented("update_snapshot"))
    }
    async fn delete_snapshot(&self, _: Request<wire::DeleteSnapshotRequest>) -> Answer<()> {
        Err(Status::unimplemented("delete_snapshot"))
    }
    async fn seek(&self, _: Request<wire::SeekRequest>) -> Answer<wire::SeekResponse> {
        Err(Status::unimplemented("seek"))
    }
}

#[tonic::async_trait]
impl Publisher for Subscriptions {
    async fn create_topic(&self, request: Request<wire::Topic>) -> Answer<wire::Topic> {
        let topic = request.into_inner();
        let mut state = self.state();
        if state.topics.contains_key(&topic.name) {
            return Err(Status::already_exists(topic.name));
        }
        state.topics.insert(topic.name.clone(), topic.clone());
        Ok(Response::new(topic))
    }

    async fn get_topic(&self, request: Request<wire::GetTopicRequest>) -> Answer<wire::Topic> {
        let found = self.state().topics.get(&request.into_inner().topic).cloned();
        found.map(Response::new).ok_or_else(|| Status::not_found("no such topic"))
    }

    async fn publish(&self, _: Request<wire::PublishRequest>) -> Answer<wire::PublishResponse> {
        Err(Status::unimplemented("publish"))
    }
    async fn update_topic(&self, _: Request<wire::UpdateTopicRequest>) -> Answer<wire::Topic> {
        Err(Status::unimplemented("update_topic"))
    }
    async fn list_topics(&self, _: Request<wire::ListTopicsRequest>) -> Answer<wire::ListTopicsResponse> {
        Err(Status::unimplemented("list_topics"))
    }
    async fn list_topic_subscriptions(
        &self,
        _: Request<wire::ListTopicSubscriptionsRequest>,
    ) -> Answer<wire::ListTopicSubscriptionsResponse> {
        Err(Status::unimplemented("list_topic_subscriptions"))
    }
    async fn list_topic_snapshots(
        &self,
        _: Request<wire::ListTopicSnapshotsRequest>,
    ) -> Answer<wire::ListTopicSnapshotsResponse> {
        Err(Status::unimplemented("list_topic_snapshots"))
    }
    async fn delete_topic(&self, _: Request<wire::DeleteTopicRequest>) -> Answer<()> {
        Err(Status::unimplemented("delete_topic"))
    }
    async fn detach_subscription(
        &self,
        _: Request<wire::DetachSubscriptionRequest>,
    ) -> Answer<wire::DetachSubscriptionResponse> {
        Err(Status::unimplemented("detach_subscription"))
    }
}
