//! What is known of a feed, between one fetch and the next: an object of the bucket.

use bytes::Bytes;
use event::Timestamp;
use objects::{ObjectStore, StoreError};
use serde::{Deserialize, Serialize};

const CONTENT_TYPE: &str = "application/json";
/// How often a write that meets another's is tried again.
const TRIES: usize = 5;

/// What is known of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The fetch that wrote this: its lease is over.
    pub(crate) fetch: String,
    /// What the answer was read by.
    pub(crate) reading: String,
    /// The answer's `ETag`.
    pub(crate) etag: Option<String>,
    /// The answer's `Last-Modified`.
    pub(crate) last_modified: Option<String>,
    /// SHA-256 of the answer's body, whose events are on the topic.
    pub(crate) body: Option<String>,
    /// How often it failed since it last did not.
    pub(crate) failures: u32,
    /// Before when it is left alone.
    pub(crate) not_before: Option<Timestamp>,
    /// Why it failed last.
    pub(crate) error: Option<String>,
}

/// What is known of `feed`; nothing, where nothing can be read of it.
pub(crate) async fn read(store: &ObjectStore, feed: &str) -> Result<State, StoreError> {
    let (bytes, _) = read_object(store, &object(feed)).await?;
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Writes what is known of `feed`: the last who writes it knows best.
pub(crate) async fn write(store: &ObjectStore, feed: &str, state: &State) -> Result<(), StoreError> {
    let name = object(feed);
    let bytes = Bytes::from(serde_json::to_vec(state).unwrap_or_default());
    let mut tries = 0;
    loop {
        let (_, generation) = read_object(store, &name).await?;
        match store.replace(&name, CONTENT_TYPE, bytes.clone(), generation).await {
            Err(StoreError::Changed { .. }) if tries < TRIES => tries += 1,
            written => return written,
        }
    }
}

/// An object's bytes and generation; of one that is not there, none and 0.
pub(crate) async fn read_object(store: &ObjectStore, name: &str) -> Result<(Bytes, i64), StoreError> {
    match store.read_generation(name).await {
        Err(StoreError::NotFound { .. }) => Ok((Bytes::new(), 0)),
        read => read,
    }
}

fn object(feed: &str) -> String {
    format!("feeds/{feed}/state")
}
