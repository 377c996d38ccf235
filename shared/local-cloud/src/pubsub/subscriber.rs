//! `google.pubsub.v1.Subscriber`.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use googleapis::google::{
    pubsub::v1::{self as pb, seek_request::Target, subscriber_server::Subscriber},
    rpc,
};
use prost::Message as _;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{
    ack_id,
    backlog::{Answer, Limits, Take},
    clock::moment,
    config::Config,
    engine::Engine,
    names,
    page::Page,
    publisher::no_snapshots,
    streaming,
    subscription::{Attached, Subscription},
};

/// How long a pull waits for a first message.
const PULL_WAIT: Duration = Duration::from_secs(20);
/// A pull's answer holds at most this many bytes of messages, so that it fits into a client's default limit; a larger
/// message comes alone.
const PULL_BYTES: u64 = 3 << 20;
const MOST_MESSAGES: usize = 1000;

/// The service over an [`Engine`].
#[derive(Clone)]
pub(super) struct SubscriberService(pub(super) Arc<Engine>);

#[tonic::async_trait]
impl Subscriber for SubscriberService {
    async fn create_subscription(
        &self,
        request: Request<pb::Subscription>,
    ) -> Result<Response<pb::Subscription>, Status> {
        let subscription = self.0.create_subscription(request.into_inner()).await?;
        Ok(Response::new(self.describe(&subscription)))
    }

    async fn get_subscription(
        &self,
        request: Request<pb::GetSubscriptionRequest>,
    ) -> Result<Response<pb::Subscription>, Status> {
        let subscription = self.0.subscription(&request.into_inner().subscription)?;
        Ok(Response::new(self.describe(&subscription)))
    }

    async fn update_subscription(
        &self,
        request: Request<pb::UpdateSubscriptionRequest>,
    ) -> Result<Response<pb::Subscription>, Status> {
        let pb::UpdateSubscriptionRequest { subscription, update_mask } = request.into_inner();
        let from = subscription.ok_or_else(|| Status::invalid_argument("The subscription must be set."))?;
        let subscription = self.0.update_subscription(from, &update_mask.unwrap_or_default().paths).await?;
        Ok(Response::new(self.describe(&subscription)))
    }

    async fn list_subscriptions(
        &self,
        request: Request<pb::ListSubscriptionsRequest>,
    ) -> Result<Response<pb::ListSubscriptionsResponse>, Status> {
        let pb::ListSubscriptionsRequest { project, page_size, page_token } = request.into_inner();
        names::check_project(&project)?;
        let page = Page::new(page_size, &page_token)?;
        let found = self.0.subscriptions(&project, page.after(), page.most());
        let subscriptions = found.iter().map(|subscription| self.describe(subscription)).collect();
        let (subscriptions, next_page_token) = page.cut(subscriptions, |proto: &pb::Subscription| &proto.name);
        Ok(Response::new(pb::ListSubscriptionsResponse { subscriptions, next_page_token }))
    }

    async fn delete_subscription(
        &self,
        request: Request<pb::DeleteSubscriptionRequest>,
    ) -> Result<Response<()>, Status> {
        self.0.delete_subscription(&request.into_inner().subscription).await?;
        Ok(Response::new(()))
    }

    async fn modify_ack_deadline(
        &self,
        request: Request<pb::ModifyAckDeadlineRequest>,
    ) -> Result<Response<()>, Status> {
        let pb::ModifyAckDeadlineRequest { subscription, ack_ids, ack_deadline_seconds } = request.into_inner();
        let subscription = self.0.subscription(&subscription)?;
        check_extension(ack_deadline_seconds)?;
        let deadlines: Vec<_> = ack_id::parse_all(&subscription, &ack_ids)?
            .into_iter()
            .map(|(sequence, lease)| (sequence, lease, ack_deadline_seconds))
            .collect();
        answer(&ack_ids, &subscription.modify(&deadlines))
    }

    async fn acknowledge(&self, request: Request<pb::AcknowledgeRequest>) -> Result<Response<()>, Status> {
        let pb::AcknowledgeRequest { subscription, ack_ids } = request.into_inner();
        let subscription = self.0.subscription(&subscription)?;
        if ack_ids.is_empty() {
            return Err(Status::invalid_argument("No ack ids specified."));
        }
        let acks = ack_id::parse_all(&subscription, &ack_ids)?;
        answer(&ack_ids, &subscription.ack(&acks))
    }

    async fn pull(&self, request: Request<pb::PullRequest>) -> Result<Response<pb::PullResponse>, Status> {
        #[allow(deprecated, reason = "clients still send return_immediately")]
        let pb::PullRequest { subscription, max_messages, return_immediately } = request.into_inner();
        let subscription = self.0.subscription(&subscription)?;
        let config = pullable(&subscription)?;
        let max_messages = usize::try_from(max_messages).unwrap_or_default().min(MOST_MESSAGES);
        if max_messages == 0 {
            return Err(Status::invalid_argument(
                "The value for max_messages is too small. You passed 0 in the request, but the minimum value is 1.",
            ));
        }
        let holder = Attached::new(&subscription, self.0.holder(), Limits { messages: u64::MAX, bytes: u64::MAX });
        let lease = config.ack_deadline();
        let take = Take { holder: holder.id(), max_messages, max_bytes: PULL_BYTES, lease, one_of_a_key: false };
        let wait = tokio::time::sleep(if return_immediately { Duration::ZERO } else { PULL_WAIT });
        tokio::pin!(wait);
        let mut stirred = subscription.stirred();
        loop {
            stirred.borrow_and_update();
            let received_messages: Vec<_> = subscription
                .take(take)
                .iter()
                .filter_map(|delivery| ack_id::received(&subscription, &config.proto, delivery))
                .collect();
            if !received_messages.is_empty() || return_immediately {
                return Ok(Response::new(pb::PullResponse { received_messages }));
            }
            tokio::select! {
                _ = stirred.changed() => {}
                () = &mut wait => return Ok(Response::new(pb::PullResponse::default())),
                () = subscription.closed().cancelled() => return Err(closed(&subscription)),
            }
        }
    }

