//! What the Storage Write API does to a table: append to a stream, flush, finalize, commit.

use std::sync::Arc;

use arrow::array::RecordBatch;
use fjall::OwnedWriteBatch as WriteBatch;
use parking_lot::{Mutex, MutexGuard};

use super::{
    disk,
    error::StoreError,
    record,
    stream::{Hidden, Refused, Stream, StreamKind, StreamState},
    table::Table,
};
use crate::bigquery::columns;

impl Table {
    /// Creates a write stream.
    pub(crate) fn create_stream(&self, kind: StreamKind, now: i64) -> Result<Arc<Stream>, StoreError> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let stream = Arc::new(Stream { id, kind, created: now, state: Mutex::default() });
        let mut streams = self.streams.write();
        let state = stream.state.lock();
        if self.rows.lock().dropped {
            return Err(StoreError::NotFound(format!("Table {}", self.name)));
        }
        let mut commit = self.disk.batch();
        self.write_stream(&stream, &state, &mut commit)?;
        commit.commit()?;
        drop(state);
        streams.insert(stream.id.clone(), Arc::clone(&stream));
        Ok(stream)
    }

    /// The write stream of this id.
    pub(crate) fn stream(&self, id: &str) -> Option<Arc<Stream>> {
        self.streams.read().get(id).cloned()
    }

    /// Appends rows to a stream whole or not at all, and says at which offset they stand.
    ///
    /// With an `offset` they are appended only where the stream ends there. Atomic against [`Table::finalize`].
    pub(crate) fn append_to(
        self: &Arc<Self>,
        stream: &Stream,
        offset: Option<i64>,
        batch: RecordBatch,
    ) -> Result<i64, Refused> {
        let mut state = stream.state.lock();
        if self.rows.lock().dropped {
            return Err(Refused::TableGone);
        }
        if state.finalized {
            return Err(Refused::Finalized { end: state.end });
        }
        let at = state.end;
        match offset {
            Some(received) if received < at => return Err(Refused::AlreadyExists { expected: at, received }),
            Some(received) if received > at => return Err(Refused::OutOfRange { expected: at, received }),
            Some(_) | None => {}
        }
        let end = at + count(&batch);
        let mut commit = self.disk.batch();
        commit.insert(&self.disk.offsets, disk::stream_key(self.id, &stream.id), end.to_be_bytes());
        if stream.kind == StreamKind::Committed {
            let mut rows = self.rows.lock();
            let staged = self.stage(&rows, vec![batch], &mut commit)?;
            commit.commit().map_err(StoreError::from)?;
            self.publish(&mut rows, staged);
        } else if batch.num_rows() > 0 {
            let hidden = self.hide(stream, at, batch, &mut commit)?;
            commit.commit().map_err(StoreError::from)?;
            state.hidden.push(hidden);
        }
        state.end = end;
        Ok(at)
    }

    /// Ends the stream for good and says how many rows it has; again and again the same.
    pub(crate) fn finalize(&self, stream: &Stream) -> Result<i64, Refused> {
        let mut state = stream.state.lock();
        if self.rows.lock().dropped {
            return Err(Refused::TableGone);
        }
        if !state.finalized {
            state.finalized = true;
            let mut commit = self.disk.batch();
            let written = self.write_stream(stream, &state, &mut commit);
            let written = written.and_then(|()| commit.commit().map_err(StoreError::from));
            if let Err(error) = written {
                state.finalized = false;
                return Err(error.into());
            }
        }
        Ok(state.end)
    }

    /// Makes the rows of a BUFFERED stream visible, those at and before `offset`.
    pub(crate) fn flush(self: &Arc<Self>, stream: &Stream, offset: i64) -> Result<i64, Refused> {
        if stream.kind != StreamKind::Buffered {
            return Err(Refused::WrongKind(stream.kind));
        }
        let mut state = stream.state.lock();
        let upto = offset.saturating_add(1);
        if upto > state.end || offset < 0 {
            return Err(Refused::OutOfRange { expected: state.end, received: offset });
        }
        if upto <= state.flushed {
            return Ok(offset);
        }
        let mut commit = self.disk.batch();
        let (mut visible, mut hidden) = (Vec::new(), Vec::new());
        for Hidden { offset: at, batch } in &state.hidden {
            let shown = usize::try_from((upto - at).clamp(0, count(batch))).unwrap_or_default();
            if shown > 0 {
                commit.remove(&self.disk.pending, disk::pending_key(self.id, &stream.id, *at));
                visible.push(batch.slice(0, shown));
            }
            if shown < batch.num_rows() {
                let rest = batch.slice(shown, batch.num_rows() - shown);
                let at = at + i64::try_from(shown).unwrap_or_default();
                hidden.push(if shown > 0 {
                    self.hide(stream, at, rest, &mut commit)?
                } else {
                    Hidden { offset: at, batch: rest }
                });
            }
        }
        let flushed = StreamState { flushed: upto, end: state.end, finalized: state.finalized, ..Default::default() };
        self.write_stream(stream, &flushed, &mut commit)?;
        let mut rows = self.rows.lock();
        let staged = self.stage(&rows, visible, &mut commit)?;
        commit.commit().map_err(StoreError::from)?;
        self.publish(&mut rows, staged);
        *state = StreamState { hidden, ..flushed };
        Ok(offset)
    }

    /// Makes the rows of PENDING streams visible, all of them at once or none. The error names the stream.
    pub(crate) fn commit(
        self: &Arc<Self>,
        streams: &[Arc<Stream>],
        now: i64,
    ) -> Result<(), Vec<(Arc<Stream>, Refused)>> {
        let mut sorted: Vec<&Arc<Stream>> = streams.iter().collect();
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        sorted.dedup_by(|a, b| a.id == b.id);
        let mut states: Vec<MutexGuard<'_, StreamState>> = sorted.iter().map(|s| s.state.lock()).collect();
        let refused: Vec<_> = sorted
            .iter()
            .zip(&states)
            .filter_map(|(stream, state)| {
                let refused = match stream.kind {
                    StreamKind::Committed | StreamKind::Buffered => Refused::WrongKind(stream.kind),
                    StreamKind::Pending if state.committed.is_some() => Refused::AlreadyCommitted,
                    StreamKind::Pending if !state.finalized => Refused::NotFinalized,
                    StreamKind::Pending => return None,
                };
                Some((Arc::clone(stream), refused))
            })
            .collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        let failed = |error: StoreError| -> Vec<(Arc<Stream>, Refused)> {
            sorted.first().map(|stream| (Arc::clone(stream), error.into())).into_iter().collect()
        };
        let mut commit = self.disk.batch();
        let mut visible = Vec::new();
        for (stream, state) in sorted.iter().zip(&mut states) {
            for hidden in &state.hidden {
                commit.remove(&self.disk.pending, disk::pending_key(self.id, &stream.id, hidden.offset));
                visible.push(hidden.batch.clone());
            }
            let committed = StreamState { committed: Some(now), finalized: true, end: state.end, ..Default::default() };
            self.write_stream(stream, &committed, &mut commit).map_err(failed)?;
        }
        let mut rows = self.rows.lock();
        let staged = self.stage(&rows, visible, &mut commit).map_err(failed)?;
        commit.commit().map_err(|error| failed(error.into()))?;
        self.publish(&mut rows, staged);
        for state in &mut states {
            state.committed = Some(now);
            state.hidden.clear();
        }
        Ok(())
    }

    fn hide(
        &self,
        stream: &Stream,
        at: i64,
        batch: RecordBatch,
        commit: &mut WriteBatch,
    ) -> Result<Hidden, StoreError> {
        let definition = self.definition();
        let batch = columns::adapt(&batch, &definition.arrow)?;
        let record = record::encode(&batch, definition.version)?;
        commit.insert(&self.disk.pending, disk::pending_key(self.id, &stream.id, at), record);
        Ok(Hidden { offset: at, batch })
    }

    fn write_stream(&self, stream: &Stream, state: &StreamState, commit: &mut WriteBatch) -> Result<(), StoreError> {
        let record = serde_json::to_vec(&stream.record(state))?;
        commit.insert(&self.disk.streams, disk::stream_key(self.id, &stream.id), record);
        Ok(())
    }
}

fn count(batch: &RecordBatch) -> i64 {
    i64::try_from(batch.num_rows()).unwrap_or(i64::MAX)
}
