//! The staging table of one table: rows come in by a PENDING stream, so that a part of them is never seen alone.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use catalog::TableName;
use event::{Message, Timestamp};
use storage_write::{AppendError, Client, Ingest, MAX_ROW_BYTES, StreamWriter, Tables};
use tokio::time::{Instant, sleep};

use crate::{
    ReplayError,
    checkpoint::STAGED_FOR,
    foreign::UNKNOWN_TIME,
    sieve::Item,
    target::{Target, Targets},
};

/// The bytes and the count of rows that make an append full.
const APPEND_BYTES: usize = 2 << 20;
const APPEND_ROWS: usize = 2000;
/// What an append's own fields and the rows' lengths take.
const ROW_OVERHEAD: usize = 8;
/// How long an append is tried again while its fate is unknown or a quota is used up.
const PATIENCE: Duration = Duration::from_secs(120);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// A staging table and the stream that is open on it.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) place: usize,
    pub(crate) name: TableName,
    /// What the rows say they were written by.
    run: String,
    targets: Arc<Targets>,
    client: Client,
    writer: Option<StreamWriter>,
    offset: i64,
    rows: Vec<Bytes>,
    bytes: usize,
    /// Rows that BigQuery refused: their events are dead letters.
    pub(crate) refused: u64,
}

impl Staging {
    /// Makes the staging table of the table at `place`, where it is not there.
    pub(crate) async fn open(
        tables: &Tables,
        client: &Client,
        (targets, place): (&Arc<Targets>, usize),
        run: &str,
    ) -> Result<Option<Self>, ReplayError> {
        let Some(target) = targets.at(place) else { return Ok(None) };
        let TableName { dataset, table } = target.table.name.clone();
        let name = TableName { dataset, table: format!("{table}__replay_{run}") };
        let expires = Timestamp::now().checked_add(STAGED_FOR).unwrap_or(Timestamp::MAX);
        tables.create_temporary_table(&name, &target.schema, expires).await?;
        Ok(Some(Self {
            place,
            name,
            run: format!("replay-{run}"),
            targets: Arc::clone(targets),
            client: client.clone(),
            writer: None,
            offset: 0,
            rows: Vec::new(),
            bytes: 0,
            refused: 0,
        }))
    }

    pub(crate) fn target(&self) -> Option<&Target> {
        self.targets.at(self.place)
    }

    /// Adds the row of an event, which lacks its `ingest`.
    pub(crate) async fn add(&mut self, item: &Item, row: Vec<u8>) -> Result<(), ReplayError> {
        let row = self.target().and_then(|target| whole(target, item, row, &self.run));
        let Some(row) = row.filter(|row| row.len() <= MAX_ROW_BYTES) else {
            self.refused += 1;
            return Ok(());
        };
        if self.bytes + row.len() + ROW_OVERHEAD > APPEND_BYTES || self.rows.len() >= APPEND_ROWS {
            self.flush().await?;
        }
        self.bytes += row.len() + ROW_OVERHEAD;
        self.rows.push(row);
        Ok(())
    }

    /// Makes what was added visible in the staging table, all at once; the answer is how many rows that were.
    pub(crate) async fn commit(&mut self) -> Result<u64, ReplayError> {
        self.flush().await?;
        let Some(writer) = self.writer.take() else { return Ok(0) };
        let stream = writer.stream().clone();
        writer.close().await;
        let rows = self.client.finalize(&stream).await?;
        if rows != self.offset {
            return Err(ReplayError::Staging {
                table: self.name.clone(),
                detail: format!("the stream {} has {rows} rows, and {} were appended", stream.id(), self.offset),
            });
        }
        self.client.commit(&self.name, &[stream]).await?;
        self.offset = 0;
        Ok(u64::try_from(rows).unwrap_or_default())
    }

    async fn flush(&mut self) -> Result<(), ReplayError> {
        let mut rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let begun = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        let mut is_unknown = false;
        while !rows.is_empty() {
            let offset = self.offset;
            let name = self.name.clone();
            let failed = match self.writer().await?.append(offset, rows.clone()).await {
                Ok(_) => break,
                // Only the same bytes were ever sent to this offset.
                Err(AppendError::AlreadyExists(_)) if is_unknown => break,
                Err(AppendError::RowErrors(errors)) => {
                    let at = |index| errors.iter().any(|error| error.index == index);
                    self.refused += errors.len() as u64;
                    rows = rows.into_iter().enumerate().filter(|(index, _)| !at(*index)).map(|(_, row)| row).collect();
                    continue;
                }
                Err(error @ AppendError::Ambiguous { .. }) => {
                    is_unknown = true;
                    error
                }
                Err(error @ AppendError::ResourceExhausted(_)) => error,
                Err(error) => return Err(ReplayError::Append { table: name, source: error }),
            };
            if begun.elapsed() > PATIENCE {
                return Err(ReplayError::Append { table: name, source: failed });
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
        self.offset += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        Ok(())
    }

    async fn writer(&mut self) -> Result<&mut StreamWriter, ReplayError> {
        if self.writer.is_none() {
            let stream = self.client.create_pending_stream(&self.name).await?;
            let target = self.targets.at(self.place);
            let descriptor = target.map(|target| target.encoder.shared_descriptor().clone());
            let lost = || ReplayError::Staging { table: self.name.clone(), detail: "its table is unknown".into() };
            self.writer = Some(self.client.stream_writer(stream, descriptor.ok_or_else(lost)?));
        }
        let lost = || ReplayError::Staging { table: self.name.clone(), detail: "it has no stream".into() };
        self.writer.as_mut().ok_or_else(lost)
    }
}

/// The row as the loader would have written it, but for the stream.
fn whole(target: &Target, item: &Item, mut row: Vec<u8>, run: &str) -> Option<Bytes> {
    let Item { message, id, .. } = item;
    let Message { message_id, publish_time, .. } = message;
    let now = Timestamp::now();
    let ingest = Ingest {
        event_id: id.as_ref()?.as_str(),
        message_id,
        source: message.source().unwrap_or_default(),
        received_at: message.received_at(),
        published_at: if *publish_time == UNKNOWN_TIME { now } else { *publish_time },
        loaded_at: now,
        delivery_attempt: None,
        write_stream: run,
        write_offset: None,
        // The ledger was not asked, and a row without it says nothing wrong.
        payload_hash: None,
    };
    target.encoder.encode_ingest(&ingest, &mut row);
    Some(row.into())
}
