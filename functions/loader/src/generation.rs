//! Which generation of the ledger this loader works under, and for which tables, as far as it knows.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use catalog::TableName;
use registry::Generation;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::error::LoaderError;

/// A ledger that may be used, but for some tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) generation: u64,
    /// The tables of which the ledger does not know yet what they hold.
    degraded: Arc<BTreeSet<TableName>>,
}

/// The generation, shared by all writers of the process. `None` while nobody knows whether the ledger is whole.
#[derive(Debug)]
pub(crate) struct Generations {
    current: watch::Sender<Option<Whole>>,
    wanted: Notify,
}

impl Whole {
    /// A ledger that nobody guards.
    pub(crate) fn unguarded() -> Self {
        Self { generation: 0, degraded: Arc::default() }
    }

    /// What the registry says, of the tables that are `ours`: another loader's catalog may have others.
    pub(crate) fn new(found: &Generation, ours: impl Fn(&TableName) -> bool) -> Self {
        let degraded = found.degraded.iter().map(|degraded| &degraded.table).filter(|table| ours(table));
        Self { generation: found.number, degraded: Arc::new(degraded.cloned().collect()) }
    }

    /// How many tables it is not to be used for.
    pub(crate) fn degraded(&self) -> usize {
        self.degraded.len()
    }

    /// The generation, where the table's claims may be made.
    pub(crate) fn of(&self, table: &TableName) -> Option<u64> {
        (!self.degraded.contains(table)).then_some(self.generation)
    }
}

impl Generations {
    /// `None`: nothing is known yet.
    pub(crate) fn new(current: Option<Whole>) -> Self {
        Self { current: watch::Sender::new(current), wanted: Notify::new() }
    }

    /// The generation, once the ledger is whole for the table.
    pub(crate) async fn whole(&self, table: &TableName, patience: Duration) -> Result<u64, LoaderError> {
        let of = |current: &Option<Whole>| current.as_ref().and_then(|whole| whole.of(table));
        let mut current = self.current.subscribe();
        let found = current.borrow_and_update().clone();
        if let Some(generation) = of(&found) {
            return Ok(generation);
        }
        if found.is_none() {
            self.wanted.notify_one();
        }
        match timeout(patience, current.wait_for(|current| of(current).is_some())).await {
            Ok(Ok(found)) => of(&found).ok_or(LoaderError::Recovering),
            Ok(Err(_)) | Err(_) => Err(LoaderError::Recovering),
        }
    }

    /// Whether the ledger is in use, and not whole for the table.
    pub(crate) fn is_degraded(&self, table: &TableName) -> bool {
        self.current.borrow().as_ref().is_some_and(|whole| whole.of(table).is_none())
    }

    /// The generation, where it is known.
    pub(crate) fn current(&self) -> Option<u64> {
        self.current.borrow().as_ref().map(|whole| whole.generation)
    }

    /// The same, where there are tables that it is not whole for.
    pub(crate) fn of_degraded(&self) -> Option<u64> {
        self.current.borrow().as_ref().filter(|whole| !whole.degraded.is_empty()).map(|whole| whole.generation)
    }

    /// What becomes of it.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Whole>> {
        self.current.subscribe()
    }

    /// The ledger, or the registry, is of another generation than this.
    pub(crate) fn refused(&self, generation: u64) {
        let forgot = self.current.send_if_modified(|current| {
            let same = generation > 0 && current.as_ref().is_some_and(|whole| whole.generation == generation);
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

    /// The ledger may be used.
    pub(crate) fn found(&self, whole: Whole) {
        self.current.send_replace(Some(whole));
    }

    /// The same generation is whole for more tables, unless it is over.
    pub(crate) fn healed(&self, whole: Whole) {
        self.current.send_if_modified(|current| match current {
            Some(known) if known.generation == whole.generation && *known != whole => {
                *known = whole;
                true
            }
            Some(_) | None => false,
        });
    }
}
