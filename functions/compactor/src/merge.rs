//! `POST /compact?merge=true`: an hour's small objects into large ones, and the sweep.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use archive::{Broom, MergeError, Swept, entries, merge, plan, sweep};
use catalog::Stream;
use event::Timestamp;
use futures::{StreamExt, stream};
use service::chain;

use crate::{
    Compactor,
    report::{MergeReport, MergedObject, State},
};

/// How far a pass looks back: a message is no older than Pub/Sub keeps it, which is seven days unless the subscription says
/// otherwise; `from` looks back further.
const LOOK_BACK: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// An hour is over for a merge so long after its end: a run of the compactor has its last messages by then.
const SETTLED: Duration = Duration::from_secs(600);
/// Streams whose objects are merged at once.
const STREAMS: usize = 2;

/// What a pass looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// Hours from this time on; `None`: as far back as messages come.
    pub(crate) from: Option<Timestamp>,
    /// Also hours that are not over. What comes late to them is merged the next time.
    pub(crate) open: bool,
}

impl Compactor {
    /// Merges the objects of the streams, some streams at a time.
    pub(crate) async fn merge(&self, streams: Vec<String>, scope: Scope) -> BTreeMap<String, MergeReport> {
        let reports = stream::iter(streams).map(async |name| {
            let report = match (self.catalog.streams.get(&name), self.turns.take(&format!("merge of {name}"))) {
                (None, _) => MergeReport::empty(State::Merged),
                (_, None) => MergeReport::empty(State::AlreadyRunning),
                (Some(stream), Some(_turn)) => self.merge_one(stream, scope).await,
            };
            self.metrics.merged(&name, &report);
            (name, report)
        });
        reports.buffer_unordered(STREAMS).collect().await
    }

    async fn merge_one(&self, stream: &Stream, scope: Scope) -> MergeReport {
        let begun = Instant::now();
        let mut report = MergeReport::empty(State::Merged);
        if let Err(error) = self.merge_all(stream, scope, &mut report).await {
            report.errors.push(chain(&error));
        }
        match self.sweep(stream, scope).await {
            Ok(swept) => report.swept = swept,
            Err(error) => report.errors.push(chain(&error)),
        }
        if !report.errors.is_empty() {
            report.state = State::Failed;
        }
        report.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        for error in &report.errors {
            tracing::error!(stream = stream.name, error, "the archive was not merged");
        }
        tracing::info!(
            stream = stream.name,
            state = report.state.name(),
            objects = report.merged.len(),
            swept.objects = report.swept.replaced + report.swept.orphans,
            swept.bytes = report.swept.bytes,
            merge.duration_ms = report.duration_ms,
            "merged"
        );
        report
    }

    /// Merges what can be. A set that cannot is told, and the others are merged all the same.
    async fn merge_all(&self, stream: &Stream, scope: Scope, report: &mut MergeReport) -> Result<(), MergeError> {
        let (begun, limit) = (Instant::now(), Duration::from_secs(stream.archive.compact.max_seconds));
        let now = Timestamp::now();
        let closed_at = if scope.open { Timestamp::MAX } else { now.checked_sub(SETTLED).unwrap_or(now) };
        let found = entries(&self.store, &stream.name, Some(scope.since(now)), None).await?;
        for set in plan(found, stream.archive.merge.target_bytes, closed_at) {
            if self.stopping.is_cancelled() {
                report.state = State::Stopped;
                break;
            }
            if begun.elapsed() >= limit {
                report.state = State::BudgetSpent;
                break;
            }
            match merge(&self.store, &set, stream.archive.codec).await {
                Ok(None) => {} // another was quicker
                Ok(Some(entry)) => report.merged.push(MergedObject {
                    name: entry.object,
                    of: set.len(),
                    messages: entry.records,
                    bytes: entry.bytes,
                }),
                Err(error) => report.errors.push(chain(&error)),
            }
        }
        Ok(())
    }

    async fn sweep(&self, stream: &Stream, scope: Scope) -> Result<Swept, MergeError> {
        let now = Timestamp::now();
        let prefix = stream.archive.layout.prefix(&stream.name);
        let grace = stream.archive.merge.grace;
        let from = Some(scope.since(now).checked_sub(grace).unwrap_or(Timestamp::MIN));
        Ok(sweep(&self.store, &Broom { stream: &stream.name, prefix: &prefix, from, now, grace }).await?)
    }
}

impl Scope {
    fn since(self, now: Timestamp) -> Timestamp {
        self.from.unwrap_or_else(|| now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN))
    }
}
