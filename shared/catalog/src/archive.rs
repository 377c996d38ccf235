use std::time::Duration;

use crate::Layout;

/// How the compactor writes the archive of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveSettings {
    /// The codec of the Avro blocks: `zstd` (default), `snappy`, `deflate`, `null`.
    pub codec: Codec,
    /// Where objects lie; default `{stream}/dt={yyyy}-{mm}-{dd}/hr={HH}/`.
    pub layout: Layout,
    /// The bounds of one run.
    pub compact: Budgets,
    /// How small objects become large ones.
    pub merge: Merge,
    /// Where the JSON events themselves are written too; default: nowhere.
    pub landing: Option<Landing>,
}

/// The bounds of one run of the compactor: it ends at the first that it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    /// The longest run, in seconds; default 240.
    pub max_seconds: u64,
    /// The most bytes of messages that a run takes; default 1 GiB.
    pub max_bytes: u64,
    /// The most messages that a run takes; default 1,000,000.
    pub max_messages: u64,
}

/// How the merge pass makes large objects of small ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// Objects of an hour that are smaller become one of at most this size, in bytes; default 256 MiB.
    pub target_bytes: u64,
    /// How long an object that was replaced, or that nobody lists, is left alone before it is removed; default `24h`. Longer than
    /// any reading of the archive takes.
    pub grace: Duration,
}

/// The JSON events themselves, one a line, in objects of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    /// The form: `ndjson`.
    pub format: LandingFormat,
    /// Where they lie, e.g. `output/{type}/{yyyy}/{mm}/{dd}/{HH}/{MM}/`.
    pub layout: Layout,
}

/// The forms of landed events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LandingFormat {
    /// One JSON object a line.
    #[default]
    Ndjson,
}

/// The codecs of Avro object container files that Pipas writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Zstandard, which BigQuery loads.
    #[default]
    Zstd,
    /// Snappy.
    Snappy,
    /// Deflate.
    Deflate,
    /// No compression.
    Null,
}

impl Default for Budgets {
    /// For a run every five minutes: done before the next one, and within Cloud Run's default request timeout of 300 s.
    fn default() -> Self {
        Self { max_seconds: 240, max_bytes: 1 << 30, max_messages: 1_000_000 }
    }
}

impl Default for Merge {
    fn default() -> Self {
        Self { target_bytes: 256 << 20, grace: Duration::from_secs(24 * 60 * 60) }
    }
}
