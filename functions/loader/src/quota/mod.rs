//! BigQuery's quotas, which are of a project: how much of them all loaders use, and where each of them brakes.

mod bucket;
mod report;
mod share;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use catalog::Quotas;
use dedupe::Meter;
use parking_lot::Mutex;
use service::chain;
use tokio::{sync::Notify, time::Instant};

use crate::{loader::Services, metrics::Metrics};
use bucket::Bucket;
pub(crate) use report::run as report;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The quotas, as metrics and the ledger's counts call them.
const CREATE_WRITE_STREAM: &str = "create_write_stream";
const CONNECTIONS: &str = "connections";
const THROUGHPUT: &str = "throughput";

/// The shares that all loaders together may use, and this loader's part.
#[derive(Debug)]
pub(crate) struct Quota {
    streams_an_hour: u64,
    connections: u64,
    /// What the other loaders had open when the ledger was last asked.
    others_connections: AtomicU64,
    bytes_a_second: f64,
    /// This loader's part of them.
    bytes: Mutex<Bucket>,
    /// Wakes the report.
    came: Notify,
}

/// A quota's share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp(pub(crate) &'static str);

impl Quota {
    /// The shares of `quotas`, which `metrics` shows. Until other loaders are heard of this one may use all.
    pub(crate) fn new(quotas: &Quotas, metrics: &Metrics) -> Self {
        for (quota, limit) in [
            (CREATE_WRITE_STREAM, quotas.create_write_stream_per_hour),
            (CONNECTIONS, quotas.connections),
            (THROUGHPUT, quotas.throughput_bytes_per_second),
        ] {
            metrics.quota_limit(quota, limit);
            metrics.quota_used(quota, 0);
        }
        let share = |limit: u64| limit as f64 * quotas.share;
        let bytes_a_second = share(quotas.throughput_bytes_per_second);
        Self {
            streams_an_hour: share(quotas.create_write_stream_per_hour) as u64,
            connections: (share(quotas.connections) as u64).max(1),
            others_connections: AtomicU64::new(0),
            bytes_a_second,
            bytes: Mutex::new(Bucket::new(bytes_a_second, Instant::now())),
            came: Notify::new(),
        }
    }

    /// A delivery came: what is used is reported from now on.
    pub(crate) fn came(&self) {
        self.came.notify_one();
    }

    /// One more write stream, counted by all loaders that share the ledger.
    pub(crate) async fn stream(&self, services: &Services) -> Result<(), UsedUp> {
        let one = Meter { what: CREATE_WRITE_STREAM, by: 1, period: HOUR };
        let count = match services.ledger.meter(&[one]).await {
            Ok(counted) => counted.first().map_or(0, |counted| counted.current),
            // The promise does not hang on a count: without the ledger no claim is made, so no stream is wanted for long.
            Err(error) => {
                tracing::debug!(error = %chain(&error), "a write stream was not counted");
                return Ok(());
            }
        };
        services.metrics.quota_used(CREATE_WRITE_STREAM, count);
        if count > self.streams_an_hour { Err(self.used_up(services, CREATE_WRITE_STREAM)) } else { Ok(()) }
    }

    /// Room for a delivery's bytes; where one of its tables `is_first` written to by it, for a connection too. Where no more
    /// may be opened, tables that have one go on: to hold them back as well would close none.
    pub(crate) fn admit(&self, services: &Services, bytes: usize, is_first: bool) -> Result<(), UsedUp> {
        if is_first && self.open_connections(services.storage.open_connections()) >= self.connections {
            return Err(self.used_up(services, CONNECTIONS));
        }
        if self.bytes.lock().take(bytes, Instant::now()) { Ok(()) } else { Err(self.used_up(services, THROUGHPUT)) }
    }

    /// The fleet's connections, of which `own` are this loader's.
    fn open_connections(&self, own: u64) -> u64 {
        self.others_connections.load(Ordering::Relaxed).saturating_add(own)
    }

    /// Nobody knows what others use: as if there were none.
    fn alone(&self) {
        self.others_connections.store(0, Ordering::Relaxed);
        self.bytes.lock().set_rate(self.bytes_a_second, Instant::now());
    }

    fn used_up(&self, services: &Services, quota: &'static str) -> UsedUp {
        services.metrics.braked.with_label_values(&[quota]).inc();
        UsedUp(quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_ledger_a_loader_brakes_by_what_it_uses_itself() {
        let quotas = Quotas { share: 0.5, throughput_bytes_per_second: 200, ..Quotas::default() };
        let quota = Quota::new(&quotas, &Metrics::new().expect("metrics"));
        let now = Instant::now();
        let (second, third) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        quota.bytes.lock().set_rate(10.0, now);
        quota.others_connections.store(7, Ordering::Relaxed);
        assert_eq!(quota.open_connections(2), 9);
        assert!(quota.bytes.lock().take(10, second) && quota.bytes.lock().take(1, second));
        assert!(!quota.bytes.lock().take(1, second));

        quota.alone();
        assert_eq!(quota.open_connections(2), 2);
        assert!(quota.bytes.lock().take(100, third) && quota.bytes.lock().take(1, third));
        assert!(!quota.bytes.lock().take(1, third));
    }
}
