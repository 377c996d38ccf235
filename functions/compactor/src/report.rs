use archive::Swept;
use serde::Serialize;

/// What a run did for one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// How it ended.
    pub state: State,
    /// Messages that are in the archive and acked.
    pub messages: u64,
    /// The bytes of those messages, as Pub/Sub counts them.
    pub bytes: u64,
    /// The objects that hold them, in the order in which they became final.
    pub objects: Vec<ArchivedObject>,
    /// The events that were written as JSON too, where the stream has a landing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed: Option<Landed>,
    /// Whether messages may be left in the subscription.
    pub backlog_left: bool,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The events of a run that were written as JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Landed {
    /// How many events.
    pub events: u64,
    /// In how many objects.
    pub objects: u64,
    /// Messages whose data is no JSON object.
    pub skipped: u64,
}

/// What a merge pass did for one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergeReport {
    /// How it ended.
    pub state: State,
    /// The objects that were made of smaller ones.
    pub merged: Vec<MergedObject>,
    /// What was removed that is no part of the archive.
    pub swept: Swept,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What went wrong. What could not be merged is as it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// An object in which others were merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergedObject {
    /// The object's name.
    pub name: String,
    /// How many objects it was made of.
    pub of: usize,
    /// How many messages it holds.
    pub messages: u64,
    /// The object's size.
    pub bytes: u64,
}

impl MergeReport {
    /// A report of nothing.
    pub(crate) fn empty(state: State) -> Self {
        Self { state, merged: Vec::new(), swept: Swept::default(), duration_ms: 0, errors: Vec::new() }
    }
}

/// An object that is part of the archive: it is final and its manifest entry stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchivedObject {
    /// The object's name.
    pub name: String,
    /// How many messages it holds.
    pub messages: u64,
    /// The bytes of those messages, as Pub/Sub counts them.
    pub message_bytes: u64,
    /// The object's size.
    pub bytes: u64,
}

/// How a run of one stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The backlog is empty.
    Drained,
    /// Nothing is left to merge.
    Merged,
    /// A budget is used up.
    BudgetSpent,
    /// The service was told to stop.
    Stopped,
    /// Another trigger's run of this stream is under way.
    AlreadyRunning,
    /// Something failed. What is not in the archive will be delivered again.
    Failed,
}

impl State {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Merged => "merged",
            Self::BudgetSpent => "budget_spent",
            Self::Stopped => "stopped",
            Self::AlreadyRunning => "already_running",
            Self::Failed => "failed",
        }
    }
}

impl StreamReport {
    /// A report of nothing.
    pub(crate) fn empty(state: State) -> Self {
        let backlog_left = !matches!(state, State::Drained);
        Self {
            state,
            messages: 0,
            bytes: 0,
            objects: Vec::new(),
            landed: None,
            backlog_left,
            duration_ms: 0,
            error: None,
        }
    }

    /// Adds an object.
    pub(crate) fn add(&mut self, object: ArchivedObject) {
        self.messages += object.messages;
        self.bytes += object.message_bytes;
        self.objects.push(object);
    }
}
