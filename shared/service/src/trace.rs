use http::HeaderMap;

/// The trace that a request belongs to: W3C Trace Context, or Google's older header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 lower-case hexadecimal digits.
    pub trace_id: String,
    /// 16 lower-case hexadecimal digits.
    pub span_id: String,
    /// Whether the trace is recorded.
    pub sampled: bool,
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
        if !well_formed || !id(trace_id, 32) || !id(span_id, 16) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id: trace_id.into(), span_id: span_id.into(), sampled })
    }

    /// Parses `TRACE_ID/SPAN_ID;o=1`, the span as a decimal number.
    fn parse_google(header: &str) -> Option<Self> {
        let (trace_id, rest) = header.trim().split_once('/').unwrap_or((header.trim(), "0"));
        let (span, options) = rest.split_once(';').unwrap_or((rest, ""));
        let trace_id = trace_id.to_ascii_lowercase();
        if !id(&trace_id, 32) {
            return None;
        }
        Some(Self {
            trace_id,
            span_id: format!("{:016x}", span.parse::<u64>().ok()?),
            sampled: options.contains("o=1"),
        })
    }
}

fn hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn id(text: &str, digits: usize) -> bool {
    hex(text, digits) && text.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_are_read() {
        let w3c = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("well-formed");
        assert_eq!((w3c.span_id.as_str(), w3c.sampled), ("00f067aa0ba902b7", true));
        let google = TraceContext::parse_google("105445aa7843bc8bf206b12000100000/1;o=1").expect("well-formed");
        assert_eq!((google.span_id.as_str(), google.sampled), ("0000000000000001", true));
        assert_eq!(google.trace_id, "105445aa7843bc8bf206b12000100000");
    }

    #[test]
    fn malformed_headers_are_no_trace() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        assert_eq!(TraceContext::parse_google("x/y"), None);
    }
}
