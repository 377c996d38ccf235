//! `POST /compact`: the trigger of Cloud Scheduler.

use std::{collections::BTreeMap, time::Instant};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use event::Timestamp;
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use service::chain;

use crate::{
    Compactor,
    drain::{Bounds, drain},
    error::CompactorError,
    merge::Scope,
    object::Place,
    report::{self, StreamReport},
};

/// Streams that are drained at once.
const STREAMS: usize = 4;

#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    stream: Option<String>,
    /// Merges, and does not drain.
    #[serde(default)]
    merge: bool,
    /// Merges hours that are not over, too.
    #[serde(default)]
    open: bool,
    /// Merges hours from this time on, however long ago.
    from: Option<Timestamp>,
}

/// Drains one stream or all, or merges their objects. 200 with a report by stream; 500 with the same report where a stream failed.
pub(crate) async fn post(
    State(compactor): State<Compactor>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, CompactorError> {
    compactor.auth.verify_headers(&headers).await?;
    let Query(parameters) = parameters?;
    let streams = compactor.streams(parameters.stream)?;
    // A task of its own: a trigger that no longer waits does not tear the objects apart that are under way.
    let tasks = compactor.tasks.clone();
    if parameters.merge {
        let scope = Scope { from: parameters.from, open: parameters.open };
        let running = tasks.spawn(async move { compactor.merge(streams, scope).await });
        let report = running.await.map_err(|_| CompactorError::Lost)?;
        return Ok(answer(&report, |stream| stream.state));
    }
    let running = tasks.spawn(async move { compactor.run(streams).await });
    let report = running.await.map_err(|_| CompactorError::Lost)?;
    Ok(answer(&report, |stream| stream.state))
}

fn answer<R: Serialize>(report: &BTreeMap<String, R>, state: impl Fn(&R) -> report::State) -> Response {
    let has_failed = report.values().any(|stream| state(stream) == report::State::Failed);
    let status = if has_failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    (status, Json(report)).into_response()
}

impl Compactor {
    /// The stream that was asked for, or all.
    fn streams(&self, asked: Option<String>) -> Result<Vec<String>, CompactorError> {
        let all = || self.catalog.streams.keys().cloned().collect();
        match asked.filter(|stream| !stream.is_empty()) {
            None => Ok(all()),
            Some(stream) if self.catalog.streams.contains_key(&stream) => Ok(vec![stream]),
            Some(stream) => {
                let stream = stream.chars().take(100).collect();
                Err(CompactorError::UnknownStream { stream, streams: all() })
            }
        }
    }

    /// Drains the streams, some at a time.
    async fn run(&self, streams: Vec<String>) -> BTreeMap<String, StreamReport> {
        let reports = stream::iter(streams).map(async |stream| {
            let report = self.run_one(&stream).await;
            self.metrics.ran(&stream, &report);
            (stream, report)
        });
        reports.buffer_unordered(STREAMS).collect().await
    }

    async fn run_one(&self, name: &str) -> StreamReport {
        let Some(stream) = self.catalog.streams.get(name) else { return StreamReport::empty(report::State::Drained) };
        let Some(_turn) = self.turns.take(name) else { return StreamReport::empty(report::State::AlreadyRunning) };
        let subscription = stream.archive_subscription();
        let subscription_name = self.pubsub.config().subscription(&subscription);
        let place = Place { store: &self.store, stream, subscription: subscription_name };
        let bounds = Bounds {
            budgets: &stream.archive.compact,
            idle: self.idle,
            ack_deadline: self.ack_deadline,
            stopping: &self.stopping,
        };
        let begun = Instant::now();
        let mut report = StreamReport::empty(report::State::Drained);
        let mut archived = |object| {
            self.metrics.archived(name, &object);
            report.add(object);
        };
        let ended = drain(&self.pubsub, &subscription, (&place, &bounds), &mut archived).await;
        match ended {
            Ok((state, landed)) => {
                report.state = state;
                report.landed = landed;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(stream = name, error, "the stream was not archived");
                report.state = report::State::Failed;
                report.error = Some(error);
            }
        }
        report.backlog_left = report.state != report::State::Drained;
        report.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            stream = name,
            state = report.state.name(),
            messages = report.messages,
            message.bytes = report.bytes,
            objects = report.objects.len(),
            run.duration_ms = report.duration_ms,
            "compacted"
        );
        report
    }
}
