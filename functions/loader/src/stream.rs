//! One stream: which table takes a message, under which id, and what is done with it.

use std::{sync::Arc, time::Duration};

use catalog::{Delivery, OnLedgerLoss, Probe, Stream};
use event::{EventId, Message, Outcome, Reason, Rejection, attribute};
use exactly_once::{Answer, Limits, PayloadHash};
use futures::future::{join, join_all};
use pubsub::push::PushDelivery;
use rows::{EventView, PayloadMask};
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
    version::{OpenTable, Version},
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
    /// The places of the raw tables among them.
    pub(crate) raw: Vec<usize>,
    /// What is masked wherever an event is kept as a whole.
    mask: Option<PayloadMask>,
    dead_letters: Arc<DeadLetters>,
    services: Arc<Services>,
    /// How long a delivery may wait.
    hold: Duration,
}

/// An event on its way to a table.
struct Routed<'a> {
    table: &'a Arc<Table>,
    declared: &'a catalog::Table,
    id: EventId,
}

/// An event's table, found, and what is promised of it.
struct Opened<'a> {
    table: &'a Arc<Table>,
    declared: &'a catalog::Table,
    open: Arc<OpenTable>,
    is_lost: bool,
}

/// What brought an event: its message, how often it was delivered, and the trace that its work belongs to.
struct Brought {
    message: Arc<Message>,
    delivery_attempt: Option<u32>,
    trace: TraceContext,
}

