//! The registry of write streams: which streams may ever receive rows, and which never will again. It is kept in a bucket,
//! because a bucket forgets nothing: the claim ledger, which is quick, may lose its newest writes in a failover.
//!
//! ```text
//! registry/generation                                  {"number": 7, "ledger": "<identity>", "is_open": true, "after": 6}
//! registry/streams/{dataset}.{table}/{write stream}    metadata: generation, the table's epoch, and when it was fenced: rows
//! ```
//!
//! A *generation* is one life of the ledger's data. It is raised before what a ledger lost is repaired; whoever makes a
//! write stream enters it here and then looks whether the generation is still what it was. So after a raise, whatever may
//! receive rows under the old generation is listed, or will be given up by the one who made it.
//!
//! A table that could not be read in time does not keep the others waiting: the generation is opened without it, and says so.

mod entry;
mod generation;

use std::{sync::Arc, time::Duration};

use objects::{ObjectStore, StoreError};

use tokio::time::timeout;

pub use entry::{Entry, Fence};
pub use generation::{Degraded, Generation, Raised};

/// The registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Arc<ObjectStore>,
}

/// How long one call of the bucket may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the registry gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The bucket did not do what it was asked.
    #[error("the registry of write streams does not answer")]
    Store(#[from] StoreError),
    /// The bucket did not answer in time; nobody knows whether it did what it was asked.
    #[error("the registry of write streams did not answer within {PATIENCE:?}")]
    Late,
    /// An object is none that a registry writes.
    #[error("the registry holds {name}, which is {detail}")]
    Corrupt {
        /// The object.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Registry {
    /// The registry in this bucket.
    pub fn new(store: ObjectStore) -> Self {
        Self { store: Arc::new(store) }
    }

    /// Whether the bucket is there and may be used.
    pub async fn check(&self) -> Result<(), RegistryError> {
        Ok(within(self.store.check()).await??)
    }
}

/// The call's end, if it comes in time. Boxed: the bucket's client has large futures, and whoever awaits one holds it.
fn within<'a, T>(
    call: impl Future<Output = T> + Send + 'a,
) -> impl Future<Output = Result<T, RegistryError>> + Send + 'a {
    let call = timeout(PATIENCE, Box::pin(call));
    async move { call.await.map_err(|_| RegistryError::Late) }
}