    type StreamingPullStream = Pin<Box<dyn Stream<Item = Result<pb::StreamingPullResponse, Status>> + Send>>;

    async fn streaming_pull(
        &self,
        request: Request<Streaming<pb::StreamingPullRequest>>,
    ) -> Result<Response<Self::StreamingPullStream>, Status> {
        streaming::open(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn modify_push_config(&self, request: Request<pb::ModifyPushConfigRequest>) -> Result<Response<()>, Status> {
        let pb::ModifyPushConfigRequest { subscription, push_config } = request.into_inner();
        let from = pb::Subscription { name: subscription, push_config, ..Default::default() };
        self.0.update_subscription(from, &["push_config".to_owned()]).await?;
        Ok(Response::new(()))
    }

    async fn seek(&self, request: Request<pb::SeekRequest>) -> Result<Response<pb::SeekResponse>, Status> {
        let pb::SeekRequest { subscription, target } = request.into_inner();
        let subscription = self.0.subscription(&subscription)?;
        match target {
            Some(Target::Time(time)) => {
                self.0.seek(&subscription, moment(&time));
                Ok(Response::new(pb::SeekResponse {}))
            }
            Some(Target::Snapshot(_)) => Err(no_snapshots()),
            None => Err(Status::invalid_argument("A seek needs a time or a snapshot.")),
        }
    }

    async fn get_snapshot(&self, _: Request<pb::GetSnapshotRequest>) -> Result<Response<pb::Snapshot>, Status> {
        Err(no_snapshots())
    }

    async fn list_snapshots(
        &self,
        _: Request<pb::ListSnapshotsRequest>,
    ) -> Result<Response<pb::ListSnapshotsResponse>, Status> {
        Err(no_snapshots())
    }

    async fn create_snapshot(&self, _: Request<pb::CreateSnapshotRequest>) -> Result<Response<pb::Snapshot>, Status> {
        Err(no_snapshots())
    }

    async fn update_snapshot(&self, _: Request<pb::UpdateSnapshotRequest>) -> Result<Response<pb::Snapshot>, Status> {
        Err(no_snapshots())
    }

    async fn delete_snapshot(&self, _: Request<pb::DeleteSnapshotRequest>) -> Result<Response<()>, Status> {
        Err(no_snapshots())
    }
}

impl SubscriberService {
    fn describe(&self, subscription: &Subscription) -> pb::Subscription {
        let proto = subscription.config().proto.clone();
        let topic = self.0.topic(&proto.topic).ok();
        let topic_message_retention_duration = topic.and_then(|topic| topic.proto().message_retention_duration);
        pb::Subscription { topic_message_retention_duration, ..proto }
    }
}

/// The subscription's settings, where its messages can be pulled.
pub(super) fn pullable(subscription: &Subscription) -> Result<Arc<Config>, Status> {
    let config = subscription.config();
    if config.proto.detached {
        return Err(closed(subscription));
    }
    if config.push.is_some() {
        return Err(Status::failed_precondition("This method is not supported for this subscription type."));
    }
    Ok(config)
}

/// Why a closed subscription serves no more.
pub(super) fn closed(subscription: &Subscription) -> Status {
    let proto = &subscription.config().proto;
    if !proto.detached {
        Status::unavailable("The server is stopping.")
    } else if subscription.is_deleted() {
        names::not_found(&proto.name)
    } else {
        Status::failed_precondition("The subscription is detached from its topic.")
    }
}

/// An extension is 0 to 600 seconds.
pub(super) fn check_extension(seconds: i32) -> Result<(), Status> {
    if (0..=600).contains(&seconds) {
        return Ok(());
    }
    let (how, bound, limit) = if seconds < 0 { ("small", "minimum", 0) } else { ("large", "maximum", 600) };
    Err(Status::invalid_argument(format!(
        "The value for ack_deadline_seconds is too {how}. You passed {seconds} in the request, but the {bound} value is \
         {limit}."
    )))
}

/// With exactly-once delivery, a lease that is over is an error that names its ack id.
fn answer(ack_ids: &[String], answers: &[Answer]) -> Result<Response<()>, Status> {
    let expired = ack_ids.iter().zip(answers).filter(|(_, answer)| **answer == Answer::Expired);
    let metadata: HashMap<_, _> =
        expired.map(|(ack_id, _)| (ack_id.clone(), "PERMANENT_FAILURE_INVALID_ACK_ID".to_owned())).collect();
    if metadata.is_empty() {
        return Ok(Response::new(()));
    }
    let info = rpc::ErrorInfo {
        reason: "EXACTLY_ONCE_ACKID_FAILURE".to_owned(),
        domain: "pubsub.googleapis.com".to_owned(),
        metadata,
    };
    let message = "Some acknowledgement ids in the request were invalid. This could be because the acknowledgement ids \
                   have expired or the acknowledgement ids were malformed.";
    let info = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: info.encode_to_vec(),
    };
    let code = Code::FailedPrecondition;
    let status = rpc::Status { code: code.into(), message: message.to_owned(), details: vec![info] };
    Err(Status::with_details(code, message, status.encode_to_vec().into()))
}
