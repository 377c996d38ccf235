use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock},
};

use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};

use crate::otlp;

/// A place in a trace: W3C Trace Context, or Google's older header. Its `Display` is a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    is_sampled: bool,
}

impl TraceContext {
    /// From `traceparent`, else `X-Cloud-Trace-Context`; `None` where neither is well-formed.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name)?.to_str().ok();
        text("traceparent").and_then(Self::parse).or_else(|| text("x-cloud-trace-context").and_then(Self::parse_google))
    }

    /// Parses a `traceparent` (<https://www.w3.org/TR/trace-context/>).
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let ends_here = parts.next().is_none();
        let well_formed = hex(version, 2) && version != "ff" && (version != "00" || ends_here) && hex(flags, 2);
        if !well_formed || !hex(trace_id, 32) || !hex(span_id, 16) {
            return None;
        }
        let found = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (found.trace_id != 0 && found.span_id != 0).then_some(found)
    }

    /// Parses `TRACE_ID/SPAN_ID;o=1`, the span as a decimal number.
    fn parse_google(header: &str) -> Option<Self> {
        let (trace_id, rest) = header.trim().split_once('/').unwrap_or((header.trim(), "0"));
        let (span, options) = rest.split_once(';').unwrap_or((rest, ""));
        let trace_id = trace_id.to_ascii_lowercase();
        if !hex(&trace_id, 32) {
            return None;
        }
        let trace_id = u128::from_str_radix(&trace_id, 16).ok().filter(|id| *id != 0)?;
        Some(Self { trace_id, span_id: span.parse().ok()?, is_sampled: options.contains("o=1") })
    }

    /// The first span of a new trace.
    pub fn root() -> Self {
        let trace_id = rand::random::<u128>().max(1);
        Self { trace_id, span_id: new_span_id(), is_sampled: otlp::is_sampled(None, trace_id) }
    }

    /// A new span below this one.
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), is_sampled: otlp::is_sampled(Some(self.is_sampled), self.trace_id), ..self }
    }

    /// 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// 16 lower-case hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// The ids as OTLP carries them. Google's header may name no span.
    pub(crate) fn ids(&self) -> (Vec<u8>, Vec<u8>) {
        let span = if self.span_id == 0 { Vec::new() } else { self.span_id.to_be_bytes().to_vec() };
        (self.trace_id.to_be_bytes().to_vec(), span)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

fn hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The span of a request, as its handler sees it.
#[derive(Debug, Clone)]
pub struct RequestTrace {
    placed: Placed,
    joined: Arc<OnceLock<Placed>>,
}

/// A span and what it stands below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<TraceContext>,
}

impl Placed {
    fn below(parent: Option<TraceContext>) -> Self {
        Self { context: parent.map_or_else(TraceContext::root, TraceContext::child), parent }
    }
}

impl RequestTrace {
    /// The span of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self { placed: Placed::below(TraceContext::from_headers(headers)), joined: Arc::default() }
    }

    /// The request's span: what a span below it, or a message, names as its parent.
    pub fn context(&self) -> TraceContext {
        self.placed().context
    }

    /// Puts the request below `parent`, which its body named: a push belongs to the trace of its message, not to one of its own.
    /// The first parent counts.
    pub fn join(&self, parent: TraceContext) {
        if self.joined.set(Placed::below(Some(parent))).is_ok() {
            self.log_into(&tracing::Span::current());
        }
    }

    pub(crate) fn placed(&self) -> Placed {
        self.joined.get().copied().unwrap_or(self.placed)
    }

    /// What the request's span would have been had it not joined another trace.
    pub(crate) fn left(&self) -> Option<TraceContext> {
        self.joined.get().map(|_| self.placed.parent.unwrap_or(self.placed.context))
    }

    /// Has what is logged in `span` name the trace.
    pub(crate) fn log_into(&self, span: &tracing::Span) {
        if span.is_disabled() {
            return;
        }
        let context = self.context();
        span.record("trace.id", context.trace_id())
            .record("trace.span_id", context.span_id())
            .record("trace.sampled", context.is_sampled());
    }
}

impl<S: Sync> FromRequestParts<S> for RequestTrace {
    type Rejection = Infallible;

    /// The shim's; outside of it, as in a test of a router, one of the headers.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_are_read() {
        let w3c = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("well-formed");
        assert_eq!((w3c.span_id().as_str(), w3c.is_sampled()), ("00f067aa0ba902b7", true));
        assert_eq!(w3c.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let google = TraceContext::parse_google("105445aa7843bc8bf206b12000100000/1;o=1").expect("well-formed");
        assert_eq!((google.span_id().as_str(), google.is_sampled()), ("0000000000000001", true));
        assert_eq!(google.trace_id(), "105445aa7843bc8bf206b12000100000");
    }

    #[test]
    fn malformed_headers_are_no_trace() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        assert_eq!(TraceContext::parse_google("x/y"), None);
    }

    #[test]
    fn a_request_joins_the_trace_of_its_message_once() {
        let message = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("a parent");
        let request = RequestTrace::of(&HeaderMap::new());
        let own = request.context();
        assert_eq!(request.left(), None);
        request.join(message);
        request.join(own);
        assert_eq!(request.context().trace_id(), message.trace_id());
        assert_ne!(request.context().span_id(), message.span_id());
        assert_eq!((request.placed().parent, request.left()), (Some(message), Some(own)));
    }
}
