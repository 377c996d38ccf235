//! The words in which a backlog is spoken to.

use std::sync::Arc;

use crate::pubsub::{clock::Micros, message::Message, retry::Retry};

/// Who holds leases: a streaming pull, a pull, a subscription's pusher.
pub(in crate::pubsub) type Holder = u64;

/// The subscription's settings that matter here.
#[derive(Debug, Clone, Copy)]
pub(in crate::pubsub) struct Settings {
    pub(in crate::pubsub) ordered: bool,
    pub(in crate::pubsub) exactly_once: bool,
    pub(in crate::pubsub) retry: Retry,
    pub(in crate::pubsub) max_delivery_attempts: Option<u32>,
    /// Messages older than this are gone.
    pub(in crate::pubsub) retention: Micros,
    /// Acked messages are kept until they are too old, for a seek.
    pub(in crate::pubsub) retain_acked: bool,
}

/// What has to happen beside.
#[derive(Debug)]
pub(in crate::pubsub) enum Effect {
    /// The message left the subscription for good.
    Gone(Arc<Message>),
    /// The message is acked, and kept.
    Retained(Arc<Message>),
    /// A kept message is unacked again.
    Restored(Arc<Message>),
    /// The message failed so often by now.
    Failed(Arc<Message>, u32),
    /// The message used up its deliveries. It stays until [`Backlog::forwarded`].
    DeadLetter(Arc<Message>, u32),
}

/// How much a holder takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::pubsub) struct Take {
    pub(in crate::pubsub) holder: Holder,
    pub(in crate::pubsub) max_messages: usize,
    /// One message is taken whatever its size.
    pub(in crate::pubsub) max_bytes: u64,
    /// How long the leases last.
    pub(in crate::pubsub) lease: Micros,
    /// Whether one message of a key, or each that follows it, may be taken.
    pub(in crate::pubsub) one_of_a_key: bool,
}

/// A leased message.
#[derive(Debug, Clone)]
pub(in crate::pubsub) struct Delivery {
    pub(in crate::pubsub) message: Arc<Message>,
    pub(in crate::pubsub) lease: u64,
    /// From 1.
    pub(in crate::pubsub) attempt: u32,
}

/// What an acknowledgement or an extension met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pubsub) enum Answer {
    Done,
    /// Exactly-once delivery: the lease is over.
    Expired,
}

/// What a holder may have out at once.
#[derive(Debug, Clone, Copy)]
pub(in crate::pubsub) struct Limits {
    pub(in crate::pubsub) messages: u64,
    pub(in crate::pubsub) bytes: u64,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pubsub) struct Counts {
    pub(in crate::pubsub) delivered: u64,
    pub(in crate::pubsub) acked: u64,
    pub(in crate::pubsub) nacked: u64,
    pub(in crate::pubsub) dead_lettered: u64,
}
