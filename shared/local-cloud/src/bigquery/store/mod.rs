//! Datasets, tables, views and rows: in memory for reading, and on disk before anything is answered.

mod append;
pub(crate) mod change;
mod definition;
mod disk;
mod error;
mod load;
mod record;
mod rows;
mod stream;
mod table;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Weak, mpsc},
    thread::JoinHandle,
};

use catalog::{TableName, TableSchema};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use disk::Disk;

pub(crate) use definition::Definition;
pub(crate) use error::StoreError;
pub(crate) use stream::{Refused, Stream, StreamKind};
pub(crate) use table::{Snapshot, Table};

/// The datasets of a project.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Disk,
    datasets: RwLock<BTreeMap<String, Dataset>>,
    next_table: Mutex<u64>,
    merges: mpsc::Sender<Merge>,
    merger: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread that merges segments is told.
enum Merge {
    /// This table has segments to merge.
    Table(Arc<Table>),
    /// The store closes.
    Stop,
}

/// A dataset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dataset {
    /// The settings of the resource.
    pub(crate) resource: Resource,
    /// Its tables and views by name.
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// What the REST API shows of a dataset or a view, beside its name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Resource {
    /// When it was created, in microseconds since the epoch.
    pub(crate) created: i64,
    /// When it was last changed, in microseconds since the epoch.
    pub(crate) modified: i64,
    /// Everything that the caller set.
    pub(crate) settings: Map<String, Value>,
}

/// A table or a view.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// A table.
    Table(Arc<Table>),
    /// A view.
    View(Arc<View>),
}

/// A view.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Its name.
    pub(crate) name: TableName,
    /// Its query.
    pub(crate) query: String,
    /// The rest of the resource.
    pub(crate) resource: Resource,
}

/// A table or view that is to be created.
#[derive(Debug)]
pub(crate) struct NewEntry {
    /// Its name.
    pub(crate) name: TableName,
    /// The columns; a view has none of its own.
    pub(crate) schema: TableSchema,
    /// The query of a view.
    pub(crate) query: Option<String>,
    /// Everything else that the caller set.
    pub(crate) settings: Map<String, Value>,
}

/// The disk's record of a table or a view.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(default)]
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    resource: Resource,
}

