//! `/healthz`, `/readyz` and `/metrics`.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use prometheus::{Registry, TextEncoder};

use crate::{Readiness, problem::Problem};

/// How long a readiness check may take.
const READINESS_LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn router(readiness: Readiness, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry))
}

async fn ready(State(readiness): State<Readiness>) -> Result<&'static str, Problem> {
    let reason = match tokio::time::timeout(READINESS_LIMIT, readiness.check()).await {
        Ok(Ok(())) => return Ok("ready\n"),
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} s", READINESS_LIMIT.as_secs()),
    };
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:pipas:problem:not-ready", "Not ready").detail(reason))
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            Problem::internal().into_response()
        }
    }
}
