//! Spans as OTLP writes them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status},
};

use super::nanoseconds;
use crate::span::{Attribute, Recording, SpanKind};

/// The request that carries `spans`, by function.
pub(super) fn request(spans: Vec<Recording>, resource: impl Fn(&'static str) -> Resource) -> ExportTraceServiceRequest {
    let mut by_service: BTreeMap<&'static str, Vec<Span>> = BTreeMap::new();
    for span in spans {
        by_service.entry(span.service).or_default().push(written(span));
    }
    let resource_spans = by_service.into_iter().map(|(service, spans)| ResourceSpans {
        resource: Some(resource(service)),
        scope_spans: vec![ScopeSpans { scope: Some(scope(service)), spans, schema_url: String::new() }],
        schema_url: String::new(),
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

pub(super) fn scope(service: &str) -> InstrumentationScope {
    InstrumentationScope { name: format!("pipas.{service}"), ..InstrumentationScope::default() }
}

pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, any_value::Value::StringValue(value.into()))
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn written(span: Recording) -> Span {
    let (trace_id, span_id) = span.context.ids();
    let (start, took) = (nanoseconds(span.start), span.took);
    Span {
        trace_id,
        span_id,
        parent_span_id: span.parent.map(|parent| parent.ids().1).unwrap_or_default(),
        flags: u32::from(span.context.is_sampled()),
        name: span.name,
        kind: match span.kind {
            SpanKind::Server => span::SpanKind::Server,
            SpanKind::Client => span::SpanKind::Client,
            SpanKind::Producer => span::SpanKind::Producer,
        }
        .into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
        attributes: span
            .attributes
            .into_iter()
            .map(|(key, value)| match value {
                Attribute::Text(value) => text(key, value),
                Attribute::Number(value) => pair(key, any_value::Value::IntValue(value)),
            })
            .collect(),
        links: span.link.map(link).into_iter().collect(),
        status: span.error.map(|message| Status { message, code: status::StatusCode::Error.into() }),
        ..Span::default()
    }
}

fn link(to: crate::TraceContext) -> span::Link {
    let (trace_id, span_id) = to.ids();
    span::Link { trace_id, span_id, flags: u32::from(to.is_sampled()), ..span::Link::default() }
}
