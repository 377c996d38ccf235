//! Documents into events, as their stream declares it: `flatten`, then `lookup`, then `filter`. Pure.
//!
//! Both ways in use it, the receiver and the poller, so that a document means the same events whichever way it came. What
//! is on a topic has its shape already; the loader knows nothing of it.

mod add;
mod faults;
mod fields;
mod flatten;
mod shape;

pub use faults::Faults;
pub use shape::{LeftOut, Missing, Part, Parts, Shape, Shaped};
