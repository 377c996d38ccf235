//! What is known of each event of a stream, small enough for tens of millions of them: 28 bytes an event, in a table that is at most
//! seven eighths full and doubles.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use event::Timestamp;

use super::{
    identity::{Archived, Key},
    interval::Interval,
    report::Report,
    rows::{Letter, Row},
};

/// The events that were seen, in the archive, as rows, and as dead letters.
#[derive(Debug, Default)]
pub(super) struct Events {
    known: HashMap<Key, Event>,
    /// Further contents under a key that has one.
    contents: HashSet<(Key, u32)>,
    /// The messages of copies beyond an event's first, to tell a copy from a message that was archived twice.
    messages: HashSet<u64>,
    /// Dead letters that were published again: beside each there may be a row.
    redriven: HashSet<String>,
    /// The row of each event of an upsert table.
    upserts: HashMap<Key, Key>,
    /// Those rows, and whether they are there.
    upserted: HashMap<Key, bool>,
    /// Rows beyond the first of events that have another content without an end: each may be that of one.
    spare: HashMap<Key, Spare>,
    /// Dead letters of messages that were given up, and that nothing named but the id that Pub/Sub gave the copy.
    unnamed: u64,
    sum: Sum,
    doubled_ids: Vec<String>,
}

/// An archived event.
#[derive(Debug, Default)]
struct Event {
    /// The first content.
    content: u32,
    /// The first message, cut short.
    message: u32,
    /// How many contents were seen.
    contents: u8,
    /// How many of them ended as a row or a dead letter.
    ended: u8,
    marks: Marks,
}

/// What else is known of an event.
#[derive(Debug, Clone, Copy, Default)]
struct Marks(u8);

impl Marks {
    const HAS_ROW: u8 = 1;
    /// It was published so lately that it may be in flight.
    const IS_LATE: u8 = 2;
    /// Nothing names it but its message's id.
    const IS_UNNAMED: u8 = 4;

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    fn set(&mut self, mark: u8, on: bool) {
        self.0 = if on { self.0 | mark } else { self.0 & !mark };
    }
}

/// Rows of an event beyond its first.
#[derive(Debug, Clone, Copy)]
struct Spare {
    rows: u64,
    /// Whether they were counted as repeated.
    may_repeat: bool,
}

#[derive(Debug, Default)]
struct Sum {
    records: u64,
    archived_again: u64,
    duplicates: u64,
    superseded: u64,
    written: u64,
    dead_lettered: u64,
    repeated: u64,
    doubled: u64,
    not_archived: u64,
}

impl Events {
    /// With room for `most` events: it is taken once, as what grows to it would for a moment need half as much again.
    pub(super) fn with_room(most: u64) -> anyhow::Result<Self> {
        let mut events = Self::default();
        let room = usize::try_from(most).ok().and_then(|most| events.known.try_reserve(most).ok());
        room.with_context(|| format!("there is no memory for an account of {most} events: audit a shorter time"))?;
        Ok(events)
    }

    /// Takes a message of the archive. One that was published at `since` or later may be in flight.
    pub(super) fn archived(&mut self, event: &Archived, since: Timestamp) {
        self.sum.records += 1;
        let message = event.message as u32;
        if let Some(of) = &event.redriven {
            self.redriven.insert(of.clone());
        }
        let known = self.known.entry(event.key).or_default();
        if event.published >= since {
            known.marks.set(Marks::IS_LATE, true);
        }
        let is_first = known.contents == 0;
        if is_first {
            known.marks.set(Marks::IS_UNNAMED, event.is_unnamed);
            *known = Event { content: event.content, message, contents: 1, ended: 0, marks: known.marks };
        } else if known.message == message || !self.messages.insert(event.message) {
            self.sum.archived_again += 1;
            return;
        }
        match event.row {
            // Under an upsert table's key other content is a newer state, and no conflict.
            Some(row) => {
                self.upserts.insert(event.key, row);
                self.sum.superseded += u64::from(self.upserted.insert(row, false).is_some());
            }
            None if is_first => {}
            None if known.content != event.content && self.contents.insert((event.key, event.content)) => {
                known.contents = known.contents.saturating_add(1);
            }
            None => self.sum.duplicates += 1,
        }
    }

    /// These dead letters were published again.
    pub(super) fn redriven(&mut self, letters: impl IntoIterator<Item = String>) {
        self.redriven.extend(letters);
    }

    /// Every archived event has ended.
    pub(super) fn nothing_is_in_flight(&mut self) {
        self.known.values_mut().for_each(|event| event.marks.set(Marks::IS_LATE, false));
    }

    /// Takes the rows of one event; keeps up to `list` names of doubled events.
    pub(super) fn row(&mut self, row: &Row<'_>, list: usize) {
        if row.is_upsert {
            match self.upserted.get_mut(&row.key) {
                Some(is_there) => *is_there = true,
                None => self.sum.not_archived += u64::from(row.is_inside),
            }
            if row.count > 1 {
                self.doubled(list, || format!("{} ({} visible rows)", row.name(), row.count));
            }
            return;
        }
        let is_of_interest = match self.known.get_mut(&row.key) {
            Some(event) => {
                self.sum.written += u64::from(!event.marks.has(Marks::HAS_ROW));
                event.marks.set(Marks::HAS_ROW, true);
                event.ended = event.ended.saturating_add(1);
                if row.count > 1 && event.contents > event.ended {
                    self.spare.insert(row.key, Spare { rows: row.count - 1, may_repeat: row.may_repeat });
                }
                true
            }
            None => {
                self.sum.not_archived += u64::from(row.is_inside);
                row.is_inside
            }
        };
        if row.count > 1 && is_of_interest {
            if row.may_repeat {
                self.sum.repeated += row.count - 1;
            } else {
                self.doubled(list, || format!("{} ({} rows)", row.name(), row.count));
            }
        }
    }

