use std::time::Duration;

use event::{Message, Timestamp};
use google_cloud_pubsub::{
    client::Subscriber,
    model,
    subscriber::{MessageStream, ShutdownToken, handler::Handler},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// The bounds of one pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimits {
    /// Messages that are held unacked at most.
    pub outstanding_messages: i64,
    /// Bytes of messages that are held unacked at most.
    pub outstanding_bytes: i64,
    /// How long a held message's ack deadline is extended at most.
    pub lease: Duration,
    /// By how much a held message's ack deadline is extended at a time: so long after its puller died a message comes again.
    /// From 10 to 600 s.
    pub extension: Duration,
}

impl Default for PullLimits {
    fn default() -> Self {
        Self {
            outstanding_messages: 10_000,
            outstanding_bytes: 128 << 20,
            lease: Duration::from_secs(600),
            extension: Duration::from_secs(60),
        }
    }
}

/// A message and the right to ack it.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// Which delivery of the message this is, where the subscription counts them.
    pub delivery_attempt: Option<u32>,
    /// Acks the message; dropped, the message is delivered again.
    pub ack: Ack,
}

/// The right to ack one message. Its ack deadline is extended while this is held; dropping it nacks.
#[derive(Debug)]
#[must_use = "dropping it nacks the message"]
pub struct Ack(Handler);

impl Ack {
    /// Acks the message. The ack has reached Pub/Sub once [`Puller::finish`] has returned `Ok`; before that the message can
    /// come again.
    pub fn ack(self) {
        self.0.ack();
    }
}

/// Why pulling ended.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Pub/Sub refused the subscription, and would again.
    #[error("the subscription cannot be pulled")]
    Stream(#[source] google_cloud_pubsub::Error),
    /// A message without a publish time that can be read.
    #[error("message {message_id} has no usable publish time")]
    PublishTime {
        /// The message.
        message_id: String,
    },
    /// The acks were not sent in time: the messages will be delivered again.
    #[error("the acks were not sent within {} ms", limit.as_millis())]
    Flush {
        /// The time that was given.
        limit: Duration,
    },
}

/// A pull that has been started: messages arrive until it is idle, or finished.
#[derive(Debug)]
pub struct Puller {
    messages: mpsc::Receiver<Result<Received, PullError>>,
    shutdown: ShutdownToken,
    reader: JoinHandle<()>,
}

impl Puller {
    pub(crate) fn start(subscriber: &Subscriber, subscription: String, limits: PullLimits) -> Self {
        let stream = subscriber
            .subscribe(subscription)
            .set_max_outstanding_messages(limits.outstanding_messages)
            .set_max_outstanding_bytes(limits.outstanding_bytes)
            .set_max_lease(limits.lease)
            .set_max_lease_extension(limits.extension)
            .build();
        let shutdown = stream.shutdown_token();
        // The stream is read by a task, so that a caller that stops waiting cannot lose a message half received.
        let (sender, messages) = mpsc::channel(1);
        let reader = tokio::spawn(read(stream, sender));
        Self { messages, shutdown, reader }
    }

    /// The next message. `None` when none arrived for `idle`, or the pull has ended.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<Received>, PullError> {
        match timeout(idle, self.messages.recv()).await {
            Ok(Some(received)) => received.map(Some),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Stops pulling and sends every ack that was given, within `limit`. Each [`Ack`] must have been used or dropped before;
    /// messages that were not acked are delivered again.
    pub async fn finish(mut self, limit: Duration) -> Result<(), PullError> {
        self.messages.close();
        // Messages that arrived and were never handed out: dropping them nacks them.
        while self.messages.try_recv().is_ok() {}
        let flushed = timeout(limit, async {
            self.shutdown.shutdown().await;
            // Ends once the stream is shut down; there is nothing to learn from its result.
            let _ = (&mut self.reader).await;
        });
        flushed.await.map_err(|_| PullError::Flush { limit })
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut stream: MessageStream, sender: mpsc::Sender<Result<Received, PullError>>) {
    while let Some(next) = stream.next().await {
        let received = next.map_err(PullError::Stream).and_then(|(message, handler)| received(message, handler));
        if sender.send(received).await.is_err() {
            return;
        }
    }
}

fn received(message: model::Message, handler: Handler) -> Result<Received, PullError> {
    let publish_time = message
        .publish_time
        .and_then(|time| Timestamp::new(time.seconds(), time.nanos()).ok())
        .ok_or_else(|| PullError::PublishTime { message_id: message.message_id.clone() })?;
    Ok(Received {
        delivery_attempt: handler.delivery_attempt().and_then(|attempt| u32::try_from(attempt).ok()),
        message: Message {
            message_id: message.message_id,
            publish_time,
            ordering_key: message.ordering_key,
            attributes: message.attributes.into_iter().collect(),
            data: message.data,
        },
        ack: Ack(handler),
    })
}
