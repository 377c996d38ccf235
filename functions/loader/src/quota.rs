//! BigQuery's quotas: how much of them is used, and where loaders brake.

use std::time::Duration;

use catalog::Quotas;
use parking_lot::Mutex;
use service::chain;
use tokio::time::Instant;

use crate::{loader::Services, metrics::Metrics};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The shares that loaders may use.
#[derive(Debug)]
pub(crate) struct Quota {
    streams_an_hour: u64,
    bytes_a_second: f64,
    connections: u64,
    bytes: Mutex<Bucket>,
}

/// Bytes that may be appended now; it fills with the time up to a second's worth.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// A quota's share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp(pub(crate) &'static str);

impl Quota {
    /// The shares of `quotas`, which `metrics` shows.
    pub(crate) fn new(quotas: &Quotas, metrics: &Metrics) -> Self {
        for (quota, limit) in [
            ("create_write_stream", quotas.create_write_stream_per_hour),
            ("connections", quotas.connections),
            ("throughput", quotas.throughput_bytes_per_second),
        ] {
            metrics.quota_limit.with_label_values(&[quota]).set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
        let share = |limit: u64| limit as f64 * quotas.share;
        let bytes_a_second = share(quotas.throughput_bytes_per_second);
        Self {
            streams_an_hour: share(quotas.create_write_stream_per_hour) as u64,
            bytes_a_second,
            connections: (share(quotas.connections) as u64).max(1),
            bytes: Mutex::new(Bucket { left: bytes_a_second, at: Instant::now() }),
        }
    }

    /// One more write stream, counted by all loaders that share the ledger.
    pub(crate) async fn stream(&self, services: &Services) -> Result<(), UsedUp> {
        match services.ledger.count("create_write_stream", HOUR).await {
            Ok(count) if count > self.streams_an_hour => Err(self.used_up(services, "create_write_stream")),
            Ok(_) => Ok(()),
            // The promise does not hang on a count: without the ledger no claim is made, so no stream is wanted for long.
            Err(error) => {
                tracing::debug!(error = %chain(&error), "a write stream was not counted");
                Ok(())
            }
        }
    }

    /// Room for a delivery's bytes, and a connection for its table.
    pub(crate) fn bytes(&self, services: &Services, bytes: usize) -> Result<(), UsedUp> {
        if services.storage.open_connections() > self.connections {
            return Err(self.used_up(services, "connections"));
        }
        let mut bucket = self.bytes.lock();
        let now = Instant::now();
        let filled = bucket.left + (now - bucket.at).as_secs_f64() * self.bytes_a_second;
        *bucket = Bucket { left: filled.min(self.bytes_a_second), at: now };
        if bucket.left < 0.0 {
            drop(bucket);
            return Err(self.used_up(services, "throughput"));
        }
        bucket.left -= bytes as f64;
        Ok(())
    }

    fn used_up(&self, services: &Services, quota: &'static str) -> UsedUp {
        services.metrics.braked.with_label_values(&[quota]).inc();
        UsedUp(quota)
    }
}
