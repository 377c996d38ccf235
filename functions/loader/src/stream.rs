//! One stream: which table takes a message, under which id, and what is done with it.

use std::{sync::Arc, time::Duration};

use catalog::{Delivery, OnLedgerLoss, Probe, Stream};
use event::{EventId, Outcome, Reason, Rejection, attribute};
use exactly_once::{Answer, Limits, PayloadHash};
use futures::future::join_all;
use pubsub::push::PushDelivery;
use tokio_util::sync::CancellationToken;

use crate::{
    at_least_once,
    dead_letters::{DeadLetter, DeadLetters},
    error::LoaderError,
    loader::{Room, Services},
    row::{Content, Incoming, Origin},
    table::{Purpose, Table},
    upsert,
    version::OpenTable,
    writer,
};

/// How long events that do without the ledger wait for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// A stream and the writers of its tables.
pub(crate) struct StreamLoader {
    pub(crate) stream: Stream,
    /// The name, shared by everything that counts.
    pub(crate) label: Arc<str>,
    probe: Probe,
    /// In the order of the stream's rules.
    tables: Vec<Arc<Table>>,
    dead_letters: Arc<DeadLetters>,
    /// How long a delivery may wait.
    hold: Duration,
}

/// An event on its way to a table.
struct Routed<'a> {
    table: &'a Arc<Table>,
    delivery: &'a Delivery,
    id: EventId,
}

impl StreamLoader {
    pub(crate) fn new(
        stream: Stream,
        limits: &Limits,
        services: &Arc<Services>,
        dead_letters: &Arc<DeadLetters>,
        stop: &CancellationToken,
    ) -> Self {
        let limits = Limits { window: stream.dedupe_window, ..limits.clone() };
        let tables = stream.tables.iter().map(|table| {
            let purpose = Purpose::Events { dead_letters: Arc::clone(dead_letters) };
            Arc::new(Table::new(table, purpose, limits.clone(), services, stop.clone()))
        });
        Self {
            label: stream.name.as_str().into(),
            probe: Probe::new(&stream),
            tables: tables.collect(),
            dead_letters: Arc::clone(dead_letters),
            hold: limits.hold,
            stream,
        }
    }

    /// Loads one delivery: afterwards its event is a row or a dead letter, or an error says that it must come again.
    pub(crate) async fn load(&self, delivery: PushDelivery, room: Room) -> Result<Outcome, LoaderError> {
        let PushDelivery { message, delivery_attempt, .. } = delivery;
        // A replay is loaded as the message that it repeats.
        let message = message.first();
        let mut origin = Origin { stream: Arc::clone(&self.label), event_id: None, message, delivery_attempt };
        let Routed { table, delivery: promised, id } = match self.route(&origin) {
            Ok(routed) => routed,
            Err(rejection) => {
                origin.event_id = origin.message.declared_event_id().and_then(Result::ok);
                return self.dead_letters.write(DeadLetter { origin: Arc::new(origin), table: None, rejection }).await;
            }
        };
        let services = &table.services;
        if services.quota.bytes(services, origin.message.size()).is_err() {
            return Err(LoaderError::Exhausted);
        }
        let is_lost = self.is_lost(services, promised).await?;
        let open = match origin.message.attribute(attribute::REPLAY_RUN) {
            Some(run) => table.open_for(run).await?,
            None => table.open().await?,
        };
        origin.event_id = Some(id.clone());
        let origin = Arc::new(origin);
        let incoming = Incoming {
            key: open.key(&id),
            payload: PayloadHash::of(&origin.message.data),
            content: encode(&open, &origin),
            origin: Arc::clone(&origin),
            generation: None,
            room: Some(room),
        };
        let answer = match promised {
            Delivery::ExactlyOnce if is_lost => {
                services.metrics.unclaimed.with_label_values(&[&self.stream.name]).inc();
                at_least_once::load(table, &open, incoming, self.stream.dedupe_window).await?
            }
            Delivery::ExactlyOnce => open.offer(incoming).await,
            Delivery::AtLeastOnce => at_least_once::load(table, &open, incoming, self.stream.dedupe_window).await?,
            Delivery::Upsert(upsert) => upsert::load(table, &open, incoming, upsert, &self.probe).await?,
        };
        if answer == Answer::Conflict {
            let rejection = Rejection::new(Reason::PayloadConflict, "the event_id was used before, with other content");
            return self.dead_letters.write(DeadLetter { origin, table: Some(table.name.clone()), rejection }).await;
        }
        writer::outcome(answer)
    }

    fn route(&self, origin: &Origin) -> Result<Routed<'_>, Rejection> {
        let message = &origin.message;
        let event = self.probe.scan(&message.data)?;
        let table = event.route(&self.stream, &message.attributes).ok_or_else(|| {
            Rejection::new(Reason::NoRoute, format!("no table of the stream {} takes the event", self.stream.name))
        })?;
        let id = self.stream.message_event_id(message, &event, Some(table))?;
        let at = self.stream.tables.iter().position(|known| known.key == table.key);
        match at.and_then(|at| self.tables.get(at)) {
            Some(loaded) => Ok(Routed { table: loaded, delivery: &table.delivery, id }),
            None => Err(Rejection::new(Reason::NoRoute, format!("the table {} is not loaded here", table.key))),
        }
    }

    /// Waits until claims can be made. True where they cannot, and the stream says that its events do without: they may
    /// become two rows each, and each is counted.
    async fn is_lost(&self, services: &Services, promised: &Delivery) -> Result<bool, LoaderError> {
        if *promised != Delivery::ExactlyOnce {
            return Ok(false);
        }
        let does_without = self.stream.on_ledger_loss == OnLedgerLoss::Append;
        if does_without && services.ledger_health.is_lost() {
            return Ok(true);
        }
        match services.generations.whole(if does_without { PATIENCE } else { self.hold }).await {
            Err(_) if does_without && services.ledger_health.is_lost() => Ok(true),
            whole => whole.map(|_| false),
        }
    }

    pub(crate) async fn close(&self) {
        join_all(self.tables.iter().map(|table| table.close())).await;
    }
}

fn encode(open: &OpenTable, origin: &Origin) -> Content {
    let version = open.version();
    match version.encode(&origin.message.data) {
        Ok(body) => Content::Row { body, version },
        Err(rejection) => Content::Rejected(rejection),
    }
}