/// What became of an event in one table, or the error by which its delivery comes again.
type Ended = Result<Outcome, LoaderError>;

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
            raw: stream.tables.iter().enumerate().filter(|(_, table)| table.is_raw).map(|(at, _)| at).collect(),
            mask: PayloadMask::of(&stream, &services.mask_key),
            dead_letters: Arc::clone(dead_letters),
            services: Arc::clone(services),
            hold: limits.hold,
            stream,
        }
    }

    /// Loads one delivery: afterwards its event is a row or a dead letter of each of its tables, or an error says that it must
    /// come again. A table that has the event already writes nothing then. `raw` is the room of the raw tables. What is done
    /// stands below `trace`.
    pub(crate) async fn load(&self, delivery: PushDelivery, trace: TraceContext, room: Room, raw: Vec<Room>) -> Ended {
        self.services.quota.came();
        let brought = Brought::new(delivery, trace);
        let origin = self.origin(&brought, false);
        let data = origin.message.data.clone();
        let event = match self.probe.scan(&data) {
            Ok(event) => event,
            Err(rejection) => return self.reject(origin, rejection).await,
        };
        let route = event.route(&self.stream, &origin.message.attributes);
        let id = match self.stream.message_event_id(&origin.message, &event, route) {
            Ok(id) => id,
            Err(rejection) if route.is_some() || self.is_all_raw() => return self.reject(origin, rejection).await,
            // That no table takes it is the first thing that is wrong with it.
            Err(_) => return self.reject(origin, self.stream.no_route()).await,
        };
        let routed = route.and_then(|table| self.routed(table, &id));
        let rows = self.raw.len() + usize::from(routed.is_some());
        let raw_tables = self.raw.iter().filter_map(|at| self.tables.get(*at));
        let is_first = routed.iter().map(|routed| routed.table).chain(raw_tables).any(|table| !table.is_open());
        if self.services.quota.admit(&self.services, origin.message.size() * rows, is_first).is_err() {
            return Err(LoaderError::Exhausted);
        }
        let view = EventView { json: &data, probed: &event, is_masked: origin.is_masked() };
        let routed_to = async {
            match routed {
                Some(routed) => Some(self.load_routed(routed, origin, view, room).await),
                None if self.is_all_raw() => None,
                None => Some(self.reject(origin, self.stream.no_route()).await),
            }
        };
        if self.raw.is_empty() {
            return routed_to.await.unwrap_or(Err(LoaderError::Undecided));
        }
        let event_type = self.stream.message_event_type(&brought.message, Some(&event));
        let (ended, beside) = join(routed_to, self.load_raw(&brought, &id, event_type.as_deref(), raw)).await;
        together(ended, beside)
    }

    /// Gives up on an event whose deliveries are used up: it becomes a dead letter, unless it is a row or a dead letter already.
    /// It goes the way of an event that its table refuses, so whoever else has it in hand is waited for, or fenced.
    ///
    /// Where no claim can say whether it is a row (no table takes it, its table is no more, only the message's id named it, and
    /// Pub/Sub gave the message another), it becomes a dead letter all the same; a redrive of it finds its row, if there is one.
    pub(crate) async fn give_up(&self, delivery: PushDelivery, trace: TraceContext, room: Room) -> Ended {
        self.services.quota.came();
        let brought = Brought::new(delivery, trace);
        let origin = self.given_up(&brought, false);
        let data = origin.message.data.clone();
        let event = match self.probe.scan(&data) {
            Ok(event) => event,
            Err(fault) => return self.exhaust(origin, None, Some(&fault)).await,
        };
        let route = event.route(&self.stream, &origin.message.attributes);
        let id = match self.stream.message_event_id(&origin.message, &event, route) {
            Ok(id) => id,
            Err(fault) => return self.exhaust(origin, None, Some(&fault)).await,
        };
        let view = EventView { json: &data, probed: &event, is_masked: origin.is_masked() };
        let ended = match route.and_then(|table| self.routed(table, &id)) {
            Some(routed) => Some(self.give_up_as(routed, origin, Some(room), routed_content(view)).await),
            None if self.is_all_raw() => None,
            None => Some(self.exhaust(origin, None, Some(&self.stream.no_route())).await),
        };
        let beside = self.raw_tables(&id);
        let event_type = self.stream.message_event_type(&brought.message, Some(&event));
        let encode = || raw_content(event_type.as_deref());
        let beside = beside.map(|routed| self.give_up_as(routed, self.given_up(&brought, true), None, encode()));
        together(ended, join_all(beside).await)
    }

    async fn give_up_as(
        &self,
        Routed { table, declared, id }: Routed<'_>,
        mut origin: Origin,
        room: Option<Room>,
        encode: impl Fn(&OpenTable, &Origin) -> Content,
    ) -> Ended {
        if origin.event_id.is_none() && id.as_str() == origin.message.message_id {
            return self.exhaust(origin, Some(table), None).await;
        }
        let is_lost = self.is_lost(table, &declared.delivery).await?;
        origin.event_id = Some(id);
        let open = match table.open().await {
            Ok(open) => open,
            Err(fault) if fault.is_lasting() => return self.exhaust(origin, Some(table), None).await,
            Err(fault) => return Err(fault.into()),
        };
        let give_up = |open: &OpenTable, origin: &Origin| match encode(open, origin) {
            Content::Rejected(fault) => Content::Rejected(exhausted(origin.delivery_attempt, Some(&fault))),
            Content::Row { .. } | Content::DeadLetter { .. } => {
                Content::Rejected(exhausted(origin.delivery_attempt, None))
            }
        };
        let content = give_up(&open, &origin);
        self.offer(Opened { table, declared, open, is_lost }, Arc::new(origin), content, room, give_up).await
    }

    /// Writes the dead letter of an event that is given up without a claim.
    async fn exhaust(&self, origin: Origin, table: Option<&Arc<Table>>, fault: Option<&Rejection>) -> Ended {
        let rejection = exhausted(origin.delivery_attempt, fault);
        let table = table.map(|table| table.name.clone());
        let payload = PayloadHash::UNKNOWN;
        self.dead_letters.write(DeadLetter { origin: Arc::new(origin), table, rejection, payload }).await
    }

    fn origin(&self, brought: &Brought, is_raw: bool) -> Origin {
        Origin {
            stream: Arc::clone(&self.label),
            event_id: None,
            message: Arc::clone(&brought.message),
            delivery_attempt: brought.delivery_attempt,
            trace: brought.trace,
            redrive: brought.message.redrive(),
            mask: self.mask.clone(),
            is_raw,
        }
    }

    /// The same, under the id that its producer gave it.
    fn given_up(&self, brought: &Brought, is_raw: bool) -> Origin {
        let event_id = brought.message.declared_event_id().and_then(Result::ok);
        Origin { event_id, ..self.origin(brought, is_raw) }
    }

    /// Whether no rule of the stream routes: every table takes every event.
    fn is_all_raw(&self) -> bool {
        self.raw.len() == self.tables.len()
    }

    fn raw_tables(&self, id: &EventId) -> impl Iterator<Item = Routed<'_>> {
        self.raw.iter().filter_map(move |at| {
            let (table, declared) = (self.tables.get(*at)?, self.stream.tables.get(*at)?);
            Some(Routed { table, declared, id: id.clone() })
        })
    }

    /// The event on its way to a table of the stream.
    fn routed<'a>(&'a self, table: &'a catalog::Table, id: &EventId) -> Option<Routed<'a>> {
        let at = self.stream.tables.iter().position(|known| known.key == table.key)?;
        Some(Routed { table: self.tables.get(at)?, declared: table, id: id.clone() })
    }

    async fn reject(&self, mut origin: Origin, rejection: Rejection) -> Ended {
        origin.event_id = origin.message.declared_event_id().and_then(Result::ok);
        let payload = PayloadHash::UNKNOWN;
        self.dead_letters.write(DeadLetter { origin: Arc::new(origin), table: None, rejection, payload }).await
    }

    /// Loads the event into every raw table.
    async fn load_raw(
        &self,
        brought: &Brought,
        id: &EventId,
        event_type: Option<&str>,
        rooms: Vec<Room>,
    ) -> Vec<Ended> {
        let each = self.raw_tables(id).zip(rooms);
        let load = |(routed, room)| self.load_as(routed, self.origin(brought, true), room, raw_content(event_type));
        join_all(each.map(load)).await
    }

    /// Loads the event into the table that it is routed to.
    async fn load_routed(&self, routed: Routed<'_>, origin: Origin, event: EventView<'_>, room: Room) -> Ended {
        self.load_as(routed, origin, room, routed_content(event)).await
    }

    async fn load_as(
        &self,
        Routed { table, declared, id }: Routed<'_>,
        mut origin: Origin,
        room: Room,
        encode: impl Fn(&OpenTable, &Origin) -> Content,
    ) -> Ended {
        let is_lost = self.is_lost(table, &declared.delivery).await?;
        let mut open = match origin.message.attribute(attribute::REPLAY_RUN) {
            Some(run) => table.open_for(run).await?,
            None => table.open().await?,
        };
        origin.event_id = Some(id);
        let mut content = encode(&open, &origin);
        if origin.redrive.is_some() && matches!(content, Content::Rejected(_)) {
            // It was published again because somebody changed the table, perhaps: it is not refused by what was known of it.
            table.look_again(open.epoch).await;
            open = table.open().await?;
            content = encode(&open, &origin);
        }
        self.offer(Opened { table, declared, open, is_lost }, Arc::new(origin), content, Some(room), encode).await
    }

    /// Hands the event to its table as the stream promises, and waits for what becomes of it. What was a row of a table that
    /// was dropped since is made anew by `encode`, for the one that stands in its place.
    async fn offer(
        &self,
        mut opened: Opened<'_>,
        origin: Arc<Origin>,
        content: Content,
        room: Option<Room>,
        encode: impl Fn(&OpenTable, &Origin) -> Content,
    ) -> Ended {
        let mut answer = self.ask(&opened, &origin, content, room).await?;
        let is_known = matches!(answer, Answer::Duplicate | Answer::Conflict);
        if is_known && opened.table.is_gone(opened.open.epoch).await? {
            opened.open = opened.table.open().await?;
            let content = encode(&opened.open, &origin);
            answer = self.ask(&opened, &origin, content, None).await?;
        }
        if answer == Answer::Conflict {
            let rejection = Rejection::new(Reason::PayloadConflict, "the event_id was used before, with other content");
            let table = Some(opened.table.name.clone());
            let payload = PayloadHash::UNKNOWN;
            return self.dead_letters.write(DeadLetter { origin, table, rejection, payload }).await;
        }
        writer::outcome(answer)
    }

    /// What the event's table answers.
    async fn ask(
        &self,
        Opened { table, declared, open, is_lost }: &Opened<'_>,
        origin: &Arc<Origin>,
        content: Content,
        room: Option<Room>,
    ) -> Result<Answer, LoaderError> {
        let Some(id) = &origin.event_id else { return Err(LoaderError::Undecided) };
        let incoming = Incoming {
            key: open.key(id),
            payload: origin.payload(self.stream.is_content_id(declared).then_some(id)),
            content,
            origin: Arc::clone(origin),
            generation: None,
            room,
        };
        match &declared.delivery {
            Delivery::ExactlyOnce if *is_lost => {
                table.services.metrics.unclaimed.with_label_values(&[&self.stream.name]).inc();
                at_least_once::load(table, open, incoming, self.stream.dedupe_window).await
            }
            Delivery::ExactlyOnce => Ok(open.offer(incoming).await),
            Delivery::AtLeastOnce => at_least_once::load(table, open, incoming, self.stream.dedupe_window).await,
            Delivery::Upsert(upsert) => upsert::load(table, open, incoming, upsert, &self.probe).await,
        }
    }

    /// Waits until claims can be made. True where they cannot, and the stream says that its events do without: they may
    /// become two rows each, and each is counted.
    async fn is_lost(&self, table: &Table, promised: &Delivery) -> Result<bool, LoaderError> {
        if *promised != Delivery::ExactlyOnce {
            return Ok(false);
        }
        let Services { generations, ledger_health, .. } = &*table.services;
        let does_without = self.stream.on_ledger_loss == OnLedgerLoss::Append;
        let is_lost = || does_without && (ledger_health.is_lost() || generations.is_degraded(&table.name));
        if is_lost() {
            return Ok(true);
        }
        match generations.whole(&table.name, if does_without { PATIENCE } else { self.hold }).await {
            Err(_) if is_lost() => Ok(true),
            whole => whole.map(|_| false),
        }
    }

    pub(crate) async fn close(&self) {
        join_all(self.tables.iter().map(|table| table.close())).await;
    }
}

