//! What the compactor measures.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::report::{ArchivedObject, MergeReport, State, StreamReport};

/// Messages that are in the archive and acked, by stream.
pub(crate) const MESSAGES: &str = "pipas_compactor_messages_total";
/// Bytes of those messages as Pub/Sub counts them, by stream.
pub(crate) const MESSAGE_BYTES: &str = "pipas_compactor_message_bytes_total";
/// Objects with a manifest entry, by stream.
pub(crate) const OBJECTS: &str = "pipas_compactor_objects_total";
/// Bytes of those objects, by stream.
pub(crate) const OBJECT_BYTES: &str = "pipas_compactor_object_bytes_total";
/// Objects that were merged into larger ones, by stream.
pub(crate) const MERGED_OBJECTS: &str = "pipas_compactor_merged_objects_total";
/// Objects that were swept, by stream and why.
pub(crate) const SWEPT_OBJECTS: &str = "pipas_compactor_swept_objects_total";
/// Merge passes, by stream and how they ended.
pub(crate) const MERGES: &str = "pipas_compactor_merges_total";
/// Events that were written as JSON, by stream.
pub(crate) const LANDED_EVENTS: &str = "pipas_compactor_landed_events_total";
/// Runs, by stream and how they ended.
pub(crate) const RUNS: &str = "pipas_compactor_runs_total";
/// Seconds of a run, by stream.
pub(crate) const RUN_DURATION: &str = "pipas_compactor_run_duration_seconds";
/// 1 where the last run left messages in the subscription, by stream.
pub(crate) const BACKLOG_LEFT: &str = "pipas_compactor_backlog_left";
/// When a run last came to a good end, in seconds since 1970, by stream.
pub(crate) const LAST_RUN: &str = "pipas_compactor_last_run_timestamp_seconds";

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    messages: IntCounterVec,
    message_bytes: IntCounterVec,
    objects: IntCounterVec,
    object_bytes: IntCounterVec,
    merged_objects: IntCounterVec,
    swept_objects: IntCounterVec,
    merges: IntCounterVec,
    landed_events: IntCounterVec,
    runs: IntCounterVec,
    run_duration: HistogramVec,
    backlog_left: IntGaugeVec,
    last_run: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let duration = HistogramOpts::new(RUN_DURATION, "Seconds of a run")
            .buckets(vec![0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0, 480.0]);
        Ok(Self {
            messages: counter(MESSAGES, "Messages archived and acked", &["stream"])?,
            message_bytes: counter(MESSAGE_BYTES, "Bytes of messages archived and acked", &["stream"])?,
            objects: counter(OBJECTS, "Archive objects written", &["stream"])?,
            object_bytes: counter(OBJECT_BYTES, "Bytes of archive objects written", &["stream"])?,
            merged_objects: counter(MERGED_OBJECTS, "Archive objects merged into larger ones", &["stream"])?,
            swept_objects: counter(SWEPT_OBJECTS, "Objects swept that are no part of the archive", &["stream", "why"])?,
            merges: counter(MERGES, "Merge passes, by how they ended", &["stream", "state"])?,
            landed_events: counter(LANDED_EVENTS, "Events written as JSON", &["stream"])?,
            runs: counter(RUNS, "Runs, by how they ended", &["stream", "state"])?,
            run_duration: HistogramVec::new(duration, &["stream"])?,
            backlog_left: IntGaugeVec::new(Opts::new(BACKLOG_LEFT, "1 where the last run left messages"), &["stream"])?,
            last_run: IntGaugeVec::new(Opts::new(LAST_RUN, "When a run last came to a good end"), &["stream"])?,
        })
    }

    /// Counts an object that is in the archive.
    pub(crate) fn archived(&self, stream: &str, object: &ArchivedObject) {
        self.messages.with_label_values(&[stream]).inc_by(object.messages);
        self.message_bytes.with_label_values(&[stream]).inc_by(object.message_bytes);
        self.objects.with_label_values(&[stream]).inc();
        self.object_bytes.with_label_values(&[stream]).inc_by(object.bytes);
    }

    /// Counts a run that has ended.
    pub(crate) fn ran(&self, stream: &str, report: &StreamReport) {
        self.runs.with_label_values(&[stream, report.state.name()]).inc();
        if let Some(landed) = &report.landed {
            self.landed_events.with_label_values(&[stream]).inc_by(landed.events);
        }
        if report.state != State::AlreadyRunning {
            self.run_duration.with_label_values(&[stream]).observe(report.duration_ms as f64 / 1000.0);
            self.backlog_left.with_label_values(&[stream]).set(i64::from(report.backlog_left));
        }
        if !matches!(report.state, State::AlreadyRunning | State::Failed) {
            self.last_run.with_label_values(&[stream]).set(event::Timestamp::now().as_second());
        }
    }

    /// Counts a merge pass that has ended.
    pub(crate) fn merged(&self, stream: &str, report: &MergeReport) {
        self.merges.with_label_values(&[stream, report.state.name()]).inc();
        let merged = report.merged.iter().map(|object| object.of as u64).sum();
        self.merged_objects.with_label_values(&[stream]).inc_by(merged);
        self.swept_objects.with_label_values(&[stream, "replaced"]).inc_by(report.swept.replaced);
        self.swept_objects.with_label_values(&[stream, "orphan"]).inc_by(report.swept.orphans);
    }

    /// A registry of these metrics.
    pub(crate) fn registry(&self) -> Result<Registry, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(self.messages.clone()))?;
        registry.register(Box::new(self.message_bytes.clone()))?;
        registry.register(Box::new(self.objects.clone()))?;
        registry.register(Box::new(self.object_bytes.clone()))?;
        registry.register(Box::new(self.merged_objects.clone()))?;
        registry.register(Box::new(self.swept_objects.clone()))?;
        registry.register(Box::new(self.merges.clone()))?;
        registry.register(Box::new(self.landed_events.clone()))?;
        registry.register(Box::new(self.runs.clone()))?;
        registry.register(Box::new(self.run_duration.clone()))?;
        registry.register(Box::new(self.backlog_left.clone()))?;
        registry.register(Box::new(self.last_run.clone()))?;
        Ok(registry)
    }
}
