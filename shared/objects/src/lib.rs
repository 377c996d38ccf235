//! One bucket of Cloud Storage: small objects with preconditions, listings, and uploads of any size.

mod download;
mod error;
mod rest;
mod retry;
mod store;
mod upload;

pub use download::Download;
pub use error::StoreError;
pub use store::{ObjectStore, Page, StoreConfig, StoredObject};
pub use upload::Upload;
