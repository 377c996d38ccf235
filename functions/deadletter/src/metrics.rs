//! What the function measures.

use event::Outcome;
use prometheus::{IntCounterVec, Opts, Registry};

/// Deliveries by stream and outcome: `dead_lettered`; `duplicate` where the event was a row or a dead letter already; `retried`.
pub const DELIVERIES: &str = "pipas_deadletter_deliveries_total";
/// Acked deliveries of messages that are dead letters published again, by stream. They are in [`DELIVERIES`] too.
pub const REDRIVEN: &str = "pipas_deadletter_redriven_total";
/// Pushes that were not acked, by reason.
pub const NACKS: &str = "pipas_deadletter_nacks_total";

/// The function's counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    deliveries: IntCounterVec,
    pub(crate) redriven: IntCounterVec,
    pub(crate) nacks: IntCounterVec,
}

impl Metrics {
    /// Counters of these streams, which are visible before the first delivery.
    pub(crate) fn new<'a>(streams: impl Iterator<Item = &'a str>) -> Result<Self, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            deliveries: counter(DELIVERIES, "Deliveries by outcome", &["stream", "outcome"])?,
            redriven: counter(REDRIVEN, "Acked deliveries of redriven messages", &["stream"])?,
            nacks: counter(NACKS, "Pushes that were not acked, by reason", &["reason"])?,
        };
        for stream in streams {
            for outcome in [Outcome::Duplicate, Outcome::DeadLettered, Outcome::Retried] {
                metrics.deliveries.with_label_values(&[stream, outcome.name()]);
            }
            metrics.redriven.with_label_values(&[stream]);
        }
        Ok(metrics)
    }

    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.deliveries.clone()))?;
        registry.register(Box::new(self.redriven.clone()))?;
        registry.register(Box::new(self.nacks.clone()))
    }

    pub(crate) fn delivery(&self, stream: &str, outcome: Outcome) {
        self.deliveries.with_label_values(&[stream, outcome.name()]).inc();
    }
}
