//! Write streams: where each ends, and the rows of it that are not visible yet.

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// When the rows of a stream become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum StreamKind {
    /// With the append.
    Committed,
    /// All at once, with the commit.
    Pending,
    /// As far as they are flushed.
    Buffered,
}

/// A write stream that was created.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The last part of its name.
    pub(crate) id: String,
    /// When its rows become visible.
    pub(crate) kind: StreamKind,
    /// When it was created, in microseconds since the epoch.
    pub(crate) created: i64,
    pub(super) state: Mutex<StreamState>,
}

#[derive(Debug, Default)]
pub(super) struct StreamState {
    /// The offset of the next row.
    pub(super) end: i64,
    /// Rows before this offset are visible (BUFFERED).
    pub(super) flushed: i64,
    pub(super) finalized: bool,
    /// When it was committed (PENDING), in microseconds since the epoch.
    pub(super) committed: Option<i64>,
    pub(super) hidden: Vec<Hidden>,
}

/// Rows that wait for a commit or a flush.
#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) offset: i64,
    pub(super) batch: RecordBatch,
}

/// What the disk knows of a stream, beside where it ends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StreamRecord {
    pub(super) kind: StreamKind,
    pub(super) created: i64,
    pub(super) flushed: i64,
    pub(super) finalized: bool,
    pub(super) committed: Option<i64>,
}

/// Why rows were not appended, flushed or committed. Nothing of the request was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The stream takes no rows any more.
    #[error("the stream is finalized at {end} rows")]
    Finalized {
        /// How many rows it has.
        end: i64,
    },
    /// The offset is before the end of the stream.
    #[error("the offset is within stream, expected offset {expected}, received {received}")]
    AlreadyExists {
        /// The end of the stream.
        expected: i64,
        /// The offset that was asked for.
        received: i64,
    },
    /// The offset is beyond the end of the stream.
    #[error("the offset is beyond stream, expected offset {expected}, received {received}")]
    OutOfRange {
        /// The end of the stream.
        expected: i64,
        /// The offset that was asked for.
        received: i64,
    },
    /// The table was deleted.
    #[error("the table was deleted")]
    TableGone,
    /// The stream is of another kind.
    #[error("the stream is {0:?}")]
    WrongKind(StreamKind),
    /// A PENDING stream is finalized before it is committed.
    #[error("the stream is not finalized")]
    NotFinalized,
    /// A PENDING stream is committed once.
    #[error("the stream is already committed")]
    AlreadyCommitted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] super::error::StoreError),
}

impl Stream {
    /// When its rows were committed: with its creation (COMMITTED), or by the commit (PENDING).
    pub(crate) fn committed(&self) -> Option<i64> {
        match self.kind {
            StreamKind::Committed => Some(self.created),
            StreamKind::Pending | StreamKind::Buffered => self.state.lock().committed,
        }
    }

    pub(super) fn record(&self, state: &StreamState) -> StreamRecord {
        StreamRecord {
            kind: self.kind,
            created: self.created,
            flushed: state.flushed,
            finalized: state.finalized,
            committed: state.committed,
        }
    }
}
