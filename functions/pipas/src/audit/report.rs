//! The account as it is printed.

use std::fmt;

use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use serde::{Serialize, Serializer};

use super::interval::Interval;

/// The closed account of a stream: `received = written + dead_lettered + unnamed + in_flight + missing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The stream.
    pub stream: String,
    /// Whether nothing is missing and nothing doubled.
    pub closed: bool,
    /// The publish times that were looked at.
    #[serde(serialize_with = "as_text")]
    pub interval: Interval,
    /// Records of the archive.
    pub archived: u64,
    /// Records of messages that the archive has twice.
    pub archived_again: u64,
    /// Distinct events in the archive.
    pub received: u64,
    /// Events that are rows.
    pub written: u64,
    /// Events that are dead letters.
    pub dead_lettered: u64,
    /// Events that only their messages' ids name, each for a dead letter `exhausted_retries` of such a one: Pub/Sub gives the copy
    /// that is given up another id, so which is which cannot be told.
    pub unnamed: u64,
    /// Events that may still become either.
    pub in_flight: u64,
    /// Archived copies of an event beyond its first.
    pub duplicates_refused: u64,
    /// Archived states of an upsert table's key beyond its first: none was refused, and the newest is the row.
    pub superseded: u64,
    /// Rows beyond an event's first where the delivery is at_least_once.
    pub repeated: u64,
    /// Rows and dead letters whose events are not in the archive.
    pub not_archived: u64,
    /// Events that are neither row nor dead letter.
    pub missing: u64,
    /// Events that are more than one row, or a row and a dead letter.
    pub doubled: u64,
    /// Some of the missing.
    pub missing_ids: Vec<String>,
    /// Some of the doubled.
    pub doubled_ids: Vec<String>,
}

impl Report {
    /// Whether nothing is missing and nothing doubled.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a later look would find the same.
    pub fn is_settled(&self) -> bool {
        self.missing == 0 && self.in_flight == 0 && self.not_archived == 0
    }
}

/// The last line is `missing N, doubled N`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(NOTHING);
        let mut line = |name: &str, count: u64, what: &str| {
            let count = Cell::new(count).set_alignment(CellAlignment::Right);
            table.add_row([Cell::new(name), count, Cell::new(what)]);
        };
        line("received", self.received, "distinct events in the archive");
        line("written", self.written, "rows");
        line("dead-lettered", self.dead_lettered, "rows of pipas_ops.dead_letters");
        if self.unnamed > 0 {
            line(
                "unnamed",
                self.unnamed,
                "dead letters of messages that were given up and that only Pub/Sub's ids name",
            );
        }
        line("in flight", self.in_flight, "may still become either");
        line("duplicates refused", self.duplicates_refused, "archived copies beyond an event's first");
        if self.superseded > 0 {
            line("superseded", self.superseded, "archived states of an upsert table's key beyond its first");
        }
        line("not yet archived", self.not_archived, "rows and dead letters whose events the archive has not");
        if self.repeated > 0 {
            line(
                "repeated",
                self.repeated,
                "rows beyond an event's first, by at_least_once; <table>_unique hides them",
            );
        }
        if self.archived_again > 0 {
            line("archived again", self.archived_again, "records of messages that the archive has already");
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
        writeln!(f, "{}, published {}\n{}", self.stream, self.interval, lines.join("\n"))?;
        for (what, ids, all) in
            [("missing", &self.missing_ids, self.missing), ("doubled", &self.doubled_ids, self.doubled)]
        {
            ids.iter().try_for_each(|id| writeln!(f, "{what}: {id}"))?;
            if !ids.is_empty() && all > ids.len() as u64 {
                writeln!(f, "{what}: … {} in all", all)?;
            }
        }
        let Self { received, written, dead_lettered, unnamed, in_flight, missing, doubled, .. } = self;
        write!(f, "received {received} = written {written} + dead-lettered {dead_lettered}")?;
        if *unnamed > 0 {
            write!(f, " + unnamed {unnamed}")?;
        }
        writeln!(f, " + in flight {in_flight} + missing {missing}")?;
        write!(f, "missing {missing}, doubled {doubled}")
    }
}

fn as_text<S: Serializer>(interval: &Interval, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(interval)
}
