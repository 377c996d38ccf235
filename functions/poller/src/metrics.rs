//! What the poller measures.

use event::Timestamp;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use shape::Missing;

use crate::{
    error::PollerError,
    feed::FeedPoller,
    report::{FetchReport, FetchResult},
};

/// Fetches by feed and result ([`FetchResult::name`]).
pub(crate) const FETCHES: &str = "pipas_poller_fetches_total";
/// Parts of feeds by stream, feed and what became of them: `published`, `unpublished`, `repeated`, `filtered`, `bad`.
pub(crate) const EVENTS: &str = "pipas_poller_events_total";
/// Events for which a lookup found nothing, by feed and lookup.
pub(crate) const NOT_FOUND: &str = "pipas_poller_lookups_not_found_total";
/// Seconds that a fetch took, from its task to its answer.
pub(crate) const DURATION: &str = "pipas_poller_fetch_duration_seconds";
/// When the feed last answered well, in seconds since 1970: what a feed that stopped is told by.
pub(crate) const LAST_SUCCESS: &str = "pipas_poller_last_success_timestamp_seconds";
/// Tasks by feed and result: `created`, `existing`, `late`, `failed`.
pub(crate) const TASKS: &str = "pipas_poller_tasks_total";

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    fetches: IntCounterVec,
    events: IntCounterVec,
    not_found: IntCounterVec,
    duration: HistogramVec,
    last_success: GaugeVec,
    pub(crate) tasks: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let duration = HistogramOpts::new(DURATION, "Seconds that a fetch took")
            .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]);
        let last = Opts::new(LAST_SUCCESS, "When the feed last answered well, in seconds since 1970");
        Ok(Self {
            fetches: counter(FETCHES, "Fetches of feeds, by result", &["feed", "result"])?,
            events: counter(EVENTS, "Parts of feeds, by what became of them", &["stream", "feed", "result"])?,
            not_found: counter(NOT_FOUND, "Events for which a lookup found nothing", &["feed", "lookup"])?,
            duration: HistogramVec::new(duration, &["feed"])?,
            last_success: GaugeVec::new(last, &["feed"])?,
            tasks: counter(TASKS, "Fetches that were put on the queue, by result", &["feed", "result"])?,
        })
    }

    /// Counts `events` that were handed to Pub/Sub, by whether it took them; whatever else comes of their fetch.
    pub(crate) fn handed_on(&self, feed: &FeedPoller, events: usize, taken: &Result<(), PollerError>) {
        let unpublished = match taken {
            Err(PollerError::Publish { failed, .. }) => *failed,
            Ok(()) | Err(_) => 0,
        };
        self.count(feed, "published", events.saturating_sub(unpublished) as u64);
        self.count(feed, "unpublished", unpublished as u64);
    }

    /// Counts a fetch, and what of it was not for Pub/Sub.
    pub(crate) fn fetched(&self, feed: &FeedPoller, report: &FetchReport, missing: &Missing, seconds: f64) {
        self.count(feed, "repeated", report.repeated as u64);
        self.count(feed, "filtered", report.filtered);
        self.count(feed, "bad", report.bad);
        let feed = feed.name();
        self.fetches.with_label_values(&[feed, report.result.name()]).inc();
        for (lookup, (count, _)) in &missing.0 {
            self.not_found.with_label_values(&[feed, lookup.as_str()]).inc_by(*count);
        }
        match report.result {
            FetchResult::Published | FetchResult::NotModified | FetchResult::Unchanged => {
                self.duration.with_label_values(&[feed]).observe(seconds);
                self.last_success.with_label_values(&[feed]).set(Timestamp::now().as_second() as f64);
            }
            FetchResult::Failed => self.duration.with_label_values(&[feed]).observe(seconds),
            FetchResult::Overlap | FetchResult::BackedOff => {}
        }
    }

    fn count(&self, feed: &FeedPoller, result: &str, events: u64) {
        self.events.with_label_values(&[&feed.outlet.stream.name, feed.name(), result]).inc_by(events);
    }

    /// A registry of these metrics.
    pub(crate) fn registry(&self) -> Result<Registry, prometheus::Error> {
        let registry = Registry::new();
        for counter in [&self.fetches, &self.events, &self.not_found, &self.tasks] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.last_success.clone()))?;
        Ok(registry)
    }
}
