//! What the replayer measures.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::Report;

/// Messages that were published again or staged, by stream.
const MESSAGES: &str = "pipas_replayer_messages_total";
/// Objects that were not replayed to their ends, by stream.
const DAMAGED: &str = "pipas_replayer_damaged_objects_total";
/// Runs, by stream and how they ended.
const RUNS: &str = "pipas_replayer_runs_total";

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    messages: IntCounterVec,
    damaged: IntCounterVec,
    runs: IntCounterVec,
    registry: Registry,
    pub(crate) storage: storage_write::Metrics,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let messages = counter(MESSAGES, "Messages published again or staged", &["stream"])?;
        let damaged = counter(DAMAGED, "Archive objects that were not replayed to their ends", &["stream"])?;
        let runs = counter(RUNS, "Runs, by how they ended", &["stream", "state"])?;
        for counter in [&messages, &damaged, &runs] {
            registry.register(Box::new(counter.clone()))?;
        }
        let storage = storage_write::Metrics::new(&registry)?;
        Ok(Self { messages, damaged, runs, registry, storage })
    }

    /// Counts a run that has ended.
    pub(crate) fn ran(&self, report: &Report) {
        if !report.dry_run {
            self.messages.with_label_values(&[&report.stream]).inc_by(report.counts.taken);
        }
        self.damaged.with_label_values(&[&report.stream]).inc_by(report.damaged.len() as u64);
        self.runs.with_label_values(&[report.stream.as_str(), report.state.name()]).inc();
    }

    /// Counts a run that failed.
    pub(crate) fn failed(&self, stream: &str) {
        self.runs.with_label_values(&[stream, "failed"]).inc();
    }

    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }
}