    /// Takes a dead letter of an event, after the event's rows.
    pub(super) fn letter(&mut self, letter: &Letter<'_>, list: usize) {
        let known = || letter.keys.iter().filter(|key| self.known.contains_key(*key));
        // Of several tables' events the one that has no end yet.
        let open = known().find(|key| self.known.get(*key).is_some_and(|event| event.without_end() > 0));
        let key = open.or(known().next()).copied();
        let (is_of_interest, has_row) = match key.and_then(|key| self.known.get_mut(&key)) {
            Some(event) => {
                let left = event.contents.saturating_sub(event.ended);
                let ended = left.min(1);
                event.ended += ended;
                self.sum.dead_lettered += u64::from(ended);
                (true, event.marks.has(Marks::HAS_ROW))
            }
            None => {
                let count = if letter.is_unnamed { &mut self.unnamed } else { &mut self.sum.not_archived };
                *count += u64::from(letter.is_inside);
                (letter.is_inside, false)
            }
        };
        if is_of_interest && letter.count > 1 {
            self.doubled(list, || format!("{} ({} dead letters)", letter.name(), letter.count));
        } else if has_row && !letter.is_conflict && !self.redriven.contains(letter.letter_id) {
            self.doubled(list, || format!("{} (a row and a dead letter)", letter.name()));
        }
    }

    fn doubled(&mut self, list: usize, name: impl FnOnce() -> String) {
        self.sum.doubled += 1;
        if self.doubled_ids.len() < list {
            self.doubled_ids.push(name());
        }
    }

    /// The account, when all was taken. Names of missing events are not in it.
    pub(super) fn close(&self, stream: &str, interval: &Interval) -> Report {
        let (mut received, mut also_written, mut in_flight, mut without_name, mut missing) = (0, 0, 0, 0, 0);
        for (key, event) in &self.known {
            received += u64::from(event.contents);
            let count = match event.marks {
                _ if self.is_upserted(key) => &mut also_written,
                marks if marks.has(Marks::IS_LATE) => &mut in_flight,
                marks if marks.has(Marks::IS_UNNAMED) => &mut without_name,
                _ => &mut missing,
            };
            *count += self.left(key, event);
        }
        // Which of them a letter is of cannot be told.
        let unnamed = self.unnamed.min(without_name);
        missing += without_name - unnamed;
        let sum = &self.sum;
        let mut repeated = sum.repeated;
        for (key, spare) in &self.spare {
            let taken = self.known.get(key).map_or(0, |event| event.without_end().min(spare.rows));
            also_written += taken;
            repeated -= if spare.may_repeat { taken } else { 0 };
        }
        Report {
            stream: stream.to_owned(),
            closed: missing == 0 && sum.doubled == 0,
            interval: *interval,
            archived: sum.records,
            archived_again: sum.archived_again,
            received,
            written: sum.written + also_written,
            dead_lettered: sum.dead_lettered,
            in_flight,
            duplicates_refused: sum.duplicates,
            superseded: sum.superseded,
            repeated,
            not_archived: sum.not_archived + self.unnamed - unnamed,
            unnamed,
            missing,
            doubled: sum.doubled,
            missing_ids: Vec::new(),
            doubled_ids: self.doubled_ids.clone(),
        }
    }

    /// How many of the event's contents are neither a row nor a dead letter. A row beyond the event's first is taken to be that of
    /// a content without an end: a table that may repeat took both, or the id was used again beyond the window.
    fn left(&self, key: &Key, event: &Event) -> u64 {
        match event.without_end() {
            0 => 0,
            left => left.saturating_sub(self.spare.get(key).map_or(0, |spare| spare.rows)),
        }
    }

    /// Whether the row of an upsert table that the event makes, or replaces, is there.
    fn is_upserted(&self, event: &Key) -> bool {
        self.upserts.get(event).and_then(|row| self.upserted.get(row)).copied().unwrap_or_default()
    }

    /// Up to `list` missing events, each by a content of its own. Those that nothing names come last: each of them may be one that
    /// the report counts as unnamed.
    pub(super) fn missing(&self, list: usize) -> HashSet<(Key, u32)> {
        let is_missing = |key: &Key, event: &Event| {
            !event.marks.has(Marks::IS_LATE) && self.left(key, event) > 0 && !self.is_upserted(key)
        };
        let of = |is_unnamed| {
            let all = self.known.iter().filter(move |(_, event)| event.marks.has(Marks::IS_UNNAMED) == is_unnamed);
            all.filter(|(key, event)| is_missing(key, event))
        };
        of(false).chain(of(true)).take(list).map(|(key, event)| (*key, event.content)).collect()
    }
}

impl Event {
    /// How many contents have no end of their own.
    fn without_end(&self) -> u64 {
        u64::from(self.contents.saturating_sub(self.ended))
    }
}

#[cfg(test)]
mod tests;
