//! Streaming pull: messages go out while the client has room for them, acknowledgements come in beside.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use googleapis::google::pubsub::v1::{
    self as pb, StreamingPullRequest, StreamingPullResponse,
    streaming_pull_response::{AcknowledgeConfirmation, ModifyAckDeadlineConfirmation, SubscriptionProperties},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    ack_id,
    backlog::{Answer, Limits, Take},
    clock::{Micros, SECOND},
    engine::Engine,
    subscriber::{check_extension, closed, pullable},
    subscription::{Attached, Subscription},
};

/// One response holds at most so many messages…
const BATCH_MESSAGES: usize = 500;
/// … and bytes; a larger message comes alone.
const BATCH_BYTES: u64 = 1 << 20;
/// Responses that wait for the client to read them.
const UNREAD: usize = 2;
/// How often a client that asks for it hears that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(30);

type Responses = Pin<Box<dyn Stream<Item = Result<StreamingPullResponse, Status>> + Send>>;

/// Opens a stream with its first request.
pub(super) async fn open(
    engine: &Arc<Engine>,
    mut requests: Streaming<StreamingPullRequest>,
) -> Result<Responses, Status> {
    let Some(first) = requests.message().await? else {
        return Err(Status::invalid_argument("The stream ended before its first request."));
    };
    let subscription = engine.subscription(&first.subscription)?;
    pullable(&subscription)?;
    let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(u64::MAX);
    let limits = Limits { messages: limit(first.max_outstanding_messages), bytes: limit(first.max_outstanding_bytes) };
    let mut puller = Puller {
        lease: ack_deadline(first.stream_ack_deadline_seconds)?,
        holder: Attached::new(&subscription, engine.holder(), limits),
        heartbeat: first.protocol_version >= 1,
        subscription,
    };
    let confirmation = puller.apply(&first)?;
    let (responses, stream) = mpsc::channel(UNREAD);
    engine.tasks.spawn(async move {
        if let Some(confirmation) = confirmation {
            let _ = responses.send(Ok(confirmation)).await;
        }
        if let Err(status) = puller.run(requests, &responses).await {
            let _ = tokio::time::timeout(Duration::from_secs(1), responses.send(Err(status))).await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(stream)))
}

struct Puller {
    subscription: Arc<Subscription>,
    holder: Attached,
    lease: Micros,
    heartbeat: bool,
}

impl Puller {
    async fn run(
        &mut self,
        mut requests: Streaming<StreamingPullRequest>,
        responses: &mpsc::Sender<Result<StreamingPullResponse, Status>>,
    ) -> Result<(), Status> {
        let subscription = self.subscription.clone();
        let mut stirred = subscription.stirred();
        let mut may_have_more = true;
        let mut confirmations = Vec::new();
        let mut heard = Instant::now();
        loop {
            let speak = may_have_more || !confirmations.is_empty();
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => confirmations.extend(self.check(request).and_then(|r| self.apply(&r))?),
                    // The client closed its side, or is gone: messages that it has keep their leases.
                    Ok(None) | Err(_) => return Ok(()),
                },
                permit = responses.reserve(), if speak => {
                    let Ok(permit) = permit else { return Ok(()) };
                    heard = Instant::now();
                    if let Some(confirmation) = confirmations.pop() {
                        permit.send(Ok(confirmation));
                        continue;
                    }
                    stirred.borrow_and_update();
                    let messages = self.take();
                    may_have_more = !messages.is_empty();
                    if may_have_more {
                        permit.send(Ok(self.response(messages)));
                    }
                }
                changed = stirred.changed(), if !may_have_more => match changed {
                    Ok(()) => {
                        pullable(&subscription)?;
                        may_have_more = true;
                    }
                    Err(_) => return Err(closed(&subscription)),
                },
                () = tokio::time::sleep_until(heard + HEARTBEAT), if self.heartbeat => {
                    heard = Instant::now();
                    let _ = responses.try_send(Ok(self.response(Vec::new())));
                }
                () = responses.closed() => return Ok(()),
                () = subscription.closed().cancelled() => return Err(closed(&subscription)),
            }
        }
    }

    fn take(&self) -> Vec<pb::ReceivedMessage> {
        let config = self.subscription.config();
        let deliveries = self.subscription.take(Take {
            holder: self.holder.id(),
            max_messages: BATCH_MESSAGES,
            max_bytes: BATCH_BYTES,
            lease: self.lease,
            one_of_a_key: false,
        });
        deliveries.iter().filter_map(|delivery| ack_id::received(&self.subscription, &config.proto, delivery)).collect()
    }

    fn response(&self, received_messages: Vec<pb::ReceivedMessage>) -> StreamingPullResponse {
        let config = self.subscription.config();
        let subscription_properties = Some(SubscriptionProperties {
            exactly_once_delivery_enabled: config.proto.enable_exactly_once_delivery,
            message_ordering_enabled: config.proto.enable_message_ordering,
        });
        StreamingPullResponse { received_messages, subscription_properties, ..Default::default() }
    }

    /// What only the first request may say.
    fn check(&self, request: StreamingPullRequest) -> Result<StreamingPullRequest, Status> {
        let first_only = [
            ("subscription", !request.subscription.is_empty()),
            ("max_outstanding_messages", request.max_outstanding_messages != 0),
            ("max_outstanding_bytes", request.max_outstanding_bytes != 0),
        ];
        match first_only.iter().find(|(_, set)| *set) {
            Some((field, _)) => {
                Err(Status::invalid_argument(format!("Only the first request of a stream may set {field}.")))
            }
            None => Ok(request),
        }
    }

    /// Acknowledges and extends. With exactly-once delivery, says what came of it.
    fn apply(&mut self, request: &StreamingPullRequest) -> Result<Option<StreamingPullResponse>, Status> {
        if request.stream_ack_deadline_seconds != 0 {
            self.lease = ack_deadline(request.stream_ack_deadline_seconds)?;
        }
        let (seconds, modified) = (&request.modify_deadline_seconds, &request.modify_deadline_ack_ids);
        if seconds.len() != modified.len() {
            return Err(Status::invalid_argument(
                "The sizes of modify_deadline_seconds and modify_deadline_ack_ids differ.",
            ));
        }
        let acks = ack_id::parse_all(&self.subscription, &request.ack_ids)?;
        let mut deadlines = Vec::with_capacity(seconds.len());
        for (seconds, (sequence, lease)) in seconds.iter().zip(ack_id::parse_all(&self.subscription, modified)?) {
            check_extension(*seconds)?;
            deadlines.push((sequence, lease, *seconds));
        }
        let acked = if acks.is_empty() { Vec::new() } else { self.subscription.ack(&acks) };
        let extended = if deadlines.is_empty() { Vec::new() } else { self.subscription.modify(&deadlines) };
        let exactly_once = self.subscription.config().proto.enable_exactly_once_delivery;
        if !exactly_once || (acked.is_empty() && extended.is_empty()) {
            return Ok(None);
        }
        let mut response = self.response(Vec::new());
        if !acked.is_empty() {
            let (ack_ids, invalid_ack_ids) = split(&request.ack_ids, &acked);
            response.acknowledge_confirmation =
                Some(AcknowledgeConfirmation { ack_ids, invalid_ack_ids, ..Default::default() });
        }
        if !extended.is_empty() {
            let (ack_ids, invalid_ack_ids) = split(modified, &extended);
            response.modify_ack_deadline_confirmation =
                Some(ModifyAckDeadlineConfirmation { ack_ids, invalid_ack_ids, ..Default::default() });
        }
        Ok(Some(response))
    }
}

/// Those that were done, and those whose lease was over.
fn split(ack_ids: &[String], answers: &[Answer]) -> (Vec<String>, Vec<String>) {
    let (done, expired): (Vec<_>, Vec<_>) = ack_ids.iter().zip(answers).partition(|(_, a)| **a == Answer::Done);
    let names = |pairs: Vec<(&String, &Answer)>| pairs.into_iter().map(|(ack_id, _)| ack_id.clone()).collect();
    (names(done), names(expired))
}

fn ack_deadline(seconds: i32) -> Result<Micros, Status> {
    let (how, bound, limit) = match seconds {
        10..=600 => return Ok(Micros::from(seconds) * SECOND),
        ..10 => ("small", "minimum", 10),
        _ => ("large", "maximum", 600),
    };
    Err(Status::invalid_argument(format!(
        "The value for stream_ack_deadline_seconds is too {how}. You passed {seconds} in the request, but the {bound} \
         value is {limit}."
    )))
}
