//! The archive: raw messages in Avro objects on Cloud Storage, listed in a manifest.
//!
//! [`ObjectWriter`] encodes, [`ObjectStore`] keeps, [`ManifestEntry`] says what is kept. An object without an entry is not
//! part of the archive: its writer died, and its messages were never acked.

mod avro;
mod error;
mod layout;
mod manifest;
mod reader;
mod rest;
mod retry;
mod store;
mod upload;

pub use avro::{EncodeError, ObjectWriter, SCHEMA, Summary};
pub use error::StoreError;
pub use layout::{Hour, manifest_name, manifest_prefix, object_name, object_prefix};
pub use manifest::ManifestEntry;
pub use reader::{ReadError, Records};
pub use store::{ObjectStore, Page, StoreConfig, StoredObject};
pub use upload::Upload;
