//! GTFS-Realtime (<https://gtfs.org/documentation/realtime/reference/>): its messages, and their JSON form.
//!
//! The schema is MobilityData's, vendored; what is generated from it is kept, and a test of this crate compares it. (The published
//! crates need protoc, or an old prost.)

mod json;

pub use json::{DecodeError, to_json};

/// The messages of the schema.
#[allow(missing_docs, clippy::doc_markdown, clippy::large_enum_variant)]
pub mod transit_realtime {
    include!("generated/transit_realtime.rs");
}
