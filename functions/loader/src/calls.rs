//! The calls of a table's writer: each ends in an input for the machine, whatever happens.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use catalog::TableName;
use dedupe::LedgerError;
use exactly_once::{CallId, Claim, Claimed, EventKey, Expected, Input, NewState, PayloadHash, State, Want};
use service::chain;
use tokio::time::Instant;

use crate::{loader::Services, quota::UsedUp, table::Table, writer::Done};

/// How long a write stream that is wanted waits for the ledger to be whole.
const CREATE_PATIENCE: Duration = Duration::from_secs(5);

/// What a write stream is made for: a table, by its name and its epoch, and who knows whether it is still that one.
pub(crate) struct Target {
    pub(crate) table: Weak<Table>,
    pub(crate) name: TableName,
    pub(crate) epoch: i64,
}

/// Makes a write stream and enters it under `generation`. It may be used only if the generation is still that one then, and the
/// table is that of the epoch that its rows' keys name: a stream of a table that was made anew would take events under the keys
/// of the old one, and others would write them once more under those of the new.
pub(crate) async fn create_stream(services: Arc<Services>, target: Target, generation: u64) -> Done {
    let Target { table: opened, name: table, epoch } = target;
    // While the ledger is being made whole, a stream would come too late for its generation.
    match services.generations.whole(&table, CREATE_PATIENCE).await {
        Ok(current) if current == generation => {}
        Ok(_) | Err(_) => return Done::Input(Input::CreateFailed),
    }
    if let Err(UsedUp(quota)) = services.quota.stream(&services).await {
        tracing::error!(%table, quota, "loaders use their whole share of the quota: no write stream is made");
        return Done::Input(Input::CreateFailed);
    }
    let created = match services.storage.create_write_stream(&table).await {
        Ok(name) => {
            services.metrics.write_streams.inc();
            name
        }
        Err(error) => {
            tracing::warn!(%table, error = %chain(&error), "no write stream could be created");
            return Done::Input(Input::CreateFailed);
        }
    };
    let stream = created.id();
    if let Some(registry) = &services.registry {
        let entered = async {
            registry.enter(&table, epoch, stream, generation).await?;
            registry.generation().await
        };
        let is_current = match entered.await {
            Ok(found) => found.is_some_and(|found| found.number == generation),
            Err(error) => {
                tracing::warn!(%table, error = %chain(&error), "a write stream could not be entered");
                return Done::Input(Input::CreateFailed);
            }
        };
        if !is_current {
            tracing::info!(%table, write.stream = stream, "a write stream came too late for its generation");
            services.generations.refused(generation);
            return Done::Input(Input::CreateFailed);
        }
    }
    let Some(opened) = opened.upgrade() else { return Done::Input(Input::CreateFailed) };
    match opened.is_still(epoch).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::info!(%table, write.stream = stream, "a write stream is of a table that was made anew");
            return Done::Input(Input::CreateFailed);
        }
        Err(error) => {
            tracing::warn!(%table, error = %chain(&error), "nobody knows of which table a write stream is");
            return Done::Input(Input::CreateFailed);
        }
    }
    tracing::info!(%table, write.stream = stream, "write stream created");
    Done::Input(Input::StreamCreated { stream: stream.into() })
}

pub(crate) async fn claim(
    services: Arc<Services>,
    call: CallId,
    wants: Vec<Want>,
    claim: Claim,
    generation: u64,
) -> Done {
    let asked = Instant::now();
    let claimed = known(&services, "claim", asked, services.ledger.claim(&wants, &claim, generation).await);
    Done::Input(match claimed {
        Answered::Yes(results) => {
            for result in &results {
                services.metrics.claims.with_label_values(&[result_name(result)]).inc();
            }
            Input::Claimed { call, results }
        }
        Answered::Refused => {
            services.generations.refused(generation);
            Input::EpochRefused { call }
        }
        Answered::Unknown => Input::ClaimUnknown { call },
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
        Answered::Yes(results) => Input::Settled { call, results },
        Answered::Refused | Answered::Unknown => Input::SettleFailed { call },
    })
}

pub(crate) async fn swap(
    services: Arc<Services>,
    call: CallId,
    key: EventKey,
    (expected, new): (Expected, NewState),
    generation: u64,
) -> Done {
    let asked = Instant::now();
    let swapped = services.ledger.swap(&key, &expected, &new, generation).await;
    Done::Input(match known(&services, "swap", asked, swapped) {
        Answered::Yes(result) => Input::Swapped { call, key, result },
        Answered::Refused => {
            services.generations.refused(generation);
            Input::EpochRefused { call }
        }
        Answered::Unknown => Input::SwapUnknown { call, key },
    })
}

/// How a call of the ledger ended.
enum Answered<T> {
    Yes(T),
    /// The ledger is of another generation.
    Refused,
    Unknown,
}

fn known<T>(services: &Services, call: &'static str, asked: Instant, result: Result<T, LedgerError>) -> Answered<T> {
    let is_known = matches!(&result, Ok(_) | Err(LedgerError::Epoch));
    services.metrics.ledger_call(call, asked.elapsed(), is_known);
    services.ledger_health.saw(is_known);
    match result {
        Ok(answer) => Answered::Yes(answer),
        Err(LedgerError::Epoch) => Answered::Refused,
        Err(error) => {
            tracing::warn!(ledger.call = call, error = %chain(&error), "a ledger call failed");
            Answered::Unknown
        }
    }
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
