//! One topic: its settings, its subscriptions, and the messages that it keeps for seeks.

use std::{collections::VecDeque, sync::Arc};

use googleapis::google::pubsub::v1 as pb;
use parking_lot::{Mutex, RwLock};

use super::{
    clock::{Micros, duration},
    message::Message,
    subscription::{Shared, Subscription},
};

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: u64,
    proto: RwLock<Arc<pb::Topic>>,
    /// Who gets new messages. Publishing holds the lock while it numbers messages and queues them for writing, so each
    /// subscription sees them in the order of their numbers.
    pub(super) subscriptions: Mutex<Vec<Arc<Subscription>>>,
    /// Messages of the topic's own retention, oldest first.
    retained: Mutex<VecDeque<Arc<Message>>>,
}

impl Topic {
    pub(super) fn new(id: u64, proto: pb::Topic) -> Arc<Self> {
        Arc::new(Self {
            id,
            proto: RwLock::new(Arc::new(proto)),
            subscriptions: Mutex::default(),
            retained: Mutex::default(),
        })
    }

    pub(super) fn proto(&self) -> Arc<pb::Topic> {
        self.proto.read().clone()
    }

    pub(super) fn configure(&self, proto: pb::Topic) {
        *self.proto.write() = Arc::new(proto);
    }

    /// How long the topic itself keeps messages.
    pub(super) fn retention(&self) -> Option<Micros> {
        self.proto.read().message_retention_duration.as_ref().map(duration)
    }

    /// Keeps messages, each of which counts the topic among its holders.
    pub(super) fn retain(&self, messages: impl IntoIterator<Item = Arc<Message>>) {
        self.retained.lock().extend(messages);
    }

    pub(super) fn retained(&self) -> Vec<Arc<Message>> {
        self.retained.lock().iter().cloned().collect()
    }

    /// Lets go of the messages that are too old.
    pub(super) fn expire(&self, now: Micros, shared: &Shared) {
        let oldest = self.retention().map_or(Micros::MAX, |retention| now.saturating_sub(retention));
        let mut changes = Vec::new();
        let mut retained = self.retained.lock();
        while let Some(message) = retained.pop_front_if(|message| message.published < oldest) {
            shared.release(&message, &mut changes);
        }
        drop(retained);
        if !changes.is_empty() {
            shared.store.write(changes);
        }
    }
}
