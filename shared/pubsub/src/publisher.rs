use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use event::{Bytes, Event};
use futures::future::join_all;
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::{
    client::{BasePublisher, Publisher as Batcher},
    error::PublishError as BatchError,
    model::Message,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What a Pub/Sub message holds: data, attributes and ordering key together, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 10_000_000;

/// The bounds of publishing, shared by all publishers of a [`crate::Client`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishLimits {
    /// Bytes of messages that Pub/Sub has not yet answered for; over it a publish is [`PublishError::Overloaded`].
    pub outstanding_bytes: usize,
    /// How long a batch is tried again.
    pub time_limit: Duration,
    /// How long a message waits for others to share its batch.
    pub delay: Duration,
    /// Messages that make a batch full.
    pub batch_messages: u32,
}

impl Default for PublishLimits {
    fn default() -> Self {
        Self {
            outstanding_bytes: 128 << 20,
            time_limit: Duration::from_secs(10),
            delay: Duration::from_millis(5),
            batch_messages: 500,
        }
    }
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// The data, byte for byte.
    pub data: Bytes,
    /// Every attribute.
    pub attributes: BTreeMap<String, String>,
    /// Messages of one key are delivered in the order of publishing; empty: no order.
    pub ordering_key: String,
}

impl From<Event> for Outgoing {
    /// The event in the CloudEvents binding.
    fn from(event: Event) -> Self {
        Self {
            attributes: event.message_attributes(),
            ordering_key: event.ordering_key.unwrap_or_default(),
            data: event.data,
        }
    }
}

impl Outgoing {
    /// The size that Pub/Sub counts against [`MAX_MESSAGE_BYTES`].
    pub fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.data.len() + attributes + self.ordering_key.len()
    }
}

/// Why a message is not known to be on the topic.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// More is under way than the bound allows. Nothing was sent.
    #[error("more is being published than {limit} bytes")]
    Overloaded {
        /// [`PublishLimits::outstanding_bytes`].
        limit: usize,
    },
    /// Pub/Sub did not take the message within the time limit. It may still be on the topic: publishing again is at least once.
    #[error("Pub/Sub did not answer within the time limit")]
    Unavailable(#[source] Arc<google_cloud_pubsub::Error>),
    /// Pub/Sub refused the message, and would again: the topic does not exist, or this process may not publish to it.
    #[error("Pub/Sub refused the message")]
    Refused(#[source] Arc<google_cloud_pubsub::Error>),
    /// An earlier message of the same ordering key failed, so this one was not sent.
    #[error("an earlier message of the ordering key failed")]
    Ordering,
    /// The publisher was shut down before the message was sent.
    #[error("the publisher has shut down")]
    ShutDown,
}

impl PublishError {
    /// Whether the same message can succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::Unavailable(_) | Self::Ordering | Self::ShutDown => true,
            Self::Refused(_) => false,
        }
    }
}

