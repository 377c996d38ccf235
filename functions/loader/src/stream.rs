//! One stream: which table takes a message, under which id, and what is done with it.

use std::{sync::Arc, time::Duration};

use catalog::{Delivery, OnLedgerLoss, Probe, Stream};
use event::{EventId, Message, Outcome, Reason, Rejection};
use exactly_once::{Answer, Limits, PayloadHash};
use futures::future::{join, join_all};
use pubsub::push::PushDelivery;
use rows::{EventView, PayloadMask};
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
    /// How long a delivery may wait.
    hold: Duration,
}

/// An event on its way to a table.
struct Routed<'a> {
    table: &'a Arc<Table>,
    delivery: &'a Delivery,
    id: EventId,
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
            hold: limits.hold,
            stream,
        }
    }

    /// Loads one delivery: afterwards its event is a row or a dead letter of each of its tables, or an error says that it must
    /// come again. A table that has the event already writes nothing then. `raw` is the room of the raw tables.
    pub(crate) async fn load(&self, delivery: PushDelivery, room: Room, raw: Vec<Room>) -> Ended {
        let PushDelivery { message, delivery_attempt, .. } = delivery;
        let origin = self.origin((Arc::new(message), delivery_attempt), false);
        let data = origin.message.data.clone();
        let event = match self.probe.scan(&data) {
            Ok(event) => event,
            Err(rejection) => return self.reject(origin, rejection).await,
        };
        let route = event.route(&self.stream, &origin.message.attributes);
        let id = match self.stream.message_event_id(&origin.message, &event, route) {
            Ok(id) => id,
            Err(rejection) if route.is_some() || self.raw.len() == self.tables.len() => {
                return self.reject(origin, rejection).await;
            }
            // That no table takes it is the first thing that is wrong with it.
            Err(_) => return self.reject(origin, self.stream.no_route()).await,
        };
        let routed = route.and_then(|table| self.loaded(table)).map(|(table, delivery)| Routed {
            table,
            delivery,
            id: id.clone(),
        });
        let rows = self.raw.len() + usize::from(routed.is_some());
        if let Some(table) = self.tables.first()
            && table.services.quota.bytes(&table.services, origin.message.size() * rows).is_err()
        {
            return Err(LoaderError::Exhausted);
        }
        let beside = self.load_raw(&origin, &id, raw);
        let view = EventView { json: &data, probed: &event, is_masked: origin.is_masked() };
        let (message, delivery_attempt) = (Arc::clone(&origin.message), origin.delivery_attempt);
        let routed_to = async {
            let origin = self.origin((message, delivery_attempt), false);
            match routed {
                Some(routed) => Some(self.load_routed(routed, origin, view, room).await),
                None if self.raw.len() == self.tables.len() => None,
                None => Some(self.reject(origin, self.stream.no_route()).await),
            }
        };
        if self.raw.is_empty() {
            return routed_to.await.unwrap_or(Err(LoaderError::Undecided));
        }
        let (ended, beside) = join(routed_to, beside).await;
        together(ended, beside)
    }

    fn origin(&self, (message, delivery_attempt): (Arc<Message>, Option<u32>), is_raw: bool) -> Origin {
        Origin {
            stream: Arc::clone(&self.label),
            event_id: None,
            message,
            delivery_attempt,
            mask: self.mask.clone(),
            is_raw,
        }
    }

    /// The writer of a table of the stream.
    fn loaded<'a>(&'a self, table: &'a catalog::Table) -> Option<(&'a Arc<Table>, &'a Delivery)> {
        let at = self.stream.tables.iter().position(|known| known.key == table.key)?;
        Some((self.tables.get(at)?, &table.delivery))
    }

    async fn reject(&self, mut origin: Origin, rejection: Rejection) -> Ended {
        origin.event_id = origin.message.declared_event_id().and_then(Result::ok);
        self.dead_letters.write(DeadLetter { origin: Arc::new(origin), table: None, rejection }).await
    }

    /// Loads the event into every raw table.
    async fn load_raw(&self, origin: &Origin, id: &EventId, rooms: Vec<Room>) -> Vec<Ended> {
        let each = self.raw.iter().zip(rooms).map(async |(at, room)| {
            let (Some(table), Some(declared)) = (self.tables.get(*at), self.stream.tables.get(*at)) else {
                return Err(LoaderError::Undecided);
            };
            let origin = self.origin((Arc::clone(&origin.message), origin.delivery_attempt), true);
            let routed = Routed { table, delivery: &declared.delivery, id: id.clone() };
            self.load_as(routed, origin, room, |open, origin| {
                let version = open.version();
                content(version.encode_raw(origin), version)
            })
            .await
        });
        join_all(each).await
    }

    /// Loads the event into the table that it is routed to.
    async fn load_routed(&self, routed: Routed<'_>, origin: Origin, event: EventView<'_>, room: Room) -> Ended {
        self.load_as(routed, origin, room, |open, _| {
            let version = open.version();
            content(version.encode_event(event), version)
        })
        .await
    }

    async fn load_as(
        &self,
        routed: Routed<'_>,
        mut origin: Origin,
        room: Room,
        encode: impl FnOnce(&OpenTable, &Origin) -> Content,
    ) -> Ended {
        let Routed { table, delivery: promised, id } = routed;
        let services = &table.services;
        let is_lost = self.is_lost(services, promised).await?;
        let open = table.open().await?;
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

fn content(encoded: Result<Vec<u8>, Rejection>, version: Arc<Version>) -> Content {
    match encoded {
        Ok(body) => Content::Row { body, version },
        Err(rejection) => Content::Rejected(rejection),
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
