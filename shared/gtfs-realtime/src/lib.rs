//! GTFS-Realtime (<https://gtfs.org/documentation/realtime/reference/>): its messages, and their JSON form.
//!
//! The schema is MobilityData's, vendored and compiled without protoc, which the published crates need.

mod json;

pub use json::{DecodeError, to_json};

/// The messages of the schema.
#[allow(missing_docs, clippy::doc_markdown, clippy::large_enum_variant)]
pub mod transit_realtime {
    include!(concat!(env!("OUT_DIR"), "/transit_realtime.rs"));
}
