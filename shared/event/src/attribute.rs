//! Names of the message attributes that Pipas writes and reads: the CloudEvents 1.0 binding for Google Pub/Sub,
//! binary content mode (<https://github.com/google/knative-gcp/blob/main/docs/spec/pubsub-protocol-binding.md>).

/// The CloudEvents version, always [`SPEC_VERSION_VALUE`].
pub const SPEC_VERSION: &str = "ce-specversion";
/// The only CloudEvents version that Pipas writes.
pub const SPEC_VERSION_VALUE: &str = "1.0";
/// The event's id.
pub const ID: &str = "ce-id";
/// The producer that sent the event.
pub const SOURCE: &str = "ce-source";
/// The event's type: the stream's name where the producer named none.
pub const TYPE: &str = "ce-type";
/// What names an event's type where nothing of CloudEvents does.
pub const PLAIN_TYPE: &str = "type";
/// When the event happened, RFC 3339, where the producer said so.
pub const TIME: &str = "ce-time";
/// When the receiver accepted the event, RFC 3339 with microseconds.
pub const RECEIVED: &str = "ce-pipasreceived";
/// The media type of the data.
pub const CONTENT_TYPE: &str = "content-type";
/// The dead letter that was published again as this message: [`crate::DeadLetterId`].
pub const REDRIVEN: &str = "pipas-redriven";
/// The hash of what the event said when it first became a dead letter, in 16 hexadecimal digits. A redriven message carries it,
/// so that a patched event is known as the event that it was.
pub const REDRIVEN_PAYLOAD: &str = "pipas-payload";
/// On a dead letter: how many bytes its event has, where not all of them are kept.
pub const CUT: &str = "pipas-cut";
/// What the names of attributes that Pipas alone may set begin with.
pub const RESERVED_PREFIX: &str = "pipas-";
/// The W3C trace context of the request that carried the event.
pub const TRACEPARENT: &str = "traceparent";
/// On a replayed message: the id of the message that it repeats, which is in the archive.
pub const REPLAY: &str = "pipas-replay";
/// On a replayed message: when the message that it repeats was published, RFC 3339 with microseconds.
pub const REPLAY_PUBLISHED: &str = "pipas-replay-published";
/// On a replayed message: when it was replayed, RFC 3339 with microseconds.
pub const REPLAY_AT: &str = "pipas-replay-at";
/// On a message of a replay: which one. A loader looks at a table anew with the first message of each.
pub const REPLAY_RUN: &str = "pipas-replay-run";
