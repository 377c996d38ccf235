//! One stream: which table takes a message, under which id, and what is done with it.

use std::{sync::Arc, time::Duration};

use catalog::{Delivery, OnLedgerLoss, Probe, Stream};
use event::{EventId, Outcome, Reason, Rejection};
use exactly_once::{Answer, Limits};
use futures::future::join_all;
use pubsub::push::PushDelivery;
use service::TraceContext;
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

/// An event's table, found, and what is promised of it.
struct Opened<'a> {
    table: &'a Arc<Table>,
    open: Arc<OpenTable>,
    promised: &'a Delivery,
    is_lost: bool,
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
    /// What is done for it stands below `trace`.
    pub(crate) async fn load(
        &self,
        delivery: PushDelivery,
        trace: TraceContext,
        room: Room,
    ) -> Result<Outcome, LoaderError> {
        let PushDelivery { message, delivery_attempt, .. } = delivery;
        // A replay is loaded as the message that it repeats.
        let message = message.first();
        let mut origin = Origin::new(&self.label, message, delivery_attempt, trace);
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
        let mut open = table.open().await?;
        origin.event_id = Some(id);
        let mut content = encode(&open, &origin);
        if origin.redrive.is_some() && matches!(content, Content::Rejected(_)) {
            // It was published again because somebody changed the table, perhaps: it is not refused by what was known of it.
            table.look_again(open.epoch).await;
            open = table.open().await?;
            content = encode(&open, &origin);
        }
        self.offer(Opened { table, open, promised, is_lost }, Arc::new(origin), content, room).await
    }

    /// Gives up on an event whose deliveries are used up: it becomes a dead letter, unless it is a row or a dead letter already.
    /// It goes the way of an event that its table refuses, so whoever else has it in hand is waited for, or fenced.
    ///
    /// Where no claim can say whether it is a row (no table takes it, its table is no more, only the message's id named it, and
    /// Pub/Sub gave the message another), it becomes a dead letter all the same; a redrive of it finds its row, if there is one.
    pub(crate) async fn give_up(
        &self,
        delivery: PushDelivery,
        trace: TraceContext,
        room: Room,
    ) -> Result<Outcome, LoaderError> {
        let PushDelivery { message, delivery_attempt: deliveries, .. } = delivery;
        let mut origin = Origin::new(&self.label, message, deliveries, trace);
        origin.event_id = origin.message.declared_event_id().and_then(Result::ok);
        let unclaimed = |origin: Origin, table: Option<&Arc<Table>>, fault: Option<&Rejection>| DeadLetter {
            origin: Arc::new(origin),
            table: table.map(|table| table.name.clone()),
            rejection: exhausted(deliveries, fault),
        };
        let Routed { table, delivery: promised, id } = match self.route(&origin) {
            Ok(routed) => routed,
            Err(rejection) => return self.dead_letters.write(unclaimed(origin, None, Some(&rejection))).await,
        };
        if origin.event_id.is_none() && id.as_str() == origin.message.message_id {
            return self.dead_letters.write(unclaimed(origin, Some(table), None)).await;
        }
        let is_lost = self.is_lost(&table.services, promised).await?;
        origin.event_id = Some(id);
        let open = match table.open().await {
            Ok(open) => open,
            Err(fault) if fault.is_lasting() => {
                return self.dead_letters.write(unclaimed(origin, Some(table), None)).await;
            }
            Err(fault) => return Err(fault.into()),
        };
        let content = match encode(&open, &origin) {
            Content::Rejected(fault) => Content::Rejected(exhausted(deliveries, Some(&fault))),
            Content::Row { .. } | Content::DeadLetter { .. } => Content::Rejected(exhausted(deliveries, None)),
        };
        self.offer(Opened { table, open, promised, is_lost }, Arc::new(origin), content, room).await
    }

    /// Hands the event to its table as the stream promises, and waits for what becomes of it.
    async fn offer(
        &self,
        Opened { table, open, promised, is_lost }: Opened<'_>,
        origin: Arc<Origin>,
        content: Content,
        room: Room,
    ) -> Result<Outcome, LoaderError> {
        let Some(id) = &origin.event_id else { return Err(LoaderError::Undecided) };
        let incoming = Incoming {
            key: open.key(id),
            payload: origin.payload(),
            content,
            origin: Arc::clone(&origin),
            generation: None,
            room: Some(room),
        };
        let answer = match promised {
            Delivery::ExactlyOnce if is_lost => {
                table.services.metrics.unclaimed.with_label_values(&[&self.stream.name]).inc();
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

/// Why an event was given up; `fault` is what its table would have said.
fn exhausted(deliveries: Option<u32>, fault: Option<&Rejection>) -> Rejection {
    let failed = match deliveries {
        Some(deliveries) => format!("{deliveries} deliveries of its message failed"),
        None => "the deliveries of its message failed".to_owned(),
    };
    match fault {
        None => Rejection::new(Reason::ExhaustedRetries, failed),
        Some(Rejection { reason, pointer, detail }) => Rejection {
            reason: Reason::ExhaustedRetries,
            pointer: pointer.clone(),
            detail: format!("{failed}; it would have been refused, as {reason}: {detail}"),
        },
    }
}
