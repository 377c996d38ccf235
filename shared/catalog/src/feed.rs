use std::{collections::BTreeMap, time::Duration};

/// A document on the web that is fetched again and again, and whose events go to the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The feed's name, the only one of the catalog.
    pub name: String,
    /// Where it is.
    pub url: Setting,
    /// How it is written.
    pub format: FeedFormat,
    /// The time from one fetch to the next. Fetches are at whole multiples of it since 1970.
    pub every: Duration,
    /// The longest that a fetch may take, the body included.
    pub timeout: Duration,
    /// The largest body, in bytes.
    pub max_bytes: u64,
    /// The longest time between fetches while they fail: it doubles from `every` up to here.
    pub max_backoff: Duration,
    /// Headers of the request.
    pub headers: BTreeMap<String, Setting>,
}

/// How a feed is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedFormat {
    /// One JSON document: an object, or an array of objects, each of which is a document.
    Json,
    /// A JSON object on each line.
    Ndjson,
    /// A GTFS-Realtime `FeedMessage` in protobuf, read as JSON with the names of its schema.
    GtfsRealtime,
}

/// A text of the catalog, or the name of the environment variable that has it: for secrets, and for what differs from one
/// deployment to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// The text.
    Text(String),
    /// The variable, and the text where it is not set.
    Env {
        /// The variable's name.
        name: String,
        /// `None`: it must be set.
        default: Option<String>,
    },
}

impl Setting {
    /// The environment variable that it names.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Env { name, .. } => Some(name),
        }
    }
}
