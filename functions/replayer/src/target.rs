//! The tables that a replay may fill, as BigQuery has them.

use catalog::{Delivery, Stream, Table, TableSchema, dead_letters_table};
use event::{Message, Rejection, Timestamp};
use rows::{EventView, MaskKey, PayloadMask, RawEvent};
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
    /// The places of the raw tables that were asked for.
    pub(crate) raw: Vec<usize>,
    /// When each raw table of the stream was made, asked for or not: whatever is published, each of them takes.
    pub(crate) raw_epochs: Vec<Option<Timestamp>>,
    /// What is masked in raw tables.
    mask: Option<PayloadMask>,
    /// When the table of dead letters was made; `None`: it is not there.
    pub(crate) dead_letters: Option<Timestamp>,
}

impl Targets {
    /// Looks at the tables that `request` asks for. Each must be there.
    pub(crate) async fn open(
        tables: &Tables,
        stream: &Stream,
        request: &Request,
        key: Option<&MaskKey>,
    ) -> Result<Self, ReplayError> {
        let is_named = |table: &Table, name: &String| *name == table.key || *name == table.name.to_string();
        let unknown = request.tables.iter().find(|name| !stream.tables.iter().any(|table| is_named(table, name)));
        if let Some(name) = unknown {
            let known = stream.tables.iter().map(|table| table.key.clone()).collect();
            return Err(ReplayError::UnknownTable { table: name.clone(), stream: stream.name.clone(), known });
        }
        if request.mode == Mode::Merge && !request.dry_run && key.is_none() && stream.payload_mask().hashes() {
            // Under no key the rows would not be those that the loader makes.
            return Err(ReplayError::NoMaskKey { stream: stream.name.clone() });
        }
        let none = MaskKey::none();
        let key = key.unwrap_or(&none);
        let mut found = Vec::with_capacity(stream.tables.len());
        let (mut raw, mut raw_epochs) = (Vec::new(), Vec::new());
        for (place, table) in stream.tables.iter().enumerate() {
            let is_asked_for = request.tables.is_empty() || request.tables.iter().any(|name| is_named(table, name));
            let target = match is_asked_for {
                true => Some(Target::open(tables, table, key, request.dry_run).await?),
                false => None,
            };
            match &target {
                Some(target) if table.is_raw => {
                    raw.push(place);
                    raw_epochs.push(target.epoch);
                }
                None if table.is_raw => raw_epochs.push(made(tables, table).await?),
                Some(_) | None => {}
            }
            found.push(target);
        }
        let dead_letters = made(tables, &dead_letters_table()).await?;
        Ok(Self { tables: found, raw, raw_epochs, mask: PayloadMask::of(stream, key), dead_letters })
    }

    /// The table at this place among the stream's, where it was asked for.
    pub(crate) fn at(&self, place: usize) -> Option<&Target> {
        self.tables.get(place)?.as_ref()
    }

    /// The row that the raw table at this place has of the event of a message, but for its `ingest`; `None`: it takes none.
    pub(crate) fn raw_row(&self, place: usize, message: &Message, event_type: Option<&str>) -> Option<Vec<u8>> {
        let mut row = Vec::with_capacity(message.data.len() + 256);
        let (json, published_at) = (&message.data, message.publish_time);
        let event = RawEvent { json, event_type, published_at, is_masked: PayloadMask::is_on(message) };
        self.at(place)?.encoder.encode_raw(&event, self.mask.as_ref(), &mut row).ok()?;
        Some(row)
    }

    /// The tables that were asked for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Target> {
        self.tables.iter().flatten()
    }
}

impl Target {
    async fn open(tables: &Tables, table: &Table, key: &MaskKey, may_lack: bool) -> Result<Self, ReplayError> {
        let (schema, epoch) = match tables.get(&table.name).await {
            Ok((schema, epoch)) => (schema, Some(time(epoch))),
            Err(error) if error.is_not_found() && may_lack => (table.real_schema(), None),
            Err(error) if error.is_not_found() => return Err(ReplayError::NoTable { table: table.name.clone() }),
            Err(error) => return Err(error.into()),
        };
        let encoder = RowEncoder::with_rules(&schema, table.unknown_fields, &table.rules, key)
            .map_err(|error| ReplayError::Unsupported { table: table.name.clone(), detail: error.to_string() })?;
        Ok(Self { table: table.clone(), epoch, schema, encoder })
    }

    /// The event's row but for its `ingest`, or why it is a dead letter: by the table's rules, as the loader makes it.
    pub(crate) fn row(&self, event: EventView<'_>) -> Result<Vec<u8>, Rejection> {
        let mut row = Vec::with_capacity(event.json.len() + 256);
        self.encoder.encode_event(event, &mut row).map(|()| row)
    }

    pub(crate) fn is_upsert(&self) -> bool {
        match self.table.delivery {
            Delivery::Upsert(_) => true,
            Delivery::ExactlyOnce | Delivery::AtLeastOnce => false,
        }
    }
}

/// When a table was made; `None`: it is not there.
async fn made(tables: &Tables, table: &Table) -> Result<Option<Timestamp>, ReplayError> {
    match tables.get(&table.name).await {
        Ok((_, epoch)) => Ok(Some(time(epoch))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn time(epoch: i64) -> Timestamp {
    Timestamp::from_millisecond(epoch).unwrap_or(Timestamp::MIN)
}
