//! What every function measures of its requests.

use prometheus::{HistogramOpts, HistogramVec, Registry};

/// Seconds from a request's head to its response's head, by route, method and status.
pub(crate) const REQUEST_DURATION: &str = "http_request_duration_seconds";

#[derive(Clone)]
pub(crate) struct RequestMetrics {
    duration: HistogramVec,
}

impl RequestMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(REQUEST_DURATION, "Seconds from a request's head to its response's head")
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        let duration = HistogramVec::new(options, &["route", "method", "status"])?;
        match registry.register(Box::new(duration.clone())) {
            // A registry that is served a second time keeps the first one's histogram.
            Ok(()) | Err(prometheus::Error::AlreadyReg) => Ok(Self { duration }),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn observe(&self, route: &str, method: &str, status: u16, seconds: f64) {
        self.duration.with_label_values(&[route, method, &status.to_string()]).observe(seconds);
    }
}
