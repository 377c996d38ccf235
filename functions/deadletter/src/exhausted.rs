//! The push endpoint: decode, give up, 204.

use std::sync::Arc;

use axum::{
    body::to_bytes,
    extract::{Path, Request, State},
};
use event::{Outcome, attribute};
use http::StatusCode;
use loader::LoaderError;
use pubsub::push;
use service::{RequestTrace, TraceContext, chain};

use crate::{Inner, message::Exhausted};

/// What ends the id of a stream's loader subscription, and of its dead-letter subscription.
const SUFFIXES: [&str; 2] = ["-loader", "-dead-letter"];

/// Takes one message of a dead-letter topic. 204 acks it; anything else has Pub/Sub send it again.
pub(crate) async fn post(
    State(inner): State<Arc<Inner>>,
    path: Option<Path<String>>,
    trace: RequestTrace,
    request: Request,
) -> Result<StatusCode, LoaderError> {
    match take(&inner, path.map(|Path(stream)| stream), &trace, request).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            inner.metrics.nacks.with_label_values(&[error.name()]).inc();
            tracing::warn!(reason = error.name(), error = %chain(&error), "a push is not acked");
            Err(error)
        }
    }
}

async fn take(
    inner: &Inner,
    path: Option<String>,
    trace: &RequestTrace,
    request: Request,
) -> Result<Outcome, LoaderError> {
    let (head, body) = request.into_parts();
    inner.loader.verify(&head.headers).await?;
    let body =
        to_bytes(body, push::MAX_BODY_BYTES).await.map_err(|error| LoaderError::Body { detail: chain(&error) })?;
    let Exhausted { source, delivery } = Exhausted::read(push::decode(&head.headers, body)?);
    if let Some(parent) = delivery.message.attribute(attribute::TRACEPARENT).and_then(TraceContext::parse) {
        trace.join(parent);
    }
    let subscription = source.as_deref().or(delivery.subscription.rsplit('/').next()).unwrap_or_default();
    let stream = path.unwrap_or_else(|| stream_of(subscription).to_owned());
    let counted = Counted { inner, stream: &stream, outcome: Outcome::Retried };
    let is_redriven = delivery.message.redrive().is_some();
    let outcome = inner.loader.give_up(&stream, delivery, trace.context()).await?;
    if is_redriven {
        inner.metrics.redriven.with_label_values(&[&stream]).inc();
    }
    counted.end(outcome);
    Ok(outcome)
}

/// The stream whose subscription it is.
fn stream_of(subscription: &str) -> &str {
    SUFFIXES.iter().find_map(|suffix| subscription.strip_suffix(suffix)).unwrap_or(subscription)
}

/// Counts a delivery of a known stream once, however its handler ends: without an outcome it will come again.
struct Counted<'a> {
    inner: &'a Inner,
    stream: &'a str,
    outcome: Outcome,
}

impl Counted<'_> {
    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.inner.loader.streams().any(|stream| stream == self.stream) {
            self.inner.metrics.delivery(self.stream, self.outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_subscriptions_name_the_stream() {
        for name in ["orders-loader", "orders-dead-letter", "orders"] {
            assert_eq!(stream_of(name), "orders");
        }
    }
}
