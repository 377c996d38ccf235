//! What is kept on disk, and under which keys.
//!
//! | keyspace | key | value |
//! | --- | --- | --- |
//! | `meta` | `next` | the next table id |
//! | `meta` | `d/{dataset}` | the dataset's resource |
//! | `meta` | `t/{dataset}/{table}` | the table's or view's record |
//! | `schemas` | table id, version | the schema that rows of this version were written by |
//! | `rows` | table id, sequence | visible rows, as [`super::record`] writes them |
//! | `streams` | table id, stream id | the write stream's record |
//! | `offsets` | table id, stream id | where the write stream ends |
//! | `pending` | table id, stream id, 0, offset | rows of a write stream that are not visible yet |

use std::{
    path::Path,
    sync::{Arc, Weak},
};

use anyhow::Context;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch as WriteBatch, PersistMode};

/// The database under the store.
#[derive(Clone)]
pub(crate) struct Disk {
    database: Database,
    pub(super) meta: Keyspace,
    pub(super) schemas: Keyspace,
    pub(super) rows: Keyspace,
    pub(super) streams: Keyspace,
    pub(super) offsets: Keyspace,
    pub(super) pending: Keyspace,
    users: Arc<()>,
}

impl Disk {
    /// Opens or creates the database in `dir`.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let database = Database::builder(dir)
            .worker_threads(1)
            .open()
            .with_context(|| format!("opening the BigQuery store in {}", dir.display()))?;
        let keyspace = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default);
        let (meta, schemas, rows) = (keyspace("meta")?, keyspace("schemas")?, keyspace("rows")?);
        let (streams, offsets, pending) = (keyspace("streams")?, keyspace("offsets")?, keyspace("pending")?);
        Ok(Self { meta, schemas, rows, streams, offsets, pending, database, users: Arc::default() })
    }

    /// A batch that is applied whole or not at all, and is with the operating system once committed.
    pub(super) fn batch(&self) -> WriteBatch {
        self.database.batch()
    }

    /// Dead once every clone of this is gone, and with them the lock on the files.
    pub(super) fn in_use(&self) -> Weak<()> {
        Arc::downgrade(&self.users)
    }

    /// Writes everything through to the disk itself.
    pub(super) fn sync(&self) -> anyhow::Result<()> {
        self.database.persist(PersistMode::SyncAll).context("closing the BigQuery store")
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

pub(super) const NEXT_TABLE: &str = "next";

pub(super) fn dataset_key(dataset: &str) -> String {
    format!("d/{dataset}")
}

pub(super) fn table_key(dataset: &str, table: &str) -> String {
    format!("t/{dataset}/{table}")
}

pub(super) fn schema_key(table: u64, version: u32) -> Vec<u8> {
    [table.to_be_bytes().as_slice(), &version.to_be_bytes()].concat()
}

pub(super) fn row_key(table: u64, sequence: u64) -> Vec<u8> {
    [table.to_be_bytes(), sequence.to_be_bytes()].concat()
}

pub(super) fn stream_key(table: u64, stream: &str) -> Vec<u8> {
    [table.to_be_bytes().as_slice(), stream.as_bytes()].concat()
}

pub(super) fn pending_key(table: u64, stream: &str, offset: i64) -> Vec<u8> {
    [table.to_be_bytes().as_slice(), stream.as_bytes(), &[0], &offset.to_be_bytes()].concat()
}

/// The last eight bytes of a key as a number.
pub(super) fn key_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.last_chunk().copied()?))
}
