//! The push endpoint: decode, route, encode, claim, append, settle, 204.

use std::sync::Arc;

use axum::{
    body::to_bytes,
    extract::{Path, Request, State},
};
use event::{Outcome, attribute};
use http::{HeaderMap, StatusCode, header};
use pubsub::push;
use service::{RequestTrace, TraceContext, chain};

use crate::{error::LoaderError, loader::Inner, metrics::Metrics};

/// Loads one delivery. 204 acks it; anything else has Pub/Sub send it again.
pub(crate) async fn push(
    State(loader): State<Arc<Inner>>,
    path: Option<Path<String>>,
    trace: RequestTrace,
    request: Request,
) -> Result<StatusCode, LoaderError> {
    let loaded = load(&loader, path.as_ref().map(|Path(stream)| stream.as_str()), &trace, request).await;
    match loaded {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            loader.metrics.nacks.with_label_values(&[error.name()]).inc();
            tracing::warn!(reason = error.name(), error = %chain(&error), "a push is not acked");
            Err(error)
        }
    }
}

async fn load(
    loader: &Inner,
    path: Option<&str>,
    trace: &RequestTrace,
    request: Request,
) -> Result<Outcome, LoaderError> {
    let (head, body) = request.into_parts();
    loader.auth.verify_headers(&head.headers).await?;
    let length = length(&head.headers);
    let room = loader.room(length)?;
    let body =
        to_bytes(body, push::MAX_BODY_BYTES).await.map_err(|error| LoaderError::Body { detail: chain(&error) })?;
    let delivery = push::decode(&head.headers, body)?;
    if let Some(parent) = delivery.message.attribute(attribute::TRACEPARENT).and_then(TraceContext::parse) {
        trace.join(parent);
    }
    let stream = loader.stream(path, &delivery.subscription)?;
    let counted = Counted::new(&loader.metrics, &stream.label);
    if loader.stop.is_cancelled() {
        return Err(LoaderError::Stopping);
    }
    // A raw table holds the event as long as its row is written, whatever becomes of the other.
    let raw = stream.raw.iter().map(|_| loader.room(length)).collect::<Result<_, _>>()?;
    let is_redriven = delivery.message.redrive().is_some();
    let outcome = stream.load(delivery, trace.context(), room, raw).await?;
    if is_redriven {
        loader.metrics.redriven.with_label_values(&[&*stream.label]).inc();
    }
    counted.end(outcome);
    Ok(outcome)
}

/// What the body will take up, as its sender says; where it does not, the most that a body may be.
fn length(headers: &HeaderMap) -> usize {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    said.map_or(push::MAX_BODY_BYTES, |said: usize| said.min(push::MAX_BODY_BYTES))
}

/// Counts a delivery once, however its handler ends: without an outcome it will come again.
struct Counted<'a> {
    metrics: &'a Metrics,
    stream: &'a str,
    outcome: Outcome,
}

impl<'a> Counted<'a> {
    fn new(metrics: &'a Metrics, stream: &'a str) -> Self {
        Self { metrics, stream, outcome: Outcome::Retried }
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.delivery(self.stream, self.outcome);
    }
}
