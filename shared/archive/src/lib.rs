//! The archive: raw messages in Avro objects on Cloud Storage, listed in a manifest.
//!
//! [`ObjectWriter`] encodes, [`objects::ObjectStore`] keeps, [`ManifestEntry`] says what is kept. An object without an entry is not
//! part of the archive: its writer died, and its messages were never acked. [`entries`] lists what is kept, and [`live`] says
//! which entries count. A message may be in two live objects: its `message_id` tells.

mod avro;
mod codec;
mod container;
mod foreign;
mod layout;
mod manifest;
mod merge;
mod reader;
mod sweep;

use std::collections::BTreeMap;

use objects::{ObjectStore, StoreError, Upload};

pub use avro::{EncodeError, ObjectWriter, SCHEMA, SCHEMA_FINGERPRINT, Summary};
pub use codec::CodecError;
pub use container::ContainerError;
pub use foreign::{ForeignRecord, ForeignRecords, Form};
pub use layout::{Hour, manifest_name, manifest_prefix, object_name, object_name_in, object_prefix, stamp};
pub use manifest::{ManifestEntry, entries, live};
pub use merge::{MergeError, merge, plan};
pub use reader::{ReadError, Records};
pub use sweep::{Broom, Swept, sweep};

/// The key of an object's custom metadata that names its stream: what has it, and no manifest entry, may be swept.
const STREAM_KEY: &str = "pipas-stream";
const CONTENT_TYPE: &str = "application/avro";

/// Begins the upload of an archive object of `stream`.
pub async fn begin(store: &ObjectStore, stream: &str, name: &str) -> Result<Upload, StoreError> {
    let metadata = BTreeMap::from([(STREAM_KEY.to_owned(), stream.to_owned())]);
    store.upload_with_metadata(name, CONTENT_TYPE, &metadata).await
}
