//! What a trigger and a fetch answer.

use std::collections::{BTreeMap, BTreeSet};

use event::Timestamp;
use serde::Serialize;

/// What a trigger put on the queue for one feed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PollReport {
    /// Fetches that are on the queue now.
    pub created: Vec<Timestamp>,
    /// Fetches that were on it already: an earlier trigger of the same minute put them there.
    pub existing: Vec<Timestamp>,
    /// Fetches that were left out, as their time was over by a whole period.
    pub late: Vec<Timestamp>,
}

/// How a fetch ended. Each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchResult {
    /// The feed said something new, and its events are on the topic.
    Published,
    /// The feed said that it had not changed (304).
    NotModified,
    /// The feed's bytes are those of the last time.
    Unchanged,
    /// Another fetch of the feed was under way.
    Overlap,
    /// The feed failed lately, and is left alone for a while.
    BackedOff,
    /// The feed could not be fetched or read.
    Failed,
}

impl FetchResult {
    /// The word that metrics count it under.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::NotModified => "not_modified",
            Self::Unchanged => "unchanged",
            Self::Overlap => "overlap",
            Self::BackedOff => "backed_off",
            Self::Failed => "failed",
        }
    }
}

/// What a fetch did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FetchReport {
    /// The feed.
    pub feed: String,
    /// How it ended.
    pub result: FetchResult,
    /// Events that were published.
    pub published: usize,
    /// Events that this instance published with the snapshot before, and left out.
    pub repeated: usize,
    /// Events that the stream's filter left out.
    pub filtered: u64,
    /// Parts of the feed that are no events.
    pub bad: u64,
    /// What is wrong with the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What lookups did not find.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_found: BTreeMap<String, BTreeSet<String>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Before when the feed is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

impl FetchReport {
    /// A fetch that published nothing.
    pub(crate) fn nothing(feed: &str, result: FetchResult) -> Self {
        Self {
            feed: feed.to_owned(),
            result,
            published: 0,
            repeated: 0,
            filtered: 0,
            bad: 0,
            faults: Vec::new(),
            not_found: BTreeMap::new(),
            error: None,
            not_before: None,
        }
    }
}
