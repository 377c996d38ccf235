//! What a replay did.

use std::{collections::BTreeMap, fmt};

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Counts, Mode};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything that could be read was replayed.
    Done,
    /// Its time was over; the same request goes on.
    BudgetSpent,
    /// It was told to stop; the same request goes on.
    Stopped,
}

impl State {
    /// The name in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::BudgetSpent => "budget_spent",
            Self::Stopped => "stopped",
        }
    }
}

/// An object that was not replayed to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The stream.
    pub stream: String,
    /// How messages became rows.
    pub mode: Mode,
    /// How the run ended.
    pub state: State,
    /// Nothing was changed.
    pub dry_run: bool,
    /// It went on where another run ended.
    pub resumed: bool,
    /// The publish time at which it ended.
    pub to: Timestamp,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// Messages that were taken, by table, where the run looked at that.
    pub by_table: BTreeMap<String, u64>,
    /// Objects that were not replayed to their ends.
    pub damaged: Vec<Damaged>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Whether all that was asked for was replayed.
    pub fn is_whole(&self) -> bool {
        self.state == State::Done
            && self.damaged.is_empty()
            && self.counts.held_back == 0
            && self.counts.unpublishable == 0
    }
}

/// The last line says what became of the messages.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { objects, objects_done, read, taken, inserted, staged, .. } = self.counts;
        for Damaged { object, detail } in &self.damaged {
            writeln!(f, "damaged: {object}: {detail}")?;
        }
        for (table, count) in &self.by_table {
            writeln!(f, "{table}: {count}")?;
        }
        let notes = [
            (self.counts.earlier, "were done by the run that this one takes up"),
            (self.counts.outside, "were not asked for"),
            (self.counts.repeated, "are in the archive twice"),
            (self.counts.dead_letters, "are dead letters, and would be again"),
            (self.counts.unpublishable, "are more than a Pub/Sub message holds with what a replay adds"),
        ];
        for (count, what) in notes.iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "{count} {what}")?;
        }
        let held_back = self.counts.held_back;
        if held_back > 0 {
            let why = match self.mode {
                Mode::Publish => {
                    "may have rows that the ledger has forgotten, as they are older than the dedupe window and their table is \
                     too: load them with --mode merge"
                }
                Mode::Merge => {
                    "may still be in flight, as they are younger than the dedupe window, or are of an upsert table: \
                     replay them with --mode publish"
                }
            };
            writeln!(f, "{held_back} were held back: they {why}")?;
        }
        let done = match (self.dry_run, self.mode) {
            (true, _) => format!("{taken} would be replayed"),
            (false, Mode::Publish) => format!("published {taken}"),
            (false, Mode::Merge) => format!("staged {staged}, inserted {inserted}"),
        };
        let resumed = if self.resumed { ", taken up where another run ended" } else { "" };
        write!(
            f,
            "{}: read {read} messages of {objects_done} of {objects} objects, {done}, in {:.1} s{resumed}: {}",
            self.stream,
            self.seconds,
            self.state.name()
        )?;
        if self.damaged.is_empty() { Ok(()) } else { write!(f, ", {} damaged", self.damaged.len()) }
    }
}