impl Brought {
    fn new(delivery: PushDelivery, trace: TraceContext) -> Self {
        let PushDelivery { message, delivery_attempt, .. } = delivery;
        // A replay is loaded as the message that it repeats.
        Self { message: Arc::new(message.first()), delivery_attempt, trace }
    }
}

fn routed_content(event: EventView<'_>) -> impl Fn(&OpenTable, &Origin) -> Content {
    move |open, _| {
        let version = open.version();
        content(version.encode_event(event), version)
    }
}

fn raw_content(event_type: Option<&str>) -> impl Fn(&OpenTable, &Origin) -> Content {
    move |open, origin| {
        let version = open.version();
        content(version.encode_raw(origin, event_type), version)
    }
}

fn content(encoded: Result<Vec<u8>, Rejection>, version: Arc<Version>) -> Content {
    match encoded {
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

/// The one outcome of a delivery whose event goes into more than one table: that of the table that it is routed to, unless
/// only the raw tables had not settled it before. Where one of them must see it again, it comes again.
fn together(routed: Option<Ended>, raw: Vec<Ended>) -> Ended {
    let mut outcome = routed.transpose()?;
    for ended in raw {
        let ended = ended?;
        if outcome.is_none_or(|outcome| outcome == Outcome::Duplicate) {
            outcome = Some(ended);
        }
    }
    outcome.ok_or(LoaderError::Undecided)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_has_one_outcome() {
        use Outcome::{DeadLettered, Duplicate, Written};
        for (routed, raw, expected) in [
            (Some(Written), Written, Written),
            (Some(DeadLettered), Written, DeadLettered),
            (Some(Duplicate), Written, Written),
            (Some(Written), Duplicate, Written),
            (Some(Duplicate), Duplicate, Duplicate),
            (Some(Written), DeadLettered, Written),
            (None, Written, Written),
        ] {
            let found = together(routed.map(Ok), vec![Ok(raw)]);
            assert_eq!(found.ok(), Some(expected), "{routed:?} {raw:?}");
        }
        let again = || Err(LoaderError::Undecided);
        assert!(together(Some(again()), vec![Ok(Written)]).is_err());
        assert!(together(Some(Ok(Written)), vec![again()]).is_err());
    }
}
