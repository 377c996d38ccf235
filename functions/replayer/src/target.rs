//! The tables that a replay may fill, as BigQuery has them.

use catalog::{Delivery, Stream, Table, TableSchema, dead_letters_table};
use event::{Rejection, Timestamp};
use storage_write::{RowEncoder, Tables};

use crate::{Mode, ReplayError, Request};

/// A table.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) table: Table,
    /// When the table was made; no row of it is older. `None`: it is not there, which only a dry run allows.
    pub(crate) epoch: Option<Timestamp>,
    pub(crate) schema: TableSchema,
    pub(crate) encoder: RowEncoder,
}

/// The stream's tables, in the order of their rules.
#[derive(Debug)]
pub(crate) struct Targets {
    /// `None`: the table was not asked for.
    pub(crate) tables: Vec<Option<Target>>,
    /// When the table of dead letters was made; `None`: it is not there.
    pub(crate) dead_letters: Option<Timestamp>,
}

impl Targets {
    /// Looks at the tables that `request` asks for. Each must be there.
    pub(crate) async fn open(tables: &Tables, stream: &Stream, request: &Request) -> Result<Self, ReplayError> {
        let is_named = |table: &Table, name: &String| *name == table.key || *name == table.name.to_string();
        let unknown = request.tables.iter().find(|name| !stream.tables.iter().any(|table| is_named(table, name)));
        if let Some(name) = unknown {
            let known = stream.tables.iter().map(|table| table.key.clone()).collect();
            return Err(ReplayError::UnknownTable { table: name.clone(), stream: stream.name.clone(), known });
        }
        let mut found = Vec::with_capacity(stream.tables.len());
        for table in &stream.tables {
            let is_asked_for = request.tables.is_empty() || request.tables.iter().any(|name| is_named(table, name));
            if is_asked_for && request.mode == Mode::Merge && !table.rules.is_empty() {
                // Rows that are made by the schema alone would not be those that the loader makes, and would show what is masked.
                let detail = "--mode merge does not know its checks, derived columns and masks".to_owned();
                return Err(ReplayError::Unsupported { table: table.name.clone(), detail });
            }
            found.push(if is_asked_for { Some(Target::open(tables, table, request.dry_run).await?) } else { None });
        }
        let dead_letters = match tables.get(&dead_letters_table().name).await {
            Ok((_, epoch)) => Some(time(epoch)),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { tables: found, dead_letters })
    }

    /// The table at this place among the stream's, where it was asked for.
    pub(crate) fn at(&self, place: usize) -> Option<&Target> {
        self.tables.get(place)?.as_ref()
    }

    /// The tables that were asked for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Target> {
        self.tables.iter().flatten()
    }
}

impl Target {
    async fn open(tables: &Tables, table: &Table, may_lack: bool) -> Result<Self, ReplayError> {
        let (schema, epoch) = match tables.get(&table.name).await {
            Ok((schema, epoch)) => (schema, Some(time(epoch))),
            Err(error) if error.is_not_found() && may_lack => (table.schema.with_pipas_columns(), None),
            Err(error) if error.is_not_found() => return Err(ReplayError::NoTable { table: table.name.clone() }),
            Err(error) => return Err(error.into()),
        };
        let encoder = RowEncoder::new(&schema, table.unknown_fields)
            .map_err(|error| ReplayError::Unsupported { table: table.name.clone(), detail: error.to_string() })?;
        Ok(Self { table: table.clone(), epoch, schema, encoder })
    }

    /// The event's row but for its `ingest`, or why it is a dead letter.
    pub(crate) fn row(&self, json: &[u8]) -> Result<Vec<u8>, Rejection> {
        let mut row = Vec::with_capacity(json.len() + 256);
        self.encoder.encode(json, &mut row).map(|()| row)
    }

    pub(crate) fn is_upsert(&self) -> bool {
        match self.table.delivery {
            Delivery::Upsert(_) => true,
            Delivery::ExactlyOnce | Delivery::AtLeastOnce => false,
        }
    }
}

fn time(epoch: i64) -> Timestamp {
    Timestamp::from_millisecond(epoch).unwrap_or(Timestamp::MIN)
}
