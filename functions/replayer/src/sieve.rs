//! What of the archive is replayed, message by message.

use std::{collections::BTreeMap, sync::Arc};

use event::{EventId, Message, Timestamp};
use parking_lot::Mutex;

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
            return Some(self.taken(Item { message, table: None, id: None, lent_id: None }));
        }
        let found = self.identity.of(&message);
        let is_asked_for = (self.request.event_ids.is_empty()
            || found.id.as_ref().is_some_and(|id| self.request.event_ids.contains(id.as_str())))
            && (self.request.tables.is_empty() || found.table.is_some_and(|table| self.targets.at(table).is_some()));
        if !is_asked_for {
            progress.add(|counts| &counts.outside, 1);
            return None;
        }
        let lent_id = found.id.clone().filter(|_| found.is_of_message);
        let item = Item { message, table: found.table, id: found.id, lent_id };
        match self.refuse(&item, now) {
            None => Some(self.taken(item)),
            Some(counter) => {
                progress.add(counter, 1);
                None
            }
        }
    }

    /// The counter of those that this mode leaves alone, where the message is one.
    fn refuse(&self, item: &Item, now: Timestamp) -> Option<Counter> {
        let published = item.message.publish_time;
        let target = item.table.and_then(|table| self.targets.at(table));
        // An event without a usable id is a dead letter too.
        let would_be_letter =
            || target.is_none_or(|target| item.id.is_none() || target.row(&item.message.data).is_err());
        match self.request.mode {
            Mode::Merge => match target {
                _ if would_be_letter() => Some(|counts| &counts.dead_letters),
                Some(target) if target.is_upsert() => Some(|counts| &counts.held_back),
                _ if !self.request.any_age && !self.age.is_old(published, now) => Some(|counts| &counts.held_back),
                _ => None,
            },
            Mode::Publish if self.request.any_age => None,
            Mode::Publish => match target {
                _ if self.age.may_be_forgotten_letter(published, &self.targets, now) && would_be_letter() => {
                    Some(|counts| &counts.dead_letters)
                }
                Some(target) if self.age.may_be_forgotten_row(published, target, now) => {
                    Some(|counts| &counts.held_back)
                }
                _ => None,
            },
        }
    }

    fn taken(&self, item: Item) -> Item {
        if self.is_sorted {
            *self.by_table.lock().entry(item.table).or_default() += 1;
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

type Counter = fn(&Progress) -> &std::sync::atomic::AtomicU64;
