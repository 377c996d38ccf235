//! Finding everything again at start.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, mpsc},
};

use anyhow::Context;
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use catalog::{TableName, TableSchema};
use parking_lot::Mutex;

use super::{
    Dataset, Definition, Entry, Merge, Record, View, change,
    disk::{self, Disk},
    record,
    rows::Rows,
    stream::{Hidden, Stream, StreamRecord, StreamState},
    table::{Parts, Table},
};
use crate::bigquery::{arrow_schema::arrow_schema, columns};

/// The datasets on the disk, and the id of the next table.
pub(super) fn load(disk: &Disk, merges: &mpsc::Sender<Merge>) -> anyhow::Result<(BTreeMap<String, Dataset>, u64)> {
    let mut datasets = BTreeMap::new();
    for guard in disk.meta.prefix("d/") {
        let (key, value) = guard.into_inner()?;
        let name = std::str::from_utf8(&key[2..]).context("a dataset's name")?;
        let resource = serde_json::from_slice(&value).with_context(|| format!("dataset {name}"))?;
        datasets.insert(name.to_owned(), Dataset { resource, entries: BTreeMap::new() });
    }
    for guard in disk.meta.prefix("t/") {
        let (key, value) = guard.into_inner()?;
        let name = std::str::from_utf8(&key[2..]).context("a table's name")?;
        let (dataset, table) = name.split_once('/').with_context(|| format!("the key {name} names no table"))?;
        let name = TableName { dataset: dataset.to_owned(), table: table.to_owned() };
        let record: Record = serde_json::from_slice(&value).with_context(|| format!("table {name}"))?;
        let Some(dataset) = datasets.get_mut(dataset) else { continue };
        let entry = load_entry(disk, merges, name.clone(), record).with_context(|| format!("loading {name}"))?;
        dataset.entries.insert(name.table, entry);
    }
    let next = disk.meta.get(disk::NEXT_TABLE)?.and_then(|bytes| disk::key_number(&bytes)).unwrap_or(1);
    Ok((datasets, next))
}

fn load_entry(disk: &Disk, merges: &mpsc::Sender<Merge>, name: TableName, record: Record) -> anyhow::Result<Entry> {
    let Record { id, version, query, resource } = record;
    let Some(id) = id else {
        let query = query.context("a record with neither id nor query")?;
        return Ok(Entry::View(Arc::new(View { name, query, resource })));
    };
    let mut schemas = Schemas::load(disk, id)?;
    let schema = schemas.tables.remove(&version).context("the schema is missing")?;
    let definition = Definition::new(version, change::own(schema), resource.settings, resource.modified);
    let rows = load_rows(disk, id, &schemas, &definition.arrow)?;
    let streams = load_streams(disk, id, &schemas, &definition.arrow)?;
    let merge = rows.to_merge().is_some();
    let table = Arc::new(Table::new(Parts {
        id,
        name,
        created: resource.created,
        disk: disk.clone(),
        definition,
        rows,
        streams,
        merges: merges.clone(),
    }));
    if merge {
        // The thread that merges is there already.
        let _ = merges.send(Merge::Table(Arc::clone(&table)));
    }
    Ok(Entry::Table(table))
}

struct Schemas {
    tables: HashMap<u32, TableSchema>,
    arrow: HashMap<u32, SchemaRef>,
}

impl Schemas {
    fn load(disk: &Disk, table: u64) -> anyhow::Result<Self> {
        let (mut tables, mut arrow) = (HashMap::new(), HashMap::new());
        for guard in disk.schemas.prefix(table.to_be_bytes()) {
            let (key, value) = guard.into_inner()?;
            let version = key.last_chunk().map(|bytes| u32::from_be_bytes(*bytes)).context("a schema's version")?;
            let schema: TableSchema = serde_json::from_slice(&value)?;
            arrow.insert(version, arrow_schema(&schema));
            tables.insert(version, schema);
        }
        Ok(Self { tables, arrow })
    }

    fn decode(&self, bytes: &[u8], current: &SchemaRef) -> anyhow::Result<RecordBatch> {
        let version = record::version(bytes)?;
        let schema = self.arrow.get(&version).with_context(|| format!("schema {version} is missing"))?;
        Ok(columns::adapt(&record::decode(bytes, schema)?, current)?)
    }
}

fn load_rows(disk: &Disk, table: u64, schemas: &Schemas, current: &SchemaRef) -> anyhow::Result<Rows> {
    let mut rows = Rows::default();
    for guard in disk.rows.prefix(table.to_be_bytes()) {
        let (key, value) = guard.into_inner()?;
        let sequence = disk::key_number(&key).context("a row's key")?;
        rows.push(schemas.decode(&value, current)?, vec![sequence]);
        rows.next_record = sequence + 1;
    }
    Ok(rows)
}

fn load_streams(
    disk: &Disk,
    table: u64,
    schemas: &Schemas,
    current: &SchemaRef,
) -> anyhow::Result<HashMap<String, Arc<Stream>>> {
    let mut streams = HashMap::new();
    for guard in disk.streams.prefix(table.to_be_bytes()) {
        let (key, value) = guard.into_inner()?;
        let id = std::str::from_utf8(&key[8..]).context("a stream's id")?.to_owned();
        let stream: StreamRecord = serde_json::from_slice(&value)?;
        let end = disk.offsets.get(&key)?.and_then(|bytes| disk::key_number(&bytes)).unwrap_or(0);
        let mut hidden = Vec::new();
        for guard in disk.pending.prefix([&key[..], &[0]].concat()) {
            let (key, value) = guard.into_inner()?;
            let offset = disk::key_number(&key).context("a pending row's key")?.cast_signed();
            hidden.push(Hidden { offset, batch: schemas.decode(&value, current)? });
        }
        let StreamRecord { kind, created, flushed, finalized, committed } = stream;
        let state = StreamState { end: end.cast_signed(), flushed, finalized, committed, hidden };
        streams.insert(id.clone(), Arc::new(Stream { id, kind, created, state: Mutex::new(state) }));
    }
    Ok(streams)
}
