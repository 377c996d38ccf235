//! The archive: raw messages in Avro objects on Cloud Storage, listed in a manifest.
//!
//! [`ObjectWriter`] encodes, [`objects::ObjectStore`] keeps, [`ManifestEntry`] says what is kept. An object without an entry is not
//! part of the archive: its writer died, and its messages were never acked.

mod avro;
mod foreign;
mod layout;
mod manifest;
mod reader;

pub use avro::{EncodeError, ObjectWriter, SCHEMA, Summary};
pub use foreign::{ForeignRecord, ForeignRecords, Form};
pub use layout::{Hour, manifest_name, manifest_prefix, object_name, object_prefix};
pub use manifest::ManifestEntry;
pub use reader::{ReadError, Records};
