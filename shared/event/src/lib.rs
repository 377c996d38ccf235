//! The event, the message it travels as, and what can become of it. Pure: no I/O, no clock, no HTTP.

mod id;
mod message;
mod outcome;
mod redrive;
mod rejection;

pub mod attribute;

pub use bytes::Bytes;
pub use id::{EventId, EventIdError};
pub use jiff::Timestamp;
pub use message::{Event, Message};
pub use outcome::Outcome;
pub use redrive::{DeadLetterId, Redrive};
pub use rejection::{Reason, Rejection};
