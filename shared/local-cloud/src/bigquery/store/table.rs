//! A table: its rows, in memory and on disk, and who may change them when.
//!
//! Three locks, taken in this order: `maintenance` (whoever rewrites rows that are there: schema updates, deletes,
//! merges), a stream's state, `rows`. An append takes the last two and only adds at the end. Rows are in memory once
//! their record is with the operating system, so a reader sees every answered append, and always a prefix.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use arrow::{
    array::{Array, RecordBatch},
    compute::concat_batches,
};
use catalog::{TableName, TableSchema};
use fjall::OwnedWriteBatch as WriteBatch;
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value};

use super::{
    Merge, change,
    definition::{Definition, check_schema, check_update},
    disk::{self, Disk},
    error::StoreError,
    record,
    rows::{Rows, Segment},
    stream::Stream,
};
use crate::bigquery::columns;

/// A merge rewrites the records on disk once they are so many.
const RECORDS_TO_REWRITE: usize = 256;

/// A table with its rows and write streams.
#[derive(Debug)]
pub(crate) struct Table {
    /// Never used again for another table.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: TableName,
    /// When it was created, in microseconds since the epoch.
    pub(crate) created: i64,
    pub(super) disk: Disk,
    pub(super) streams: RwLock<HashMap<String, Arc<Stream>>>,
    pub(super) rows: Mutex<Rows>,
    /// What the rows of a table with a primary key last showed.
    shown: Mutex<Option<Snapshot>>,
    definition: RwLock<Arc<Definition>>,
    maintenance: Mutex<()>,
    merges: mpsc::Sender<Merge>,
    queued: AtomicBool,
}

/// The rows of a table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// What the rows follow.
    pub(crate) definition: Arc<Definition>,
    /// The rows.
    pub(crate) batches: Vec<RecordBatch>,
    /// Whether rows took the place of others.
    pub(crate) changes: bool,
    count: u64,
    rewrites: u64,
}

/// What a table is made of.
pub(super) struct Parts {
    pub(super) id: u64,
    pub(super) name: TableName,
    pub(super) created: i64,
    pub(super) disk: Disk,
    pub(super) definition: Definition,
    pub(super) rows: Rows,
    pub(super) streams: HashMap<String, Arc<Stream>>,
    pub(super) merges: mpsc::Sender<Merge>,
}

