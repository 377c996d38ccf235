//! Upserts: the table's default stream, on which the newest row of a key takes the place of those before. No claim is made,
//! for a row that comes twice changes nothing, whatever becomes of the ledger.

use std::sync::Arc;

use catalog::{Probe, Upsert};
use event::{Bytes, Outcome, Rejection, Timestamp};
use exactly_once::{Answer, PayloadHash};
use storage_write::{RowFailure, SharedDescriptor};

use crate::{
    at_least_once,
    dead_letters::DeadLetter,
    error::LoaderError,
    row::{Content, Incoming, Origin, Place},
    table::{Purpose, Table},
    version::OpenTable,
};

/// Loads the event: appends it with its place in the order of its key. `probe` is the stream's.
pub(crate) async fn load(
    table: &Arc<Table>,
    open: &OpenTable,
    incoming: Incoming,
    upsert: &Upsert,
    probe: &Probe,
) -> Result<Answer, LoaderError> {
    let services = &table.services;
    let Incoming { payload, content, origin, room: _room, .. } = incoming;
    let appended = match encode((&content, payload), &origin, upsert, probe) {
        Ok((row, descriptor)) => at_least_once::traced(table, &origin, open.appender().append(row, descriptor)).await,
        Err(rejection) => Err(RowFailure::Rejected(rejection)),
    };
    let rejection = match appended {
        Ok(()) => {
            services.metrics.written(&origin.stream, origin.since());
            return Ok(Answer::Written);
        }
        Err(RowFailure::Rejected(rejection)) => rejection,
        Err(RowFailure::Overloaded) => return Err(LoaderError::Overloaded),
        Err(RowFailure::Closed) => return Err(LoaderError::Stopping),
        Err(RowFailure::Unavailable(error)) => return Err(at_least_once::unavailable(table, open, error).await),
    };
    let Purpose::Events { dead_letters } = table.purpose() else { return Err(LoaderError::DeadLetter) };
    let outcome = dead_letters.write(DeadLetter { origin, table: Some(open.name.clone()), rejection, payload }).await?;
    Ok(match outcome {
        Outcome::Duplicate => Answer::Duplicate,
        Outcome::Written | Outcome::DeadLettered | Outcome::Retried => Answer::DeadLettered,
    })
}

/// The row, complete, and the descriptor that it is sent under.
fn encode<'a>(
    (content, payload): (&'a Content, PayloadHash),
    origin: &Origin,
    upsert: &Upsert,
    probe: &Probe,
) -> Result<(Bytes, &'a SharedDescriptor), Rejection> {
    let place = Place { write_stream: "", write_offset: None, at: Timestamp::now() };
    let row = content.seal(origin, payload, place)?;
    let encoder = match content {
        Content::Row { version, .. } | Content::DeadLetter { version, .. } => &version.encoder,
        Content::Rejected(rejection) => return Err(rejection.clone()),
    };
    let sequence = upsert.sequence_number(probe, &origin.message)?;
    let mut row = Vec::from(row);
    encoder.encode_upsert(&sequence, &mut row);
    Ok((row.into(), encoder.upsert_descriptor()))
}
