//! Dead letters: events that cannot be loaded, each kept once, by the same protocol as rows.

use std::{sync::Arc, time::Duration};

use catalog::{TableName, dead_letters_table};
use event::{DeadLetterId, EventId, Outcome, Rejection};
use exactly_once::{Answer, Limits, PayloadHash};
use service::chain;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    error::LoaderError,
    loader::Services,
    row::{Content, Incoming, Origin},
    table::{Purpose, Table},
    version::OpenTable,
    writer,
};

/// An event that cannot be loaded, and why.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) origin: Arc<Origin>,
    /// The table that will not take it, where one was found.
    pub(crate) table: Option<TableName>,
    pub(crate) rejection: Rejection,
    /// What the ledger is told that the event says.
    pub(crate) payload: PayloadHash,
}

/// The writer of `pipas_ops.dead_letters`.
pub(crate) struct DeadLetters {
    table: Arc<Table>,
    services: Arc<Services>,
    hold: Duration,
    /// Its own: dead letters come until the last event's writer has stopped.
    stop: CancellationToken,
}

impl DeadLetters {
    pub(crate) fn new(services: &Arc<Services>, limits: &Limits) -> Self {
        let stop = CancellationToken::new();
        let hold = limits.hold;
        let limits = Limits { reject_rows: false, ..limits.clone() };
        let table = Table::new(&dead_letters_table(), Purpose::DeadLetters, limits, services, stop.clone());
        Self { table: Arc::new(table), services: Arc::clone(services), hold, stop }
    }

    /// Writes the dead letter, once however often it is asked for.
    pub(crate) async fn write(&self, letter: DeadLetter) -> Result<Outcome, LoaderError> {
        self.write_in(letter, None).await
    }

    /// The same, but only in this generation: by the next one the event may be a row.
    pub(crate) async fn write_in(&self, letter: DeadLetter, generation: Option<u64>) -> Result<Outcome, LoaderError> {
        let origin = Arc::clone(&letter.origin);
        tracing::info!(
            stream = &*origin.stream,
            event.id = origin.event_id.as_ref().map_or("", EventId::as_str),
            message.id = origin.message.message_id,
            reason = letter.rejection.reason.code(),
            detail = letter.rejection.detail,
            "dead letter"
        );
        match self.try_write(letter, generation).await {
            Ok(Outcome::Written | Outcome::DeadLettered) => Ok(Outcome::DeadLettered),
            Ok(Outcome::Duplicate) => Ok(Outcome::Duplicate),
            Ok(Outcome::Retried) => Err(LoaderError::DeadLetter),
            Err(error) => {
                tracing::error!(stream = &*origin.stream, error = %chain(&error), "a dead letter could not be written");
                Err(LoaderError::DeadLetter)
            }
        }
    }

    async fn try_write(&self, letter: DeadLetter, generation: Option<u64>) -> Result<Outcome, LoaderError> {
        self.services.generations.whole(&self.table.name, self.hold).await?;
        let id = letter.id().to_string();
        let event_id = EventId::new(&id).map_err(|_| LoaderError::DeadLetter)?;
        let letter = Arc::new(letter);
        let incoming = |open: &OpenTable| Incoming {
            key: open.key(&event_id),
            // The id stands for the content.
            payload: PayloadHash::UNKNOWN,
            content: Content::DeadLetter { letter: Arc::clone(&letter), id: id.clone(), version: open.version() },
            origin: Arc::clone(&letter.origin),
            generation,
            room: None,
        };
        let open = self.table.open().await?;
        let mut answer = open.offer(incoming(&open)).await;
        if answer == Answer::Duplicate && self.table.is_gone(open.epoch).await? {
            let open = self.table.open().await?;
            answer = open.offer(incoming(&open)).await;
        }
        writer::outcome(answer)
    }

    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.table.close().await;
    }
}

impl DeadLetter {
    /// The same for every delivery of the same event with the same content; without an event id, of the same message. Of an
    /// event that was redriven it is the next of its chain.
    ///
    /// What a raw table cannot take has a dead letter of its own, beside that of the table that it was routed to; redriven,
    /// it begins a chain of its own. What is masked is no part of it: whoever sees the id could try values until one fits.
    fn id(&self) -> DeadLetterId {
        let Origin { stream, event_id, message, redrive, is_raw, mask, .. } = &*self.origin;
        let raw = self.table.as_ref().filter(|_| *is_raw).map(|table| format!("raw {table}"));
        let hash = |parts: [&[u8]; 4]| {
            let hash = parts.iter().fold(Sha256::new_with_prefix(b"pipas/dead-letter/1"), |hash, part| {
                hash.chain_update([0]).chain_update(part)
            });
            let hash = hash.finalize();
            std::array::from_fn(|at| hash[at])
        };
        if let Some(redrive) = redrive {
            let next = &redrive.next;
            return raw.map_or_else(
                || next.clone(),
                |raw| {
                    let of = next.first_of_its_event().as_bytes();
                    DeadLetterId::after(hash([stream.as_bytes(), raw.as_bytes(), of, b"redriven"]), next.redrives())
                },
            );
        }
        let (kind, id) = match event_id {
            Some(id) => (raw.as_deref().unwrap_or("event"), id.as_str()),
            None => ("message", message.message_id.as_str()),
        };
        let payload = match mask {
            Some(mask) => PayloadHash::of(&mask.payload(&message.data, self.origin.is_masked())),
            None => PayloadHash::of(&message.data),
        };
        let payload = payload.bits().to_be_bytes();
        DeadLetterId::first(hash([stream.as_bytes(), kind.as_bytes(), id.as_bytes(), &payload]))
    }
}
