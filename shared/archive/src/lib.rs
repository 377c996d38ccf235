//! The archive: raw messages in Avro objects on Cloud Storage, listed in a manifest.
//!
//! [`ObjectWriter`] encodes, [`objects::ObjectStore`] keeps, [`ManifestEntry`] says what is kept. An object without an entry is not
//! part of the archive: its writer died, and its messages were never acked. [`entries`] lists what is kept, and [`live`] says
//! which entries count. A message may be in two live objects: its `message_id` tells.

mod avro;
mod foreign;
mod layout;
mod manifest;
mod reader;

pub use avro::{EncodeError, ObjectWriter, SCHEMA, SCHEMA_FINGERPRINT, Summary};
pub use foreign::{ForeignRecord, ForeignRecords, Form};
pub use layout::{Hour, manifest_name, manifest_prefix, object_name, object_prefix};
pub use manifest::{ManifestEntry, entries, live};
pub use reader::{ReadError, Records};
