//! What the loader measures.

use std::time::Duration;

use event::{Outcome, Timestamp};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

/// Deliveries by stream and outcome (`written`, `duplicate`, `dead_lettered`, `retried`): each delivery is counted once.
pub const DELIVERIES: &str = "pipas_loader_deliveries_total";
/// Acked deliveries of messages that are dead letters published again, by stream. They are in [`DELIVERIES`] too.
pub const REDRIVEN: &str = "pipas_loader_redriven_total";
/// Pushes that were not acked, by reason.
pub const NACKS: &str = "pipas_loader_nacks_total";
/// Seconds from the receiver's acceptance, or the publishing of a message that passed none, to BigQuery's acknowledgement.
pub const FRESHNESS: &str = "pipas_loader_freshness_seconds";
/// Bytes of deliveries in hand.
pub const BUFFERED: &str = "pipas_loader_buffered_bytes";
/// Rows of a request that was acknowledged.
pub const REQUEST_ROWS: &str = "pipas_loader_request_rows";
/// Claims by result.
pub const CLAIMS: &str = "pipas_loader_claims_total";
/// Seconds that a call of the claim ledger took, by call.
pub const LEDGER_SECONDS: &str = "pipas_loader_ledger_duration_seconds";
/// Calls of the claim ledger whose outcome is unknown, by call.
pub const LEDGER_UNKNOWN: &str = "pipas_loader_ledger_unknown_total";
/// Fences of write streams, by owner (`own`, `other`) and result.
pub const FENCES: &str = "pipas_loader_fences_total";
/// Write streams that were given up while in use.
pub const ROTATIONS: &str = "pipas_loader_rotations_total";
/// Things that cannot happen while the protocol's assumptions hold.
pub const ALARMS: &str = "pipas_loader_alarms_total";

/// The generation of the ledger that this loader works under; 0: nobody guards, or nobody knows yet.
pub const GENERATION: &str = "pipas_loader_generation";
/// Recoveries of a ledger that lost claims, by result (`done`, `failed`).
pub const RECOVERIES: &str = "pipas_loader_recoveries_total";
/// Tables that the ledger is not whole for after a loss: their events wait, or do without claims.
pub const DEGRADED: &str = "pipas_loader_degraded_tables";
/// Events that were written into a ledger that had lost them.
pub const RESTORED: &str = "pipas_loader_restored_total";
/// Rows that were appended without a claim because the ledger was lost, by stream.
pub const UNCLAIMED: &str = "pipas_loader_unclaimed_total";
/// Write streams of which the table shows another number of rows than their fence said.
pub const MISMATCHES: &str = "pipas_loader_stream_mismatches_total";
/// Calls that were not made because the loaders' share of a quota is used up, by quota (`create_write_stream`,
/// `connections`, `throughput`).
pub const BRAKED: &str = "pipas_loader_braked_total";

/// 1 where the ledger's server deletes claims when it is full (`maxmemory-policy` is not `noeviction`), 0 where it does not, or
/// does not say.
pub const LEDGER_EVICTS: &str = "pipas_loader_ledger_evicts";

/// Write streams that were created.
pub const WRITE_STREAMS: &str = "pipas_loader_write_streams_total";
/// What the catalog says of the project's quotas, by quota as above: what one loader uses of them is told by
/// `pipas_loader_write_streams_total`, `pipas_append_connections` and `pipas_append_bytes_total`.
pub const QUOTA_LIMIT: &str = "pipas_loader_quota_limit";

/// What all loaders use of each quota, as this one was last told by the ledger; 0 while no deliveries come to it.
pub const QUOTA_USED: &str = "pipas_loader_quota_used";

