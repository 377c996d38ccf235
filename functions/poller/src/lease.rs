//! One fetch of a feed at a time, across instances: an object of the bucket says who fetches, and until when at the latest.
//!
//! It is written once for each fetch, and the feed's state once at its end, which names the fetch: that ends the lease. So no
//! object is written twice within a moment, which Cloud Storage slows down. Who dies leaves a lease that ends by itself.

use std::time::Duration;

use bytes::Bytes;
use event::Timestamp;
use objects::{ObjectStore, StoreError};
use serde::{Deserialize, Serialize};

use crate::state::{State, read_object};

#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    fetch: String,
    until: Timestamp,
}

/// Takes the lease of `feed` for the fetch `fetch`, for at most `term`, and says what is known of the feed. `None`: another
/// has it.
pub(crate) async fn take(
    store: &ObjectStore,
    feed: &str,
    fetch: &str,
    term: Duration,
) -> Result<Option<State>, StoreError> {
    let name = format!("feeds/{feed}/lease");
    let (bytes, generation) = read_object(store, &name).await?;
    // After the lease: a state that ends it is not older than it.
    let state = crate::state::read(store, feed).await?;
    let now = Timestamp::now();
    if let Ok(held) = serde_json::from_slice::<Lease>(&bytes)
        && held.until > now
        && held.fetch != state.fetch
    {
        return Ok(None);
    }
    let lease = Lease { fetch: fetch.to_owned(), until: now.checked_add(term).unwrap_or(Timestamp::MAX) };
    let bytes = Bytes::from(serde_json::to_vec(&lease).unwrap_or_default());
    match store.replace(&name, "application/json", bytes, generation).await {
        Ok(()) => Ok(Some(state)),
        Err(StoreError::Changed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
