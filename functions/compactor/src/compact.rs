//! `POST /compact`: the trigger of Cloud Scheduler.

use std::{collections::BTreeMap, time::Instant};

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::{
    Compactor,
    drain::{Bounds, drain},
    error::{CompactorError, chain},
    object::Place,
    report::{self, StreamReport},
};

/// Streams that are drained at once.
const STREAMS: usize = 4;

#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    stream: Option<String>,
}

/// Drains one stream or all. 200 with a report by stream; 500 with the same report where a stream failed.
pub(crate) async fn post(
    State(compactor): State<Compactor>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Response, CompactorError> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    compactor.auth.verify(authorization).await?;
    let streams = compactor.streams(parameters.stream)?;
    // A task of its own: a trigger that no longer waits does not tear the objects apart that are under way.
    let tasks = compactor.tasks.clone();
    let running = tasks.spawn(async move { compactor.run(streams).await });
    let report = running.await.map_err(|_| CompactorError::Lost)?;
    let has_failed = report.values().any(|stream| stream.state == report::State::Failed);
    let status = if has_failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    Ok((status, Json(report)).into_response())
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
        let settings = &self.catalog.archive;
        let place = Place {
            store: &self.store,
            stream: name,
            subscription: self.pubsub.config().subscription(&subscription),
            codec: settings.codec,
        };
        let bounds = Bounds { settings, idle: self.idle, stopping: &self.stopping };
        let begun = Instant::now();
        let mut report = StreamReport::empty(report::State::Drained);
        let mut archived = |object| {
            self.metrics.archived(name, &object);
            report.add(object);
        };
        let ended = drain(&self.pubsub, &subscription, (&place, &bounds), &mut archived).await;
        match ended {
            Ok(state) => report.state = state,
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
