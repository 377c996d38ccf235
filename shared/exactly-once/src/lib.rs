//! Exactly once, as a pure state machine: what a loader claims, appends, settles, fences and rejects, and in which order.
//!
//! No I/O, no runtime, no clock: [`Writer`] takes [`Input`]s with the time they came at, and gives [`Output`]s that its
//! driver carries out. What the ledger does with a key is here too ([`rules`]), so that every ledger, and every model of
//! one, answers alike.
//!
//! The promise: an event whose delivery was answered with anything but [`Answer::Retry`] is one row or one dead letter.
//! It rests on four rules. Content freeze: at most one byte string is sent at an offset unless each earlier copy was refused
//! for certain. Claim equality: when a request is sent, the events whose claim names its stream and offset are exactly
//! the events in it. A claim changes only by compare-and-set, after its stream was fenced, to what the fence says. And nothing is
//! answered before the row, or the dead letter, is known to stand.

mod claim;
mod io;
mod key;
mod limits;
pub mod rules;
mod time;
mod writer;

pub use claim::{Claim, Claimed, Expected, NewState, Owner, Restored, Settled, State, Swapped, Want, is_reopening};
pub use io::{Alarm, Answer, AppendReply, BadRow, CallId, DeliveryId, Input, Offer, Output, RequestId, Retry, Verdict};
pub use key::{EventKey, PayloadHash};
pub use limits::{Backoff, Limits};
pub use time::Time;
pub use writer::{Numbers, Writer};
