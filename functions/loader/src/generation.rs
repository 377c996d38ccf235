//! Which generation of the ledger this loader works under, as far as it knows.

use std::time::Duration;

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::error::LoaderError;

/// The generation, shared by all writers of the process. `None` while nobody knows whether the ledger is whole.
#[derive(Debug)]
pub(crate) struct Generations {
    current: watch::Sender<Option<u64>>,
    wanted: Notify,
}

impl Generations {
    /// Nothing is known yet; `Some(0)`: nobody guards.
    pub(crate) fn new(current: Option<u64>) -> Self {
        Self { current: watch::Sender::new(current), wanted: Notify::new() }
    }

    /// The generation, once the ledger is whole.
    pub(crate) async fn whole(&self, patience: Duration) -> Result<u64, LoaderError> {
        let mut current = self.current.subscribe();
        if let Some(generation) = *current.borrow_and_update() {
            return Ok(generation);
        }
        self.wanted.notify_one();
        match timeout(patience, current.wait_for(Option::is_some)).await {
            Ok(Ok(found)) => found.ok_or(LoaderError::Recovering),
            Ok(Err(_)) | Err(_) => Err(LoaderError::Recovering),
        }
    }

    /// What becomes of it.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<u64>> {
        self.current.subscribe()
    }

    /// The ledger, or the registry, is of another generation than this.
    pub(crate) fn refused(&self, generation: u64) {
        let forgot = self.current.send_if_modified(|current| {
            let same = *current == Some(generation) && generation > 0;
            if same {
                *current = None;
            }
            same
        });
        if forgot {
            tracing::warn!(ledger.generation = generation, "the ledger is not of this generation any more");
            self.wanted.notify_one();
        }
    }

    /// Waits until somebody wants to know.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The ledger is whole, and of this generation.
    pub(crate) fn found(&self, generation: u64) {
        self.current.send_replace(Some(generation));
    }
}