impl Table {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            id: parts.id,
            name: parts.name,
            created: parts.created,
            disk: parts.disk,
            streams: RwLock::new(parts.streams),
            rows: Mutex::new(parts.rows),
            shown: Mutex::default(),
            definition: RwLock::new(Arc::new(parts.definition)),
            maintenance: Mutex::default(),
            merges: parts.merges,
            queued: AtomicBool::new(false),
        }
    }

    /// What the table is now.
    pub(crate) fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.definition.read())
    }

    /// The rows whose appends were answered, in the order of the appends; where the table has a primary key, as far as no
    /// later row took their place.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut snapshot = self.written();
        if !snapshot.definition.has_key() {
            return Ok(snapshot);
        }
        let mut shown = self.shown.lock();
        let same = |known: &&Snapshot| {
            (known.count, known.rewrites) == (snapshot.count, snapshot.rewrites)
                && Arc::ptr_eq(&known.definition, &snapshot.definition)
        };
        if let Some(known) = shown.as_ref().filter(same) {
            return Ok(known.clone());
        }
        snapshot.batches = change::shown(&snapshot.definition, &snapshot.batches)?;
        *shown = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// The rows whose appends were answered, as they came.
    fn written(&self) -> Snapshot {
        let rows = self.rows.lock();
        let definition = self.definition();
        Snapshot {
            changes: rows.has_changes(&definition),
            batches: rows.segments.iter().map(|segment| segment.batch.clone()).collect(),
            count: rows.count,
            rewrites: rows.rewrites,
            definition,
        }
    }

    /// How many rows are visible.
    pub(crate) fn row_count(&self) -> u64 {
        if !self.definition().has_key() {
            return self.rows.lock().count;
        }
        let batches = self.snapshot().map(|snapshot| snapshot.batches).unwrap_or_default();
        batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    /// The size of the visible rows: their values, without what memory is set aside.
    pub(crate) fn bytes(&self) -> u64 {
        let batches = self.snapshot().map(|snapshot| snapshot.batches).unwrap_or_default();
        let columns = batches.iter().flat_map(RecordBatch::columns);
        columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0) as u64).sum()
    }

    /// Appends rows that belong to no created stream, all or none.
    pub(crate) fn append(self: &Arc<Self>, batches: Vec<RecordBatch>) -> Result<(), StoreError> {
        let mut rows = self.rows.lock();
        let mut commit = self.disk.batch();
        let staged = self.stage(&rows, batches, &mut commit)?;
        commit.commit()?;
        self.publish(&mut rows, staged);
        Ok(())
    }

    /// Puts the records of rows into `commit`. After its commit they are to be published, under the same lock.
    pub(super) fn stage(
        &self,
        rows: &Rows,
        batches: Vec<RecordBatch>,
        commit: &mut WriteBatch,
    ) -> Result<Vec<(RecordBatch, u64)>, StoreError> {
        if rows.dropped {
            return Err(StoreError::NotFound(format!("Table {}", self.name)));
        }
        let definition = self.definition();
        let mut staged = Vec::with_capacity(batches.len());
        for (batch, sequence) in batches.into_iter().filter(|b| b.num_rows() > 0).zip(rows.next_record..) {
            let batch = columns::adapt(&batch, &definition.arrow)?;
            let record = record::encode(&batch, definition.version)?;
            commit.insert(&self.disk.rows, disk::row_key(self.id, sequence), record);
            staged.push((batch, sequence));
        }
        Ok(staged)
    }

    pub(super) fn publish(self: &Arc<Self>, rows: &mut Rows, staged: Vec<(RecordBatch, u64)>) {
        let mut merge = false;
        for (batch, sequence) in staged {
            rows.next_record = sequence + 1;
            merge = rows.push(batch, vec![sequence]);
        }
        if merge && !self.queued.swap(true, Ordering::AcqRel) {
            // Without a listener the store is closing, and the next start merges.
            let _ = self.merges.send(Merge::Table(Arc::clone(self)));
        }
    }

    /// Merges small segments until none are left to merge.
    pub(super) fn merge(&self) -> Result<(), StoreError> {
        self.queued.store(false, Ordering::Release);
        let _maintenance = self.maintenance.lock();
        loop {
            let (range, segments) = {
                let rows = self.rows.lock();
                let Some(range) = rows.to_merge() else { return Ok(()) };
                (range.clone(), rows.segments[range].to_vec())
            };
            let definition = self.definition();
            let whole = concat_batches(&definition.arrow, segments.iter().map(|segment| &segment.batch))?;
            let batch = change::compacted(&definition, &whole)?;
            let mut records: Vec<u64> = segments.into_iter().flat_map(|segment| segment.records).collect();
            if records.len() >= RECORDS_TO_REWRITE {
                let mut commit = self.disk.batch();
                for sequence in &records[1..] {
                    commit.remove(&self.disk.rows, disk::row_key(self.id, *sequence));
                }
                let record = record::encode(&batch, definition.version)?;
                commit.insert(&self.disk.rows, disk::row_key(self.id, records[0]), record);
                commit.commit()?;
                records.truncate(1);
            }
            // Only the maintainer touches what was there; appends in the meantime are behind the range.
            self.rows.lock().replace(range, Segment { batch, records }, whole.num_rows());
        }
    }

    /// Replaces the settings, and the schema where one is given.
    pub(super) fn update(
        &self,
        schema: Option<TableSchema>,
        settings: Map<String, Value>,
        modified: i64,
        record: impl FnOnce(&Definition) -> Result<Vec<u8>, StoreError>,
    ) -> Result<(), StoreError> {
        let _maintenance = self.maintenance.lock();
        let mut rows = self.rows.lock();
        let old = self.definition();
        let schema = schema.unwrap_or_else(|| old.schema.clone());
        if schema != old.schema {
            check_schema(&schema.fields)?;
            check_update(&self.name, &old.schema.fields, &schema.fields)?;
        }
        let mut new = Definition::new(old.version, schema, settings, modified);
        if old.key_names() != new.key_names() && rows.has_changes(&old) {
            let detail = format!("Cannot change the primary key of Table {}, which holds change data", self.name);
            return Err(StoreError::Invalid(detail));
        }
        let changed = new.stored != old.stored;
        new.version += u32::from(changed);
        let adapted: Vec<RecordBatch> =
            rows.segments.iter().map(|s| columns::adapt(&s.batch, &new.arrow)).collect::<Result<_, _>>()?;
        let mut commit = self.disk.batch();
        if changed {
            commit.insert(&self.disk.schemas, disk::schema_key(self.id, new.version), serde_json::to_vec(&new.stored)?);
        }
        let key = disk::table_key(&self.name.dataset, &self.name.table);
        commit.insert(&self.disk.meta, key, record(&new)?);
        commit.commit()?;
        for (segment, batch) in rows.segments.iter_mut().zip(adapted) {
            segment.batch = batch;
        }
        *self.definition.write() = Arc::new(new);
        Ok(())
    }

    /// Puts `kept` in the place of the rows that the snapshot saw; rows that came later stay. `false` where rows were
    /// taken away since: then nothing is done.
    pub(crate) fn replace(self: &Arc<Self>, seen: &Snapshot, kept: Vec<RecordBatch>) -> Result<bool, StoreError> {
        let _maintenance = self.maintenance.lock();
        let mut rows = self.rows.lock();
        if rows.rewrites != seen.rewrites {
            return Ok(false);
        }
        let mut after = kept;
        let mut skip = usize::try_from(seen.count).unwrap_or(usize::MAX);
        for Segment { batch, .. } in &rows.segments {
            let seen = skip.min(batch.num_rows());
            after.push(batch.slice(seen, batch.num_rows() - seen));
            skip -= seen;
        }
        let mut commit = self.disk.batch();
        let staged = self.stage(&rows, after, &mut commit)?;
        for sequence in rows.segments.iter().flat_map(|segment| &segment.records) {
            commit.remove(&self.disk.rows, disk::row_key(self.id, *sequence));
        }
        commit.commit()?;
        rows.segments.clear();
        rows.count = 0;
        rows.rewrites += 1;
        self.publish(&mut rows, staged);
        Ok(true)
    }

    /// Removes everything of the table from the disk with `commit`; appends that wait fail.
    pub(super) fn drop_all(&self, mut commit: WriteBatch) -> Result<(), StoreError> {
        let _maintenance = self.maintenance.lock();
        let streams = self.streams.write();
        // In the order in which a commit locks several streams.
        let mut sorted: Vec<_> = streams.values().collect();
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        let mut states: Vec<_> = sorted.iter().map(|stream| stream.state.lock()).collect();
        let mut rows = self.rows.lock();
        let prefix = self.id.to_be_bytes();
        let Disk { schemas, rows: visible, streams: written, offsets, pending, .. } = &self.disk;
        for keyspace in [schemas, visible, written, offsets, pending] {
            for guard in keyspace.prefix(prefix) {
                commit.remove(keyspace, guard.key()?);
            }
        }
        commit.remove(&self.disk.meta, disk::table_key(&self.name.dataset, &self.name.table));
        commit.commit()?;
        rows.dropped = true;
        rows.segments.clear();
        for state in &mut states {
            state.finalized = true;
            state.hidden.clear();
        }
        Ok(())
    }
}
