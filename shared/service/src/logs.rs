//! Logs: one line of JSON in Cloud Logging's fields an event, or readable lines on a terminal.
//! <https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields>

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{EnvFilter, Layer, layer::Context, prelude::*, registry::LookupSpan};

/// Installs the process's log subscriber, unless one is installed. `RUST_LOG` filters; the default is `info`.
pub fn install(service: &'static str, project: Option<&str>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    // Fails where a subscriber is installed, which then is the one that counts.
    let _ = if io::stdout().is_terminal() {
        registry.with(tracing_subscriber::fmt::layer().with_target(false).with_writer(io::stderr)).try_init()
    } else {
        registry.with(CloudLogging { service, project: project.map(str::to_owned), write: io::stdout }).try_init()
    };
}

/// Writes each event as one JSON object on one line.
struct CloudLogging<W> {
    service: &'static str,
    project: Option<String>,
    write: fn() -> W,
}

/// Fields that are labels too, by which Cloud Logging finds entries quickly.
const LABELS: [&str; 3] = ["stream", "table", "reason"];

/// A span's fields, kept until its events are written.
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for CloudLogging<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Collect(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(Fields(fields)) = span.extensions_mut().get_mut()
        {
            values.record(&mut Collect(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        for span in context.event_scope(event).into_iter().flatten().collect::<Vec<_>>().into_iter().rev() {
            if let Some(Fields(of_span)) = span.extensions().get() {
                fields.extend(of_span.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        event.record(&mut Collect(&mut fields));
        let metadata = event.metadata();
        let mut entry = self.entry(*metadata.level(), metadata.target(), Timestamp::now(), fields);
        if *metadata.level() <= Level::WARN
            && let (Some(file), Some(line)) = (metadata.file(), metadata.line())
        {
            entry["logging.googleapis.com/sourceLocation"] = json!({ "file": file, "line": line.to_string() });
        }
        let mut line = entry.to_string();
        line.push('\n');
        // There is nowhere to say that the log cannot be written.
        let _ = (self.write)().write_all(line.as_bytes());
    }
}

impl<W> CloudLogging<W> {
    fn entry(&self, level: Level, target: &str, now: Timestamp, mut fields: Map<String, Value>) -> Value {
        let trace = fields.remove("trace.id");
        let (span, sampled) = (fields.remove("trace.span_id"), fields.remove("trace.sampled"));
        let service = fields.remove("service").unwrap_or_else(|| self.service.into());
        let message = fields.remove("message").unwrap_or_default();
        let mut labels = json!({ "service": service });
        for name in LABELS {
            if let Some(value @ Value::String(_)) = fields.get(name) {
                labels[name] = value.clone();
            }
        }
        let mut entry = json!({
            "severity": severity(level),
            "time": format!("{now:.6}"),
            "message": message,
            "target": target,
            "logging.googleapis.com/labels": labels,
        });
        if let Some(request) = http_request(&mut fields) {
            entry["httpRequest"] = request;
        }
        if let (Some(Value::String(trace)), Some(project)) = (trace, &self.project) {
            entry["logging.googleapis.com/trace"] = format!("projects/{project}/traces/{trace}").into();
            entry["logging.googleapis.com/spanId"] = span.unwrap_or_default();
            entry["logging.googleapis.com/trace_sampled"] = sampled.unwrap_or_default();
        }
        if let Some(entry) = entry.as_object_mut() {
            for (name, value) in fields {
                entry.entry(name).or_insert(value);
            }
        }
        entry
    }
}

/// The request of the line that is written when it is answered; before that a request has no status.
fn http_request(fields: &mut Map<String, Value>) -> Option<Value> {
    let status = fields.remove("http.status")?;
    let seconds = fields.remove("request.duration_ms").and_then(|took| took.as_f64()).unwrap_or_default() / 1000.0;
    Some(json!({
        "requestMethod": fields.remove("http.method").unwrap_or_default(),
        "requestUrl": fields.remove("http.path").unwrap_or_default(),
        "status": status,
        "latency": format!("{seconds:.6}s"),
    }))
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// Puts fields into a JSON object.
struct Collect<'a>(&'a mut Map<String, Value>);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Collect<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_cloud_loggings_fields() {
        let logs = CloudLogging { service: "receiver", project: Some("p".into()), write: io::sink };
        let fields = json!({
            "message": "listening", "address": "0.0.0.0:1", "severity": "forged",
            "stream": "chat", "http.method": "POST", "http.path": "/push/chat", "http.status": 204, "request.duration_ms": 12.5,
            "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736", "trace.span_id": "00f067aa0ba902b7", "trace.sampled": true,
        });
        let fields = fields.as_object().cloned().unwrap_or_default();
        let now = "2024-02-01T10:04:46.5Z".parse().expect("a time");
        assert_eq!(
            logs.entry(Level::WARN, "service", now, fields),
            json!({
                "severity": "WARNING", "time": "2024-02-01T10:04:46.500000Z", "message": "listening", "target": "service",
                "address": "0.0.0.0:1", "stream": "chat",
                "httpRequest": {
                    "requestMethod": "POST", "requestUrl": "/push/chat", "status": 204, "latency": "0.012500s",
                },
                "logging.googleapis.com/labels": { "service": "receiver", "stream": "chat" },
                "logging.googleapis.com/trace": "projects/p/traces/4bf92f3577b34da6a3ce929d0e0e4736",
                "logging.googleapis.com/spanId": "00f067aa0ba902b7",
                "logging.googleapis.com/trace_sampled": true,
            })
        );
    }
}
