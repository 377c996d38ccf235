//! What the receiver measures.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use shape::Missing;

use crate::error::ReceiverError;

/// Events of accepted and refused requests, by stream and result.
pub(crate) const EVENTS: &str = "pipas_receiver_events_total";
/// Requests that were refused, by result; before a stream is known there is none to name.
pub(crate) const REFUSED_REQUESTS: &str = "pipas_receiver_refused_requests_total";
/// Bytes of accepted events, as the producer sent them, decompressed.
pub(crate) const BYTES: &str = "pipas_receiver_event_bytes_total";
/// Seconds from handing events to Pub/Sub to its answer for the last of them.
pub(crate) const PUBLISH_DURATION: &str = "pipas_receiver_publish_duration_seconds";

/// Events that a stream's filter left out, by stream.
pub(crate) const FILTERED: &str = "pipas_receiver_filtered_events_total";
/// Events for which a lookup found nothing, by stream and lookup.
pub(crate) const NOT_FOUND: &str = "pipas_receiver_lookups_not_found_total";

/// The result of events that are on the topic; the others are [`crate::error::ReceiverError::result`]'s.
pub(crate) const ACCEPTED: &str = "accepted";

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) events: IntCounterVec,
    pub(crate) refused_requests: IntCounterVec,
    pub(crate) bytes: IntCounterVec,
    pub(crate) publish_duration: HistogramVec,
    filtered: IntCounterVec,
    not_found: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let duration =
            HistogramOpts::new(PUBLISH_DURATION, "Seconds from handing events to Pub/Sub to its last answer")
                .buckets(vec![0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        Ok(Self {
            events: IntCounterVec::new(Opts::new(EVENTS, "Events received, by result"), &["stream", "result"])?,
            refused_requests: IntCounterVec::new(
                Opts::new(REFUSED_REQUESTS, "Requests refused, by result"),
                &["result"],
            )?,
            bytes: IntCounterVec::new(Opts::new(BYTES, "Bytes of accepted events"), &["stream"])?,
            publish_duration: HistogramVec::new(duration, &["stream"])?,
            filtered: IntCounterVec::new(Opts::new(FILTERED, "Events that a filter left out"), &["stream"])?,
            not_found: IntCounterVec::new(
                Opts::new(NOT_FOUND, "Events for which a lookup found nothing"),
                &["stream", "lookup"],
            )?,
        })
    }

    /// Counts the events of a request that was read and then refused. All-or-nothing, but where publishing failed midway.
    pub(crate) fn refused(&self, stream: &str, error: &ReceiverError, events: usize) {
        let events = match error {
            ReceiverError::Unavailable(unpublished) | ReceiverError::Refused(unpublished) => unpublished.failed,
            _ => events,
        };
        self.events.with_label_values(&[stream, error.result()]).inc_by(events as u64);
    }

    /// Counts what a stream's shape did to the events of a request.
    pub(crate) fn shaped(&self, stream: &str, filtered: u64, missing: &Missing) {
        if filtered > 0 {
            self.filtered.with_label_values(&[stream]).inc_by(filtered);
        }
        for (lookup, (count, _)) in &missing.0 {
            self.not_found.with_label_values(&[stream, lookup.as_str()]).inc_by(*count);
        }
    }

    /// A registry of these metrics.
    pub(crate) fn registry(&self) -> Result<Registry, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(self.events.clone()))?;
        registry.register(Box::new(self.refused_requests.clone()))?;
        registry.register(Box::new(self.bytes.clone()))?;
        registry.register(Box::new(self.publish_duration.clone()))?;
        registry.register(Box::new(self.filtered.clone()))?;
        registry.register(Box::new(self.not_found.clone()))?;
        Ok(registry)
    }
}
