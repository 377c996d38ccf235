//! What of the archive is replayed, message by message.

use std::{collections::BTreeMap, sync::Arc};

use catalog::Probed;
use event::{EventId, Message, Timestamp};
use parking_lot::Mutex;
use rows::{EventView, PayloadMask};

use crate::{Mode, Progress, Request, age::Age, identity::Identity, overlap::Overlap, target::Targets};

/// Decides for each message of a run.
#[derive(Debug)]
pub(crate) struct Sieve {
    pub(crate) request: Request,
    pub(crate) identity: Identity,
    pub(crate) targets: Arc<Targets>,
    pub(crate) age: Age,
    pub(crate) progress: Arc<Progress>,
    /// Messages that are taken, by the key of their table; `None`: of no table.
    by_table: Mutex<BTreeMap<Option<usize>, u64>>,
    /// Whether the tables of all messages are asked for.
    is_sorted: bool,
}

/// A message that is replayed.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) message: Message,
    /// The place of its table; `None`: no table takes it, or nobody asked.
    pub(crate) table: Option<usize>,
    pub(crate) id: Option<EventId>,
    /// The id that a message that is published again must carry, as it would have another.
    pub(crate) lent_id: Option<EventId>,
    /// Where it is merged, and as which rows but for their `ingest`.
    pub(crate) rows: Vec<(usize, Vec<u8>)>,
}

impl Sieve {
    pub(crate) fn new(
        request: &Request,
        identity: Identity,
        targets: Arc<Targets>,
        age: Age,
        progress: Arc<Progress>,
    ) -> Self {
        let is_filtered = !request.event_ids.is_empty() || !request.tables.is_empty();
        let is_sorted = is_filtered || request.dry_run || request.mode == Mode::Merge;
        let request = request.clone();
        Self { request, identity, targets, age, progress, by_table: Mutex::default(), is_sorted }
    }

    /// Whether the message is replayed; it is counted in any case.
    pub(crate) fn take(&self, message: Message, overlap: &Overlap, now: Timestamp) -> Option<Item> {
        let progress = &self.progress;
        if !self.request.holds(message.publish_time) {
            progress.add(|counts| &counts.outside, 1);
            return None;
        }
        if !overlap.is_first(&message) {
            progress.add(|counts| &counts.repeated, 1);
            return None;
        }
        let is_simple = !self.is_sorted && self.age.is_all_remembered(&self.targets, now);
        if is_simple && message.declared_event_id().is_some() {
            return Some(self.taken(Item { message, table: None, id: None, lent_id: None, rows: Vec::new() }));
        }
        let data = message.data.clone();
        let event = self.identity.event(&data);
        let found = self.identity.of(&message, event.as_ref());
        let is_of_tables = found.table.is_some_and(|table| self.targets.at(table).is_some())
            || (event.is_some() && !self.targets.raw.is_empty());
        let is_asked_for = (self.request.event_ids.is_empty()
            || found.id.as_ref().is_some_and(|id| self.request.event_ids.contains(id.as_str())))
            && (self.request.tables.is_empty() || is_of_tables);
        if !is_asked_for {
            progress.add(|counts| &counts.outside, 1);
            return None;
        }
        let lent_id = found.id.clone().filter(|_| found.is_of_message);
        let mut item = Item { message, table: found.table, id: found.id, lent_id, rows: Vec::new() };
        let refused = match self.request.mode {
            Mode::Merge => self.refuse_merge(&mut item, event.as_ref(), now),
            Mode::Publish => self.refuse_publish(&item, event.as_ref(), now),
        };
        match refused {
            None => Some(self.taken(item)),
            Some(counter) => {
                progress.add(counter, 1);
                None
            }
        }
    }

    /// Makes the rows of an event that is merged; or the counter of those that are left alone, where it is one.
    fn refuse_merge(&self, item: &mut Item, event: Option<&Probed<'_>>, now: Timestamp) -> Option<Counter> {
        let routed = item.table.and_then(|place| Some((place, self.targets.at(place)?)));
        // An event without a usable id is a dead letter.
        if let (Some(_), Some(probed)) = (&item.id, event) {
            let view = EventView { json: &item.message.data, probed, is_masked: PayloadMask::is_on(&item.message) };
            let row = routed.and_then(|(place, target)| Some((place, target.row(view).ok()?)));
            let event_type = self.identity.event_type(&item.message, probed);
            let raw = self.targets.raw.iter().filter_map(|place| {
                let row = self.targets.raw_row(*place, &item.message, event_type.as_deref())?;
                Some((*place, row))
            });
            item.rows = row.into_iter().chain(raw).collect();
        }
        let published = item.message.publish_time;
        let is_upsert = routed.is_some_and(|(place, target)| {
            target.is_upsert() && item.rows.iter().any(|(with_row, _)| *with_row == place)
        });
        match () {
            () if item.rows.is_empty() => Some(|counts| &counts.dead_letters),
            () if is_upsert => Some(|counts| &counts.held_back),
            () if !self.request.any_age && !self.age.is_old(published, now) => Some(|counts| &counts.held_back),
            () => None,
        }
    }

    /// The counter of those that are not published again, where the message is one.
    fn refuse_publish(&self, item: &Item, event: Option<&Probed<'_>>, now: Timestamp) -> Option<Counter> {
        if self.request.any_age {
            return None;
        }
        let published = item.message.publish_time;
        let target = item.table.and_then(|table| self.targets.at(table));
        let with_id = event.filter(|_| item.id.is_some());
        let would_be_letter = || match (target, with_id) {
            (Some(target), Some(probed)) => {
                let view = EventView { json: &item.message.data, probed, is_masked: PayloadMask::is_on(&item.message) };
                target.row(view).is_err()
            }
            // An event without a usable id is a dead letter too.
            (None, _) | (_, None) => true,
        };
        let raw_row_is_lost = with_id.is_some() && !self.targets.raw.is_empty();
        if self.age.may_be_forgotten_letter(published, &self.targets, now) && would_be_letter() {
            // A raw table takes it all the same, and would do so by a merge.
            return if raw_row_is_lost {
                Some(|counts| &counts.held_back)
            } else {
                Some(|counts| &counts.dead_letters)
            };
        }
        let is_forgotten = target.is_some_and(|target| self.age.may_be_forgotten_row(published, target, now))
            || (with_id.is_some() && self.age.may_be_forgotten_raw_row(published, &self.targets, now));
        if is_forgotten { Some(|counts| &counts.held_back) } else { None }
    }

    fn taken(&self, item: Item) -> Item {
        if self.is_sorted {
            let mut by_table = self.by_table.lock();
            let mut count = |place| *by_table.entry(place).or_default() += 1;
            if item.rows.is_empty() {
                let routed = item.table.filter(|place| self.targets.at(*place).is_some());
                count(routed.or_else(|| self.targets.raw.first().copied().filter(|_| item.id.is_some())));
            } else {
                item.rows.iter().for_each(|(place, _)| count(Some(*place)));
            }
        }
        item
    }

    /// How many messages were taken for each table, where the run looked; by the tables' names.
    pub(crate) fn by_table(&self) -> BTreeMap<String, u64> {
        let name = |table: &Option<usize>| {
            let target = table.and_then(|table| self.targets.at(table));
            target.map_or_else(|| "no table".to_owned(), |target| target.table.name.to_string())
        };
        self.by_table.lock().iter().map(|(table, count)| (name(table), *count)).collect()
    }
}

/// One of the counters.
type Counter = fn(&Progress) -> &std::sync::atomic::AtomicU64;
