//! What is to be replayed.

use std::collections::BTreeSet;

use event::Timestamp;
use serde::{Deserialize, Serialize};

/// How messages become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are published to their topic again, and the loader refuses what is a row already. Events whose claims may be
    /// forgotten while their rows are not are held back.
    #[default]
    Publish,
    /// They go into a staging table, and one statement inserts into the table what it lacks. For events that are older than
    /// the stream's dedupe window.
    Merge,
}

/// What is to be replayed. As JSON it is the body of `POST /replay`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The stream.
    pub stream: String,
    /// How messages become rows.
    #[serde(default)]
    pub mode: Mode,
    /// The first publish time; `None`: the archive's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The publish time at which it ends, which is not in it; `None`: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Only these events; empty: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub event_ids: BTreeSet<String>,
    /// Only the events of these tables, by their keys in the catalog or their names; empty: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tables: BTreeSet<String>,
    /// Objects that no manifest lists, in place of the stream's archive: `gs://bucket/prefix`, or the path of a file or folder.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects: BTreeSet<String>,
    /// Take events whatever their age: what is published may become a second row, what is merged may be in flight.
    #[serde(default)]
    pub any_age: bool,
    /// Read and count, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The most events a second; `None`: as fast as they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Begin anew where the same request was interrupted.
    #[serde(default)]
    pub restart: bool,
}

impl Request {
    /// Whether a message that was published then is asked for.
    pub(crate) fn holds(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    /// What makes two requests the same replay: everything but how fast it goes.
    pub(crate) fn identity(&self) -> Self {
        Self { rate: None, restart: false, ..self.clone() }
    }
}
