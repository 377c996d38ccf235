use std::time::Duration;

/// A pull subscription of a stream's topic beside Pipas' own: its messages are for somebody else's program, and it holds up
/// nobody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id at Pub/Sub: the stream's name, a hyphen, the name in the catalog.
    pub id: String,
    /// A filter over the messages' attributes, in Pub/Sub's language; empty: every message.
    pub filter: String,
    /// How long the subscriber may take over a message before it comes again.
    pub ack_deadline: Duration,
    /// How long a message is kept that nobody has acked.
    pub retention: Duration,
}
