//! A Pub/Sub publisher service on a port: it keeps what it is sent, and answers as it is told to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use googleapis::google::pubsub::v1::{self as wire, publisher_server};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// The service; clones share what they keep.
#[derive(Clone, Default)]
pub(crate) struct Peer {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// What is on the topics, in order.
    pub(crate) messages: Vec<wire::PubsubMessage>,
    /// How many publish requests there were.
    pub(crate) requests: usize,
    /// How many requests wait to be answered.
    pub(crate) waiting: usize,
    /// Answers in place of taking the messages, first one first.
    pub(crate) refusals: VecDeque<Status>,
    /// Where it stands, each request takes one permit before it is answered.
    pub(crate) gate: Option<Arc<Semaphore>>,
}

impl Peer {
    /// Starts it; the string is its endpoint.
    pub(crate) async fn start() -> (Self, String) {
        let peer = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let service = publisher_server::PublisherServer::new(peer.clone()).max_decoding_message_size(32 << 20);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (peer, endpoint)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

#[tonic::async_trait]
impl publisher_server::Publisher for Peer {
    async fn publish(&self, request: Request<wire::PublishRequest>) -> Result<Response<wire::PublishResponse>, Status> {
        let gate = {
            let mut state = self.state();
            state.requests += 1;
            state.waiting += 1;
            state.gate.clone()
        };
        if let Some(gate) = gate {
            gate.acquire().await.expect("open").forget();
        }
        let mut state = self.state();
        state.waiting -= 1;
        if let Some(refusal) = state.refusals.pop_front() {
            return Err(refusal);
        }
        let messages = request.into_inner().messages;
        let first = state.messages.len();
        let message_ids = (first..first + messages.len()).map(|id| id.to_string()).collect();
        state.messages.extend(messages);
        Ok(Response::new(wire::PublishResponse { message_ids }))
    }

    async fn create_topic(&self, _: Request<wire::Topic>) -> Result<Response<wire::Topic>, Status> {
        Err(Status::unimplemented("create_topic"))
    }
    async fn update_topic(&self, _: Request<wire::UpdateTopicRequest>) -> Result<Response<wire::Topic>, Status> {
        Err(Status::unimplemented("update_topic"))
    }
    async fn get_topic(&self, _: Request<wire::GetTopicRequest>) -> Result<Response<wire::Topic>, Status> {
        Err(Status::unimplemented("get_topic"))
    }
    async fn list_topics(
        &self,
        _: Request<wire::ListTopicsRequest>,
    ) -> Result<Response<wire::ListTopicsResponse>, Status> {
        Err(Status::unimplemented("list_topics"))
    }
    async fn list_topic_subscriptions(
        &self,
        _: Request<wire::ListTopicSubscriptionsRequest>,
    ) -> Result<Response<wire::ListTopicSubscriptionsResponse>, Status> {
        Err(Status::unimplemented("list_topic_subscriptions"))
    }
    async fn list_topic_snapshots(
        &self,
        _: Request<wire::ListTopicSnapshotsRequest>,
    ) -> Result<Response<wire::ListTopicSnapshotsResponse>, Status> {
        Err(Status::unimplemented("list_topic_snapshots"))
    }
    async fn delete_topic(&self, _: Request<wire::DeleteTopicRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("delete_topic"))
    }
    async fn detach_subscription(
        &self,
        _: Request<wire::DetachSubscriptionRequest>,
    ) -> Result<Response<wire::DetachSubscriptionResponse>, Status> {
        Err(Status::unimplemented("detach_subscription"))
    }
}
