//! What is counted about appends.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets,
};

const APPENDS: (&str, &str) =
    ("pipas_append_requests_total", "AppendRows requests by their outcome: ok, or the class of the error");
const DURATION: (&str, &str) =
    ("pipas_append_duration_seconds", "Time from sending an AppendRows request to its answer, by outcome");
const ROWS: (&str, &str) = ("pipas_append_rows_total", "Rows in AppendRows requests that were answered with ok");
const BYTES: (&str, &str) =
    ("pipas_append_bytes_total", "Bytes of rows in AppendRows requests that were answered with ok");
const IN_FLIGHT: (&str, &str) = ("pipas_append_in_flight_bytes", "Bytes of rows that are sent and not answered");
const CONNECTIONS: (&str, &str) = ("pipas_append_connections", "AppendRows streams that are open");
const CONNECTS: (&str, &str) = ("pipas_append_connects_total", "AppendRows streams opened");

/// What is counted about appends. Clones count into the same metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    appends: IntCounterVec,
    duration: HistogramVec,
    rows: IntCounter,
    bytes: IntCounter,
    pub(crate) in_flight: IntGauge,
    pub(crate) connects: IntCounter,
    pub(crate) connections: IntGauge,
}

impl Metrics {
    /// Metrics that are registered with `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::unregistered()?;
        registry.register(Box::new(metrics.appends.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.connects.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        Ok(metrics)
    }

    fn unregistered() -> Result<Self, prometheus::Error> {
        let buckets = exponential_buckets(0.001, 2.0, 15)?;
        Ok(Self {
            appends: IntCounterVec::new(Opts::new(APPENDS.0, APPENDS.1), &["outcome"])?,
            duration: HistogramVec::new(HistogramOpts::new(DURATION.0, DURATION.1).buckets(buckets), &["outcome"])?,
            rows: IntCounter::new(ROWS.0, ROWS.1)?,
            bytes: IntCounter::new(BYTES.0, BYTES.1)?,
            in_flight: IntGauge::new(IN_FLIGHT.0, IN_FLIGHT.1)?,
            connects: IntCounter::new(CONNECTS.0, CONNECTS.1)?,
            connections: IntGauge::new(CONNECTIONS.0, CONNECTIONS.1)?,
        })
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    pub(crate) fn answered(&self, outcome: &'static str, rows: usize, bytes: usize, took: Duration) {
        self.appends.with_label_values(&[outcome]).inc();
        self.duration.with_label_values(&[outcome]).observe(took.as_secs_f64());
        if outcome == "ok" {
            self.rows.inc_by(rows as u64);
            self.bytes.inc_by(bytes as u64);
        }
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub(crate) struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
