//! A published message, shared by the subscriptions that hold it, and the bound on the bodies kept in memory.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use googleapis::google::pubsub::v1::PubsubMessage;
use parking_lot::Mutex;

use super::clock::Micros;

/// What is known of a message without its body. The body is in memory while it is recent, and on disk always.
#[derive(Debug)]
pub(super) struct Message {
    /// Its number, unique in this store and growing; the message id is its decimal form.
    pub(super) sequence: u64,
    pub(super) published: Micros,
    /// `None` where it has no key.
    pub(super) ordering_key: Option<Arc<str>>,
    /// Data, attributes and ordering key, in bytes.
    pub(super) size: u32,
    /// How many subscriptions (and retaining topics) hold it.
    holders: AtomicU32,
    body: Mutex<Option<Arc<PubsubMessage>>>,
}

impl Message {
    pub(super) fn new(sequence: u64, published: Micros, holders: u32, body: &PubsubMessage) -> Self {
        Self {
            sequence,
            published,
            ordering_key: (!body.ordering_key.is_empty()).then(|| body.ordering_key.as_str().into()),
            size: u32::try_from(size(body)).unwrap_or(u32::MAX),
            holders: AtomicU32::new(holders),
            body: Mutex::new(None),
        }
    }

    /// The body, where it is in memory.
    pub(super) fn body(&self) -> Option<Arc<PubsubMessage>> {
        self.body.lock().clone()
    }

    /// One more holds it.
    pub(super) fn hold(&self) {
        self.holders.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn is_held(&self) -> bool {
        self.holders.load(Ordering::Acquire) > 0
    }

    /// One less holds it; `true` where it was the last.
    pub(super) fn release(&self) -> bool {
        self.holders.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// The bytes that Pub/Sub counts.
pub(super) fn size(message: &PubsubMessage) -> usize {
    let attributes: usize = message.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    message.data.len() + attributes + message.ordering_key.len()
}

/// Bodies in memory, oldest out first when they are too many bytes.
#[derive(Debug)]
pub(super) struct Bodies {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    queue: VecDeque<Weak<Message>>,
    /// Messages in the queue whose body is in memory.
    live: usize,
}

/// What a message costs in memory beside its bytes.
const OVERHEAD: usize = 256;

impl Bodies {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    /// Keeps a new message's body.
    pub(super) fn keep(&self, message: &Arc<Message>, body: Arc<PubsubMessage>) {
        let mut kept = self.kept.lock();
        *message.body.lock() = Some(body);
        kept.bytes += cost(message);
        kept.live += 1;
        kept.queue.push_back(Arc::downgrade(message));
        while kept.bytes > self.capacity
            && let Some(oldest) = kept.queue.pop_front()
        {
            if let Some(oldest) = oldest.upgrade() {
                kept.forget(&oldest);
            }
        }
    }

    /// Lets go of a body that nobody will ask for.
    pub(super) fn forget(&self, message: &Arc<Message>) {
        let mut kept = self.kept.lock();
        kept.forget(message);
        while kept.queue.front().is_some_and(|oldest| oldest.upgrade().is_none_or(|oldest| oldest.body().is_none())) {
            kept.queue.pop_front();
        }
        if kept.queue.len() > 2 * kept.live + 1024 {
            kept.queue.retain(|message| message.upgrade().is_some_and(|message| message.body().is_some()));
        }
    }
}

impl Kept {
    fn forget(&mut self, message: &Message) {
        if message.body.lock().take().is_some() {
            self.bytes = self.bytes.saturating_sub(cost(message));
            self.live -= 1;
        }
    }
}

fn cost(message: &Message) -> usize {
    message.size as usize + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bodies_go_first() {
        let bodies = Bodies::new(3 * (OVERHEAD + 10));
        let body = Arc::new(PubsubMessage { data: vec![0; 10].into(), ..Default::default() });
        let messages: Vec<_> = (0..5).map(|n| Arc::new(Message::new(n, 0, 1, &body))).collect();
        for message in &messages {
            bodies.keep(message, body.clone());
        }
        let kept = |messages: &[Arc<Message>]| messages.iter().map(|m| m.body().is_some()).collect::<Vec<_>>();
        assert_eq!(kept(&messages), [false, false, true, true, true]);
        bodies.forget(&messages[3]);
        bodies.forget(&messages[3]);
        let late = Arc::new(Message::new(9, 0, 1, &body));
        bodies.keep(&late, body.clone());
        assert_eq!(kept(&messages), [false, false, true, false, true]);
        assert!(late.body().is_some());
    }

    #[test]
    fn the_last_holder_is_told() {
        let message = Message::new(1, 0, 1, &PubsubMessage::default());
        message.hold();
        assert!(!message.release());
        assert!(message.release());
    }
}