/// Publishes to one topic, in batches. Cheap to clone.
///
/// Delivery: a message whose result is `Ok` is on the topic; one whose result is an error may be.
#[derive(Debug, Clone)]
pub struct Publisher {
    lanes: Arc<Lanes>,
    limits: PublishLimits,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Publisher {
    pub(crate) fn new(base: BasePublisher, topic: String, limits: PublishLimits, room: Arc<Semaphore>) -> Self {
        let lanes = Arc::new(Lanes::new(base, topic, limits));
        Self { lanes, limits, room, tasks: TaskTracker::new() }
    }

    /// Publishes `messages` and resolves when Pub/Sub has answered for each: its message id, or why it is not known to be
    /// there. The results are in the order of the messages. A caller that goes away does not stop what it began.
    pub async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<String, PublishError>> {
        let count = messages.len();
        let bytes: usize = messages.iter().map(Outgoing::size).sum();
        // What is larger than all the room there is goes alone.
        let wanted = u32::try_from(bytes.min(self.limits.outstanding_bytes)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(wanted) else {
            return vec![Err(PublishError::Overloaded { limit: self.limits.outstanding_bytes }); count];
        };
        let sent: Vec<_> = messages.into_iter().map(|message| self.lanes.send(message)).collect();
        let answered = self.tasks.spawn(async move {
            let _room = room;
            join_all(sent).await
        });
        answered.await.unwrap_or_else(|_| vec![Err(PublishError::ShutDown); count])
    }

    /// Waits until Pub/Sub has answered for everything that was begun.
    pub async fn flush(&self) {
        self.lanes.flush().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// The batchers of one topic.
///
/// The client library keeps one task for each ordering key that it ever saw, and pauses a key for good once one of its
/// messages failed. So a batcher is retired after [`KEYS_OF_A_BATCHER`] keys, or when one of its keys failed; a key with
/// messages under way stays with its batcher, so that its order holds.
#[derive(Debug)]
struct Lanes {
    base: BasePublisher,
    topic: String,
    limits: PublishLimits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: Arc<Batcher>,
    /// Keys that `current` was given; an upper bound.
    keys: usize,
    /// The ordering keys with messages under way.
    under_way: HashMap<String, UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    batcher: Arc<Batcher>,
    messages: usize,
}

const KEYS_OF_A_BATCHER: usize = 4096;

impl Lanes {
    fn new(base: BasePublisher, topic: String, limits: PublishLimits) -> Self {
        let current = Arc::new(batcher(&base, &topic, limits));
        Self { base, topic, limits, state: Mutex::new(State { current, keys: 0, under_way: HashMap::new() }) }
    }

    /// Hands `message` to its batcher now; the future resolves with the answer.
    fn send(self: &Arc<Self>, message: Outgoing) -> impl Future<Output = Result<String, PublishError>> + use<> {
        let Outgoing { data, attributes, ordering_key } = message;
        let wire = Message::new().set_data(data).set_attributes(attributes).set_ordering_key(ordering_key.clone());
        let (batcher, answer) = {
            // Under the lock, so that messages of one key reach their batcher in one order.
            let mut state = self.state.lock();
            let batcher = self.batcher_of(&mut state, &ordering_key);
            let answer = batcher.publish(wire);
            (batcher, answer)
        };
        let lanes = Arc::clone(self);
        async move {
            let result = answer.await.map_err(classify);
            if !ordering_key.is_empty() {
                lanes.ended(&ordering_key, &batcher, result.is_err());
            }
            result
        }
    }

    fn batcher_of(&self, state: &mut State, key: &str) -> Arc<Batcher> {
        if key.is_empty() {
            return Arc::clone(&state.current);
        }
        if let Some(under_way) = state.under_way.get_mut(key) {
            under_way.messages += 1;
            return Arc::clone(&under_way.batcher);
        }
        if state.keys >= KEYS_OF_A_BATCHER {
            self.retire(state);
        }
        state.keys += 1;
        let batcher = Arc::clone(&state.current);
        state.under_way.insert(key.to_owned(), UnderWay { batcher: Arc::clone(&batcher), messages: 1 });
        batcher
    }

    /// One message of `key` that `batcher` was given has been answered for.
    fn ended(&self, key: &str, batcher: &Arc<Batcher>, failed: bool) {
        let mut state = self.state.lock();
        if let Some(under_way) = state.under_way.get_mut(key)
            && Arc::ptr_eq(&under_way.batcher, batcher)
        {
            under_way.messages -= 1;
            // After a failure `batcher` sends nothing more of this key: what comes next needs another.
            if failed || under_way.messages == 0 {
                state.under_way.remove(key);
            }
        }
        if failed && Arc::ptr_eq(&state.current, batcher) {
            self.retire(&mut state);
        }
    }

    /// The batcher that is replaced sends what it holds and ends with the last message that it was given.
    fn retire(&self, state: &mut State) {
        state.current = Arc::new(batcher(&self.base, &self.topic, self.limits));
        state.keys = 0;
    }

    async fn flush(&self) {
        let batchers: Vec<_> = {
            let state = self.state.lock();
            let others = state.under_way.values().map(|under_way| &under_way.batcher);
            let mut batchers = vec![Arc::clone(&state.current)];
            for batcher in others {
                if !batchers.iter().any(|known| Arc::ptr_eq(known, batcher)) {
                    batchers.push(Arc::clone(batcher));
                }
            }
            batchers
        };
        join_all(batchers.iter().map(|batcher| batcher.flush())).await;
    }
}

fn batcher(base: &BasePublisher, topic: &str, limits: PublishLimits) -> Batcher {
    base.publisher(topic).set_delay_threshold(limits.delay).set_message_count_threshold(limits.batch_messages).build()
}

/// The one table from Pub/Sub's answers to what they mean for the message.
fn classify(error: BatchError) -> PublishError {
    let error = match error {
        BatchError::Rpc(error) => error,
        BatchError::OrderingKeyPaused => return PublishError::Ordering,
        _ => return PublishError::ShutDown,
    };
    match error.status().map(|status| status.code) {
        Some(
            Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::AlreadyExists
            | Code::Unimplemented,
        ) => PublishError::Refused(error),
        _ => PublishError::Unavailable(error),
    }
}
