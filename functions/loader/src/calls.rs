//! The calls of a table's writer: each ends in an input for the machine, whatever happens.

use std::{sync::Arc, time::Duration};

use catalog::TableName;
use dedupe::LedgerError;
use exactly_once::{CallId, Claim, Claimed, EventKey, Expected, Input, NewState, PayloadHash, State, Want};
use storage_write::{TablesError, WriteStreamName};
use tokio::time::Instant;

use crate::{
    loader::{Services, chain},
    writer::Done,
};

pub(crate) async fn create_stream(services: Arc<Services>, table: TableName) -> Done {
    Done::Input(match services.storage.create_write_stream(&table).await {
        Ok(name) => {
            tracing::info!(%table, write.stream = name.id(), "write stream created");
            Input::StreamCreated { stream: name.id().into() }
        }
        Err(error) => {
            tracing::warn!(%table, error = %chain(&error), "no write stream could be created");
            Input::CreateFailed
        }
    })
}

pub(crate) async fn claim(services: Arc<Services>, call: CallId, wants: Vec<Want>, claim: Claim) -> Done {
    let asked = Instant::now();
    let claimed = known(&services, "claim", asked, services.ledger.claim(&wants, &claim).await);
    Done::Input(match claimed {
        Some(results) => {
            for result in &results {
                services.metrics.claims.with_label_values(&[result_name(result)]).inc();
            }
            Input::Claimed { call, results }
        }
        None => Input::ClaimUnknown { call },
    })
}

pub(crate) async fn settle(
    services: Arc<Services>,
    call: CallId,
    claim: Claim,
    rows: Vec<(EventKey, PayloadHash)>,
    window: Duration,
) -> Done {
    let asked = Instant::now();
    let settled = known(&services, "settle", asked, services.ledger.settle(&rows, &claim, window).await);
    Done::Input(match settled {
        Some(results) => Input::Settled { call, results },
        None => Input::SettleFailed { call },
    })
}

pub(crate) async fn swap(
    services: Arc<Services>,
    call: CallId,
    key: EventKey,
    expected: Expected,
    new: NewState,
) -> Done {
    let asked = Instant::now();
    Done::Input(match known(&services, "swap", asked, services.ledger.swap(&key, &expected, &new).await) {
        Some(result) => Input::Swapped { call, key, result },
        None => Input::SwapUnknown { call, key },
    })
}

/// A table whose streams are fenced.
#[derive(Debug, Clone)]
pub(crate) struct Fenced {
    pub(crate) name: TableName,
    /// The column that says by which stream a row came.
    pub(crate) stream_column: &'static str,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Finalizes the stream: afterwards no append succeeds, and its row count decides every claim that names it.
pub(crate) async fn fence(services: Arc<Services>, table: Fenced, stream: Arc<str>, own: bool) -> Done {
    #[cfg(feature = "unfenced")]
    if services.unfenced {
        return Done::Input(Input::Fenced { stream, rows: 0 });
    }
    let Fenced { name: table, stream_column } = table;
    let name = WriteStreamName::of(&services.project, &table, &stream);
    let owner = if own { "own" } else { "other" };
    let fenced = match services.storage.finalize(&name).await {
        // Expired: it takes no rows any more, and the table says how many it had.
        Err(error) if error.is_not_found() => {
            count(&services, &table, stream_column, &stream).await.map_err(BoxError::from)
        }
        fenced => fenced.map_err(BoxError::from),
    };
    let result = if fenced.is_ok() { "fenced" } else { "failed" };
    services.metrics.fences.with_label_values(&[owner, result]).inc();
    Done::Input(match fenced {
        Ok(rows) => {
            tracing::info!(%table, write.stream = &*stream, write.rows = rows, fence.owner = owner, "write stream fenced");
            Input::Fenced { stream, rows }
        }
        Err(error) => {
            tracing::warn!(%table, write.stream = &*stream, error = %chain(&*error), "a write stream could not be fenced");
            Input::FenceFailed { stream }
        }
    })
}

/// How many rows of the table came by the stream.
async fn count(services: &Services, table: &TableName, column: &str, stream: &str) -> Result<i64, TablesError> {
    // An id is letters, digits, `-` and `_`; anything else is no stream of ours.
    let id: String = stream.chars().filter(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_')).collect();
    let sql = format!("SELECT COUNT(*) FROM `{}.{table}` WHERE {column} = '{id}'", services.project);
    let answer = services.tables.query(&sql).await?;
    let cell = answer.rows.first().and_then(|row| row.first());
    let count = cell.and_then(|cell| cell.as_i64().or_else(|| cell.as_str()?.parse().ok()));
    count.ok_or_else(|| TablesError::Unusable { table: table.clone(), detail: format!("{sql} counts nothing") })
}

fn known<T>(services: &Services, call: &'static str, asked: Instant, result: Result<T, LedgerError>) -> Option<T> {
    services.metrics.ledger_call(call, asked.elapsed(), result.is_ok());
    result.inspect_err(|error| tracing::warn!(ledger.call = call, error = %chain(error), "a ledger call failed")).ok()
}

fn result_name(claimed: &Claimed) -> &'static str {
    match claimed {
        Claimed::Won => "won",
        Claimed::Found(State::Claimed { .. }) => "held",
        Claimed::Found(State::Done { .. }) => "done",
        Claimed::Found(State::Rejecting { .. }) => "rejecting",
        Claimed::Found(State::Rejected { .. }) => "rejected",
    }
}
