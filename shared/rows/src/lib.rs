//! Rows: a table's schema as a protobuf descriptor, and events as rows of it, by the table's rules. Pure.
//!
//! The loader writes by this code, and a check of a sample answers by it: [`Checker`].

mod checker;
mod descriptor;
mod encode;
mod mask;
mod payload;

pub use checker::{CheckedRow, Checker, Fault, Verdict};
pub use descriptor::{SchemaUnsupported, SharedDescriptor};
pub use encode::{EventView, Ingest, LiveEncoder, MAX_ROW_BYTES, RawEvent, RowEncoder};
pub use mask::{MaskKey, MaskKeyError};
pub use payload::PayloadMask;
