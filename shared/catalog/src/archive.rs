/// How the compactor writes the archive. One run ends, for each stream, at the first of the three bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// The codec of the Avro blocks.
    pub codec: Codec,
    /// The longest run, in seconds.
    pub max_seconds: u64,
    /// The most bytes of messages that a run takes.
    pub max_bytes: u64,
    /// The most messages that a run takes.
    pub max_messages: u64,
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

impl Default for ArchiveSettings {
    /// For a run every five minutes: done before the next one, and within Cloud Run's default request timeout of 300 s.
    fn default() -> Self {
        Self { codec: Codec::default(), max_seconds: 240, max_bytes: 1 << 30, max_messages: 1_000_000 }
    }
}
