//! One append of gathered rows, until the fate of each is known.

use std::time::Duration;

use event::{Reason, Rejection};
use tokio::time::Instant;

use super::{QueuedRow, RowFailure};
use rows::{LiveEncoder, SharedDescriptor};

use crate::{
    client::WriteStreamName,
    connection::{AppendRequest, Appended, Connection},
    error::{AppendError, Fault, RowError},
};

/// Waits between attempts: this, doubled each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Where a quota is used up, waits begin here: it refills in about ten seconds.
const QUOTA_BACKOFF: Duration = Duration::from_secs(1);

/// Rows that go out together.
pub(super) struct Batch {
    pub(super) rows: Vec<QueuedRow>,
    pub(super) descriptor: Option<SharedDescriptor>,
}

/// Where rows go, and for how long they are tried.
pub(super) struct Delivery {
    pub(super) connection: Connection,
    pub(super) stream: WriteStreamName,
    pub(super) encoder: LiveEncoder,
    pub(super) retry_for: Duration,
}

/// What is left to do after an attempt.
enum Next {
    Done,
    /// Send the rest at once.
    Resend,
    /// The request as a whole was refused for what it holds: send each half by itself.
    Halve(AppendError),
    /// Send the rest after a pause.
    Retry(AppendError),
    /// Nothing more can be done for these rows now.
    GiveUp(AppendError),
}

impl Delivery {
    pub(super) async fn deliver(&self, batch: Batch) {
        let Batch { rows, descriptor: Some(descriptor) } = batch else { return };
        let deadline = Instant::now() + self.retry_for;
        let mut parts = vec![rows];
        while let Some(rows) = parts.pop() {
            if let Some((first, second)) = self.deliver_part(rows, &descriptor, deadline).await {
                parts.extend([second, first]);
            }
        }
    }

    /// Delivers rows in one request, tried again as long as it takes; the answer is its halves, where they must go apart.
    async fn deliver_part(
        &self,
        mut rows: Vec<QueuedRow>,
        descriptor: &SharedDescriptor,
        deadline: Instant,
    ) -> Option<(Vec<QueuedRow>, Vec<QueuedRow>)> {
        let mut backoff = FIRST_BACKOFF;
        while !rows.is_empty() {
            let request = AppendRequest {
                stream: self.stream.clone(),
                offset: None,
                rows: rows.iter().map(|row| row.bytes.clone()).collect(),
                descriptor: descriptor.clone(),
            };
            let error = match self.after(self.connection.append(request).await, &mut rows) {
                Next::Done => return None,
                Next::Resend => continue,
                Next::Halve(error) if Instant::now() >= deadline => error,
                Next::Halve(error) => {
                    tracing::debug!(append.stream = %self.stream, append.rows = rows.len(), error = %error, "an append goes in halves");
                    let second = rows.split_off(rows.len() / 2);
                    return Some((rows, second));
                }
                Next::Retry(error) => error,
                Next::GiveUp(error) => {
                    give_up(rows, &error);
                    return None;
                }
            };
            if matches!(error, AppendError::ResourceExhausted(_)) {
                backoff = backoff.max(QUOTA_BACKOFF);
            }
            if Instant::now() + backoff >= deadline {
                give_up(rows, &error);
                return None;
            }
            tracing::debug!(append.stream = %self.stream, append.rows = rows.len(), error = %error, "an append is tried again");
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
        None
    }

    /// Settles the rows whose fate `result` tells, and says what is left to do. One exhaustive match decides.
    fn after(&self, result: Result<Appended, AppendError>, rows: &mut Vec<QueuedRow>) -> Next {
        let error = match result {
            Ok(appended) => {
                if let Some(schema) = &appended.updated_schema {
                    self.learn(schema);
                }
                rows.drain(..).for_each(|row| row.settle(Ok(())));
                return Next::Done;
            }
            Err(error) => error,
        };
        match error {
            AppendError::RowErrors(bad) => split_off(rows, &bad),
            AppendError::Ambiguous { .. }
            | AppendError::ResourceExhausted(_)
            | AppendError::SchemaMismatchExtraFields(_)
            | AppendError::StreamGone(_) => Next::Retry(error),
            // Which row is at fault is not said; only a row that was refused by itself is known to be.
            AppendError::Permanent(fault) if fault.is_of_the_request() => refused(rows, fault),
            // Offsets are not for default streams, and a refused request is refused again.
            AppendError::AlreadyExists(_) | AppendError::OutOfRange(_) | AppendError::Permanent(_) => {
                Next::GiveUp(error)
            }
        }
    }

    fn learn(&self, schema: &catalog::TableSchema) {
        match self.encoder.update(schema) {
            Ok(true) => tracing::info!(append.stream = %self.stream, "the table's schema has grown"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(append.stream = %self.stream, error = %error, "the table's new schema cannot be written");
            }
        }
    }
}

/// Settles the bad rows and keeps the rest.
fn split_off(rows: &mut Vec<QueuedRow>, bad: &[RowError]) -> Next {
    let before = rows.len();
    let all = std::mem::take(rows);
    for (index, row) in all.into_iter().enumerate() {
        match bad.iter().find(|error| error.index == index) {
            Some(error) => row.settle(Err(RowFailure::Rejected(Rejection::new(Reason::RowRejected, &error.message)))),
            None => rows.push(row),
        }
    }
    if rows.is_empty() {
        Next::Done
    } else if rows.len() < before {
        Next::Resend
    } else {
        // Row errors that name no row of the request: nothing tells the good from the bad.
        Next::GiveUp(AppendError::RowErrors(bad.to_vec()))
    }
}

/// A lone row is rejected; of several none is known to be bad.
fn refused(rows: &mut Vec<QueuedRow>, fault: Fault) -> Next {
    if rows.len() > 1 {
        return Next::Halve(AppendError::Permanent(fault));
    }
    let rejection = Rejection::new(Reason::RowRejected, fault.message);
    rows.drain(..).for_each(|row| row.settle(Err(RowFailure::Rejected(rejection.clone()))));
    Next::Done
}

fn give_up(rows: Vec<QueuedRow>, error: &AppendError) {
    tracing::warn!(append.rows = rows.len(), error = %error, "rows could not be appended");
    for row in rows {
        row.settle(Err(RowFailure::Unavailable(error.clone())));
    }
}
