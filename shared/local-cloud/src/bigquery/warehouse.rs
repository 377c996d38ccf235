//! What a statement sees of the store: each table as it was when the statement first read it.

use std::{collections::HashMap, sync::Arc};

use catalog::TableName;
use parking_lot::Mutex;

use super::{
    sql::{TableData, Warehouse},
    store::{Entry, Snapshot, Store},
};

/// The tables of one statement.
pub(crate) struct Snapshots {
    store: Arc<Store>,
    project: Arc<str>,
    seen: Mutex<HashMap<TableName, Snapshot>>,
}

impl Snapshots {
    /// A view of the store in which nothing was read yet.
    pub(crate) fn new(store: Arc<Store>, project: Arc<str>) -> Self {
        Self { store, project, seen: Mutex::default() }
    }

    /// The table as the statement saw it, where it did.
    pub(crate) fn seen(&self, name: &TableName) -> Option<Snapshot> {
        self.seen.lock().get(name).cloned()
    }
}

impl Warehouse for Snapshots {
    fn project(&self) -> &str {
        &self.project
    }

    fn table(&self, dataset: &str, table: &str) -> Option<TableData> {
        let name = TableName { dataset: dataset.to_owned(), table: table.to_owned() };
        let mut seen = self.seen.lock();
        let snapshot = match seen.get(&name) {
            Some(snapshot) => snapshot.clone(),
            None => {
                let snapshot = self.store.table(dataset, table).ok()?.snapshot().ok()?;
                seen.insert(name.clone(), snapshot.clone());
                snapshot
            }
        };
        Some(TableData { name, schema: snapshot.definition.schema.clone(), batches: snapshot.batches })
    }

    fn view(&self, dataset: &str, table: &str) -> Option<String> {
        match self.store.entry(dataset, table).ok()? {
            Entry::View(view) => Some(view.query.clone()),
            Entry::Table(_) => None,
        }
    }
}