impl Store {
    /// Opens the store in `dir` with everything that was in it.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let disk = Disk::open(dir)?;
        let (merges, told) = mpsc::channel();
        let merger = std::thread::Builder::new().name("bigquery-merge".into()).spawn(move || {
            while let Ok(Merge::Table(table)) = told.recv() {
                if let Err(error) = table.merge() {
                    tracing::warn!(%error, table = %table.name, "the segments of a table were not merged");
                }
            }
        })?;
        let (datasets, next_table) = load::load(&disk, &merges)?;
        Ok(Self {
            disk,
            datasets: RwLock::new(datasets),
            next_table: Mutex::new(next_table),
            merges,
            merger: Mutex::new(Some(merger)),
        })
    }

    /// Ends the merging, writes everything through to the disk itself and forgets it. The weak reference is dead once
    /// nobody uses the files any more.
    pub(crate) fn close(&self) -> anyhow::Result<Weak<()>> {
        // Where the thread has ended, nobody listens.
        let _ = self.merges.send(Merge::Stop);
        if let Some(merger) = self.merger.lock().take() {
            merger.join().map_err(|_| anyhow::anyhow!("the thread that merges segments panicked"))?;
        }
        self.datasets.write().clear();
        self.disk.sync()?;
        Ok(self.disk.in_use())
    }

    /// Every dataset by name.
    pub(crate) fn datasets(&self) -> Vec<(String, Resource)> {
        self.datasets.read().iter().map(|(name, dataset)| (name.clone(), dataset.resource.clone())).collect()
    }

    /// The dataset's resource.
    pub(crate) fn dataset(&self, dataset: &str) -> Result<Resource, StoreError> {
        let datasets = self.datasets.read();
        datasets.get(dataset).map(|found| found.resource.clone()).ok_or_else(|| no_dataset(dataset))
    }

    /// Creates an empty dataset.
    pub(crate) fn create_dataset(
        &self,
        dataset: &str,
        settings: Map<String, Value>,
        now: i64,
    ) -> Result<Resource, StoreError> {
        check_name("dataset", dataset)?;
        let mut datasets = self.datasets.write();
        if datasets.contains_key(dataset) {
            return Err(StoreError::Duplicate(format!("Dataset {dataset}")));
        }
        let resource = Resource { created: now, modified: now, settings };
        self.disk.meta.insert(disk::dataset_key(dataset), serde_json::to_vec(&resource)?)?;
        datasets.insert(dataset.to_owned(), Dataset { resource: resource.clone(), entries: BTreeMap::new() });
        Ok(resource)
    }

    /// Changes the dataset's settings by `change`.
    pub(crate) fn update_dataset(
        &self,
        dataset: &str,
        now: i64,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Resource, StoreError> {
        let mut datasets = self.datasets.write();
        let found = datasets.get_mut(dataset).ok_or_else(|| no_dataset(dataset))?;
        let mut resource = Resource { modified: now.max(found.resource.modified + 1), ..found.resource.clone() };
        change(&mut resource.settings);
        self.disk.meta.insert(disk::dataset_key(dataset), serde_json::to_vec(&resource)?)?;
        found.resource = resource.clone();
        Ok(resource)
    }

    /// Deletes the dataset, with its tables where `contents` says so.
    pub(crate) fn delete_dataset(&self, dataset: &str, contents: bool) -> Result<(), StoreError> {
        let mut datasets = self.datasets.write();
        let found = datasets.get_mut(dataset).ok_or_else(|| no_dataset(dataset))?;
        if !contents && !found.entries.is_empty() {
            return Err(StoreError::InUse(format!("Dataset {dataset} is still in use")));
        }
        while let Some((name, entry)) = found.entries.pop_first() {
            if let Err(error) = self.remove(&entry) {
                found.entries.insert(name, entry);
                return Err(error);
            }
        }
        self.disk.meta.remove(disk::dataset_key(dataset))?;
        datasets.remove(dataset);
        Ok(())
    }

    /// The tables and views of a dataset in the order of their names.
    pub(crate) fn entries(&self, dataset: &str) -> Result<Vec<Entry>, StoreError> {
        let datasets = self.datasets.read();
        datasets.get(dataset).map(|d| d.entries.values().cloned().collect()).ok_or_else(|| no_dataset(dataset))
    }

    /// The table or view.
    pub(crate) fn entry(&self, dataset: &str, table: &str) -> Result<Entry, StoreError> {
        let datasets = self.datasets.read();
        let found = datasets.get(dataset).ok_or_else(|| no_dataset(dataset))?;
        found.entries.get(table).cloned().ok_or_else(|| no_table(dataset, table))
    }

    /// The table; a view is none.
    pub(crate) fn table(&self, dataset: &str, table: &str) -> Result<Arc<Table>, StoreError> {
        match self.entry(dataset, table)? {
            Entry::Table(table) => Ok(table),
            Entry::View(_) => Err(StoreError::Invalid(format!("{dataset}.{table} is a view, which holds no rows"))),
        }
    }

    /// Creates a table or a view.
    pub(crate) fn create(&self, new: NewEntry, now: i64) -> Result<Entry, StoreError> {
        check_name("table", &new.name.table)?;
        definition::check_schema(&new.schema.fields)?;
        let mut datasets = self.datasets.write();
        let found = datasets.get_mut(&new.name.dataset).ok_or_else(|| no_dataset(&new.name.dataset))?;
        if found.entries.contains_key(&new.name.table) {
            return Err(StoreError::Duplicate(format!("Table {}", new.name)));
        }
        let NewEntry { name, schema, query, settings } = new;
        let resource = Resource { created: now, modified: now, settings: settings.clone() };
        let key = disk::table_key(&name.dataset, &name.table);
        let entry = if let Some(query) = query {
            let record = Record { id: None, version: 0, query: Some(query.clone()), resource: resource.clone() };
            self.disk.meta.insert(key, serde_json::to_vec(&record)?)?;
            Entry::View(Arc::new(View { name: name.clone(), query, resource }))
        } else {
            let mut next = self.next_table.lock();
            let id = *next;
            let record = Record { id: Some(id), version: 1, query: None, resource };
            let mut commit = self.disk.batch();
            commit.insert(&self.disk.meta, disk::NEXT_TABLE, (id + 1).to_be_bytes());
            commit.insert(&self.disk.meta, key, serde_json::to_vec(&record)?);
            let definition = Definition::new(1, schema, settings, now);
            commit.insert(&self.disk.schemas, disk::schema_key(id, 1), serde_json::to_vec(&definition.stored)?);
            commit.commit()?;
            *next += 1;
            Entry::Table(Arc::new(Table::new(table::Parts {
                id,
                name: name.clone(),
                created: now,
                disk: self.disk.clone(),
                definition,
                rows: rows::Rows::default(),
                streams: std::collections::HashMap::new(),
                merges: self.merges.clone(),
            })))
        };
        found.entries.insert(name.table, entry.clone());
        Ok(entry)
    }

    /// Replaces a table's settings, and its schema where one is given.
    pub(crate) fn update_table(
        &self,
        table: &Table,
        schema: Option<TableSchema>,
        settings: Map<String, Value>,
        now: i64,
    ) -> Result<(), StoreError> {
        let modified = now.max(table.definition().modified + 1);
        table.update(schema, settings, modified, |definition| {
            let (created, settings) = (table.created, definition.settings.clone());
            let resource = Resource { created, modified, settings };
            let record = Record { id: Some(table.id), version: definition.version, query: None, resource };
            Ok(serde_json::to_vec(&record)?)
        })
    }

    /// Replaces a view's query and settings.
    pub(crate) fn update_view(
        &self,
        view: &View,
        query: String,
        settings: Map<String, Value>,
        now: i64,
    ) -> Result<(), StoreError> {
        let TableName { dataset, table } = view.name.clone();
        let mut datasets = self.datasets.write();
        let found = datasets.get_mut(&dataset).ok_or_else(|| no_dataset(&dataset))?;
        let Some(Entry::View(old)) = found.entries.get_mut(&table) else { return Err(no_table(&dataset, &table)) };
        let modified = now.max(old.resource.modified + 1);
        let resource = Resource { created: old.resource.created, modified, settings };
        let record = Record { id: None, version: 0, query: Some(query.clone()), resource: resource.clone() };
        self.disk.meta.insert(disk::table_key(&dataset, &table), serde_json::to_vec(&record)?)?;
        *old = Arc::new(View { name: view.name.clone(), query, resource });
        Ok(())
    }

    /// Deletes the table or view with its rows and streams.
    pub(crate) fn delete(&self, dataset: &str, table: &str) -> Result<(), StoreError> {
        let mut datasets = self.datasets.write();
        let found = datasets.get_mut(dataset).ok_or_else(|| no_dataset(dataset))?;
        let entry = found.entries.get(table).ok_or_else(|| no_table(dataset, table))?;
        self.remove(entry)?;
        found.entries.remove(table);
        Ok(())
    }

    fn remove(&self, entry: &Entry) -> Result<(), StoreError> {
        match entry {
            Entry::Table(table) => table.drop_all(self.disk.batch()),
            Entry::View(view) => Ok(self.disk.meta.remove(disk::table_key(&view.name.dataset, &view.name.table))?),
        }
    }
}

/// Microseconds since the epoch.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn no_dataset(dataset: &str) -> StoreError {
    StoreError::NotFound(format!("Dataset {dataset}"))
}

fn no_table(dataset: &str, table: &str) -> StoreError {
    StoreError::NotFound(format!("Table {dataset}.{table}"))
}

fn check_name(what: &str, name: &str) -> Result<(), StoreError> {
    let fits = |c: char| c.is_alphanumeric() || c == '_' || (what == "table" && c == '-');
    if name.is_empty() || name.len() > 1024 || !name.chars().all(fits) {
        return Err(StoreError::Invalid(format!("Invalid {what} ID \"{name}\".")));
    }
    Ok(())
}
