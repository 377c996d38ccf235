//! Delivery at least once: the table's default stream, and the ledger as far as it answers.

use std::{sync::Arc, time::Duration};

use dedupe::{Expected, NewState};
use event::Timestamp;
use exactly_once::{Answer, Claim, State};
use service::chain;
use storage_write::{AppendError, RowFailure};

use crate::{
    dead_letters::DeadLetter,
    error::LoaderError,
    row::{Incoming, Origin, Place},
    table::{Purpose, Table},
    version::OpenTable,
};

/// The short id of the stream that each table has.
const DEFAULT_STREAM: &str = "_default";

/// Loads the event: looks whether it is known, appends, and remembers it. The ledger is asked, not relied on.
pub(crate) async fn load(
    table: &Arc<Table>,
    open: &OpenTable,
    incoming: Incoming,
    window: Duration,
) -> Result<Answer, LoaderError> {
    let services = &table.services;
    let Incoming { key, payload, content, origin, generation: _, room: _room } = incoming;
    let known = services.ledger.read(&[key]).await;
    services.ledger_health.saw(known.is_ok());
    let mut stands = Expected::Absent;
    match known.map(|mut states| states.pop().flatten()) {
        // A dead letter that was redriven since.
        Ok(Some(State::Rejected { payload: known })) if known.gives_way_to(payload) => {
            stands = Expected::Rejected(known);
        }
        Ok(Some(State::Done { payload: known } | State::Rejected { payload: known })) => {
            return Ok(if known.agrees(payload) { Answer::Duplicate } else { Answer::Conflict });
        }
        Ok(Some(State::Claimed { .. } | State::Rejecting { .. }) | None) => {}
        Err(error) => tracing::warn!(error = %chain(&error), "loading without the ledger"),
    }
    let place = Place { write_stream: "", write_offset: None, at: Timestamp::now() };
    let row = match (content.seal(&origin, payload, place), content.version()) {
        (Ok(row), Some(version)) => Ok((row, version.descriptor())),
        (Ok(_), None) => return Err(LoaderError::Refused),
        (Err(rejection), _) => Err(RowFailure::Rejected(rejection)),
    };
    let appended = match row {
        Ok((row, descriptor)) => traced(table, &origin, open.appender().append(row, descriptor)).await,
        Err(failure) => Err(failure),
    };
    let rejection = match appended {
        Ok(()) => {
            services.metrics.written(&origin.stream, origin.since());
            let claim = Claim { owner: services.owner, write_stream: DEFAULT_STREAM.into(), base_offset: 0 };
            if let Err(error) = services.ledger.settle(&[(key, payload)], &claim, window).await {
                tracing::warn!(error = %chain(&error), "a row that the ledger does not know of");
            }
            return Ok(Answer::Written);
        }
        Err(RowFailure::Rejected(rejection)) => rejection,
        Err(RowFailure::Overloaded) => return Err(LoaderError::Overloaded),
        Err(RowFailure::Closed) => return Err(LoaderError::Stopping),
        Err(RowFailure::Unavailable(error)) => return Err(unavailable(table, open, error).await),
    };
    let Purpose::Events { dead_letters } = table.purpose() else { return Err(LoaderError::DeadLetter) };
    let outcome = dead_letters.write(DeadLetter { origin, table: Some(open.name.clone()), rejection, payload }).await?;
    let rejected = NewState::Rejected { payload, window };
    if let Err(error) = services.ledger.swap(&key, &stands, &rejected, 0).await {
        tracing::warn!(error = %chain(&error), "a dead letter that the ledger does not know of");
    }
    Ok(match outcome {
        event::Outcome::Duplicate => Answer::Duplicate,
        _ => Answer::DeadLettered,
    })
}

/// Appends to the default stream, and shows it in the event's trace.
pub(crate) async fn traced<T>(
    table: &Table,
    origin: &Origin,
    append: impl Future<Output = Result<T, RowFailure>>,
) -> Result<T, RowFailure> {
    let place = Place { write_stream: DEFAULT_STREAM, write_offset: None, at: Timestamp::now() };
    let span = origin.appending(&table.name, 1, place);
    let appended = append.await;
    match &appended {
        Ok(_) => span.end(Ok(())),
        Err(failure) => span.end(Err(&failure.to_string())),
    }
    appended
}

/// What a delivery is told whose append failed for now; the table may not be what it was.
pub(crate) async fn unavailable(table: &Table, open: &OpenTable, error: AppendError) -> LoaderError {
    tracing::warn!(table = %open.name, error = %chain(&error), "an append failed");
    table.look_again(open.epoch).await;
    match error {
        AppendError::ResourceExhausted(_) => LoaderError::Exhausted,
        AppendError::Permanent(_) | AppendError::RowErrors(_) => LoaderError::Refused,
        AppendError::AlreadyExists(_)
        | AppendError::Ambiguous { .. }
        | AppendError::SchemaMismatchExtraFields(_)
        | AppendError::StreamGone(_)
        | AppendError::OutOfRange(_) => LoaderError::Undecided,
    }
}