/// The loader's counters. Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    deliveries: IntCounterVec,
    pub(crate) redriven: IntCounterVec,
    pub(crate) nacks: IntCounterVec,
    freshness: HistogramVec,
    pub(crate) buffered: IntGauge,
    pub(crate) request_rows: Histogram,
    pub(crate) claims: IntCounterVec,
    ledger_seconds: HistogramVec,
    ledger_unknown: IntCounterVec,
    pub(crate) fences: IntCounterVec,
    pub(crate) rotations: IntCounter,
    pub(crate) alarms: IntCounter,
    pub(crate) generation: IntGauge,
    pub(crate) recoveries: IntCounterVec,
    pub(crate) degraded: IntGauge,
    pub(crate) restored: IntCounter,
    pub(crate) unclaimed: IntCounterVec,
    pub(crate) mismatches: IntCounter,
    pub(crate) braked: IntCounterVec,
    ledger_evicts: IntGauge,
    pub(crate) write_streams: IntCounter,
    quota_limit: IntGaugeVec,
    quota_used: IntGaugeVec,
    pub(crate) storage: storage_write::Metrics,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        // Fine where the promise is: 5 ms to 1 s.
        let fresh = vec![
            0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75,
            0.9, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
        ];
        let rows = vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 350.0, 500.0];
        let seconds = prometheus::exponential_buckets(0.000_1, 2.0, 16)?;
        Ok(Self {
            deliveries: vec(&registry, DELIVERIES, "Deliveries by outcome", &["stream", "outcome"])?,
            redriven: vec(&registry, REDRIVEN, "Acked deliveries of redriven messages", &["stream"])?,
            nacks: vec(&registry, NACKS, "Pushes that were not acked, by reason", &["reason"])?,
            freshness: histograms(
                &registry,
                FRESHNESS,
                "Seconds from acceptance to acknowledged row",
                fresh,
                "stream",
            )?,
            buffered: put(&registry, IntGauge::new(BUFFERED, "Bytes of deliveries in hand")?)?,
            request_rows: put(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(REQUEST_ROWS, "Rows of an acknowledged request").buckets(rows),
                )?,
            )?,
            claims: vec(&registry, CLAIMS, "Claims by result", &["result"])?,
            ledger_seconds: histograms(&registry, LEDGER_SECONDS, "Seconds of ledger calls", seconds, "call")?,
            ledger_unknown: vec(&registry, LEDGER_UNKNOWN, "Ledger calls with unknown outcome", &["call"])?,
            fences: vec(&registry, FENCES, "Fences of write streams", &["owner", "result"])?,
            rotations: put(&registry, IntCounter::new(ROTATIONS, "Write streams given up while in use")?)?,
            alarms: put(&registry, IntCounter::new(ALARMS, "Things that cannot happen")?)?,
            generation: put(&registry, IntGauge::new(GENERATION, "The generation of the ledger")?)?,
            recoveries: vec(&registry, RECOVERIES, "Recoveries of the ledger, by result", &["result"])?,
            degraded: put(&registry, IntGauge::new(DEGRADED, "Tables that the ledger is not whole for")?)?,
            restored: put(&registry, IntCounter::new(RESTORED, "Events restored to the ledger")?)?,
            unclaimed: vec(&registry, UNCLAIMED, "Rows appended without a claim", &["stream"])?,
            mismatches: put(&registry, IntCounter::new(MISMATCHES, "Streams whose rows are not what was counted")?)?,
            braked: vec(&registry, BRAKED, "Calls not made for a quota's sake", &["quota"])?,
            ledger_evicts: put(&registry, IntGauge::new(LEDGER_EVICTS, "Whether a full ledger deletes claims")?)?,
            write_streams: put(&registry, IntCounter::new(WRITE_STREAMS, "Write streams created")?)?,
            quota_limit: gauges(&registry, QUOTA_LIMIT, "The project's quotas, as the catalog says", "quota")?,
            quota_used: gauges(&registry, QUOTA_USED, "What all loaders use of the project's quotas", "quota")?,
            storage: storage_write::Metrics::new(&registry)?,
            registry,
        })
    }

    /// A registry of all of these.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Makes the stream's counters visible before its first delivery.
    pub(crate) fn announce(&self, stream: &str) {
        for outcome in Outcome::ALL {
            self.deliveries.with_label_values(&[stream, outcome.name()]);
        }
        self.redriven.with_label_values(&[stream]);
        self.freshness.with_label_values(&[stream]);
        self.unclaimed.with_label_values(&[stream]);
    }

    /// What the ledger's server does when it is full, where it says so.
    pub(crate) fn ledger_policy(&self, policy: Option<&str>) {
        let evicts = policy.is_some_and(|policy| policy != "noeviction");
        if evicts {
            tracing::error!(redis.maxmemory_policy = policy, "the ledger's server deletes claims when it is full");
        }
        self.ledger_evicts.set(evicts.into());
    }

    /// The catalog says this of a quota.
    pub(crate) fn quota_limit(&self, quota: &str, limit: u64) {
        self.quota_limit.with_label_values(&[quota]).set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// All loaders use this much of a quota.
    pub(crate) fn quota_used(&self, quota: &str, used: u64) {
        self.quota_used.with_label_values(&[quota]).set(i64::try_from(used).unwrap_or(i64::MAX));
    }

    pub(crate) fn delivery(&self, stream: &str, outcome: Outcome) {
        self.deliveries.with_label_values(&[stream, outcome.name()]).inc();
    }

    /// A row was acknowledged now.
    pub(crate) fn written(&self, stream: &str, since: Timestamp) {
        let age = Timestamp::now().duration_since(since).as_secs_f64();
        self.freshness.with_label_values(&[stream]).observe(age.max(0.0));
    }

    pub(crate) fn ledger_call(&self, call: &'static str, took: Duration, known: bool) {
        self.ledger_seconds.with_label_values(&[call]).observe(took.as_secs_f64());
        if !known {
            self.ledger_unknown.with_label_values(&[call]).inc();
        }
    }
}

fn put<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn vec(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    put(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
    put(registry, IntGaugeVec::new(Opts::new(name, help), &[label])?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: Vec<f64>,
    label: &str,
) -> prometheus::Result<HistogramVec> {
    put(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &[label])?)
}
