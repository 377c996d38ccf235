//! Traces and metrics for an OpenTelemetry collector, where the standard variables name one
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). OTLP over HTTP, in protobuf: it adds only the messages to the
//! build, as the HTTP client and the protobuf library are there already.
//!
//! Metrics are those of `/metrics`, by the same names. A collector that is away costs what was to be sent, and nothing else:
//! nothing waits for it but the last flush, and that not for long.

mod metrics;
mod sampler;
mod sender;
mod settings;
mod traces;
mod worker;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use prometheus::Registry;
use tokio::sync::{mpsc, oneshot};

pub(crate) use settings::Settings;

use crate::{Env, EnvError, TraceContext, span::Recording};
use sampler::Sampler;

/// How long a function that stops waits for its last spans and metrics to be taken.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

/// The process's way to the collector.
struct Exporter {
    sampler: Sampler,
    /// `None`: no traces are exported.
    spans: Option<mpsc::Sender<Recording>>,
    commands: mpsc::UnboundedSender<Command>,
    /// Spans that found the queue full.
    dropped: AtomicU64,
}

enum Command {
    Watch(Source),
    Flush(oneshot::Sender<()>),
}

/// A function's metrics.
struct Source {
    service: &'static str,
    registry: Registry,
    since: SystemTime,
}

/// Exports traces and metrics from now on, where the `OTEL_…` variables of `env` name a collector. For processes that do not start
/// through [`crate::main`], within a runtime.
pub fn export_telemetry(env: &Env) -> Result<(), EnvError> {
    let mut read = env.read();
    let settings = Settings::read(&mut read);
    read.finish()?;
    install(settings);
    Ok(())
}

/// Starts the exporter, unless there is nowhere to export to, or one runs.
pub(crate) fn install(settings: Option<Settings>) {
    let Some(settings) = settings else { return };
    let (spans, finished) = mpsc::channel(settings.queue);
    let (commands, asked) = mpsc::unbounded_channel();
    let exporter = Exporter {
        sampler: settings.sampler,
        spans: settings.traces.is_some().then_some(spans),
        commands,
        dropped: AtomicU64::new(0),
    };
    if EXPORTER.set(exporter).is_ok() {
        tokio::spawn(worker::Worker::new(settings, finished, asked).run());
    }
}

/// Whether a span is recorded: below one that is or is not, or as the first of its trace.
pub(crate) fn is_sampled(parent: Option<bool>, trace_id: u128) -> bool {
    match EXPORTER.get() {
        Some(exporter) if exporter.spans.is_some() => exporter.sampler.decide(parent, trace_id),
        Some(_) | None => parent.unwrap_or(false),
    }
}

/// Whether anybody wants to see this span.
pub(crate) fn records(context: TraceContext) -> bool {
    context.is_sampled() && EXPORTER.get().is_some_and(|exporter| exporter.spans.is_some())
}

/// Hands a span over; where the queue is full it is dropped and counted.
pub(crate) fn export(span: Recording) {
    let Some(exporter) = EXPORTER.get() else { return };
    if exporter.spans.as_ref().is_some_and(|spans| spans.try_send(span).is_err()) {
        exporter.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Exports the metrics of `registry` from now on.
pub(crate) fn watch(service: &'static str, registry: &Registry) {
    if let Some(exporter) = EXPORTER.get() {
        let source = Source { service, registry: registry.clone(), since: SystemTime::now() };
        // The worker ends with the runtime.
        let _ = exporter.commands.send(Command::Watch(source));
    }
}

/// Sends what was not sent yet.
pub(crate) async fn flush() {
    let Some(exporter) = EXPORTER.get() else { return };
    let (done, flushed) = oneshot::channel();
    if exporter.commands.send(Command::Flush(done)).is_ok() && tokio::time::timeout(FLUSH_LIMIT, flushed).await.is_err()
    {
        tracing::warn!("the last spans and metrics were not taken in time");
    }
}

/// The spans that were dropped since the last time that somebody asked.
fn take_dropped() -> u64 {
    EXPORTER.get().map_or(0, |exporter| exporter.dropped.swap(0, Ordering::Relaxed))
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
