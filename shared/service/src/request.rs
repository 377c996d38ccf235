//! What surrounds every request: its id, its span, its duration, and a 500 for a panic.

use std::{
    any::Any,
    time::{Instant, SystemTime},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method};
use tracing::{Instrument, field::Empty};

use crate::{RequestTrace, SpanKind, metrics::RequestMetrics, otlp, problem::Problem, span::Recording};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) service: &'static str,
    pub(crate) metrics: RequestMetrics,
}

/// Runs the request in its span, and notes how it ended.
pub(crate) async fn observe(State(observed): State<Observed>, mut request: Request, next: Next) -> Response {
    let (start, started) = (SystemTime::now(), Instant::now());
    let id = request_id(&request);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method_label(request.method());
    let span = tracing::info_span!(
        "request",
        service = observed.service,
        http.method = method,
        http.path = request.uri().path(),
        http.status = Empty,
        request.id = id.to_str().unwrap_or_default(),
        request.duration_ms = Empty,
        trace.id = Empty,
        trace.span_id = Empty,
        trace.sampled = Empty,
    );
    let trace = RequestTrace::of(request.headers());
    trace.log_into(&span);
    request.extensions_mut().insert(trace.clone());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, elapsed) = (response.status(), started.elapsed());
    span.record("http.status", status.as_u16()).record("request.duration_ms", elapsed.as_secs_f64() * 1000.0);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    observed.metrics.observe(route, method, status.as_u16(), elapsed.as_secs_f64());
    if otlp::records(trace.context()) {
        let placed = trace.placed();
        otlp::export(Recording {
            service: observed.service,
            name: format!("{method} {route}"),
            kind: SpanKind::Server,
            context: placed.context,
            parent: placed.parent,
            link: trace.left(),
            start,
            took: elapsed,
            attributes: vec![
                ("http.request.method", method.into()),
                ("http.route", route.into()),
                ("http.response.status_code", status.as_u16().into()),
            ],
            error: status.is_server_error().then(|| status.to_string()),
        });
    }
    // Whoever refused it has logged why; this is the request's own line, wanted when someone looks for it.
    span.in_scope(|| tracing::debug!("request"));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The answer to a request whose handler panicked. The fault is logged here and not shown.
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic.message = message, "a handler panicked");
    Problem::internal().into_response()
}

/// The caller's request id where it is a short printable one, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let printable =
        |value: &&HeaderValue| value.len() <= 128 && value.to_str().is_ok_and(|text| !text.trim().is_empty());
    request.headers().get(&REQUEST_ID).filter(printable).cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&uuid::Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// The method as a label: a bounded set, whatever a client writes.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
