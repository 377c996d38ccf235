//! The registry's metrics as OTLP writes them: the same names, labels and values as on `/metrics`.

use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ScopeMetrics, Sum,
        metric, number_data_point,
    },
};
use prometheus::proto::{MetricFamily, MetricType};

use super::{Source, nanoseconds, traces};

/// What `source` shows now.
pub(super) fn scope_metrics(source: &Source, now: SystemTime) -> ScopeMetrics {
    let times = Times { since: nanoseconds(source.since), now: nanoseconds(now) };
    ScopeMetrics {
        scope: Some(traces::scope(source.service)),
        metrics: source.registry.gather().iter().filter_map(|family| written(family, times)).collect(),
        schema_url: String::new(),
    }
}

#[derive(Clone, Copy)]
struct Times {
    since: u64,
    now: u64,
}

/// A family; `None` for the kinds that no function uses.
fn written(family: &MetricFamily, times: Times) -> Option<Metric> {
    let metrics = family.get_metric();
    let data = match family.get_field_type() {
        MetricType::COUNTER => metric::Data::Sum(Sum {
            data_points: metrics.iter().map(|m| number(m, m.get_counter().get_value(), times)).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        MetricType::GAUGE => metric::Data::Gauge(Gauge {
            data_points: metrics.iter().map(|m| number(m, m.get_gauge().get_value(), times)).collect(),
        }),
        MetricType::HISTOGRAM => metric::Data::Histogram(Histogram {
            data_points: metrics.iter().map(|m| histogram(m, times)).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

/// The unit in UCUM, which the name ends in as Prometheus wants it.
fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total");
    if name.ends_with("_seconds") {
        "s"
    } else if name.ends_with("_bytes") {
        "By"
    } else {
        "1"
    }
}

fn number(metric: &prometheus::proto::Metric, value: f64, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(metric),
        start_time_unix_nano: times.since,
        time_unix_nano: times.now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Prometheus counts what is up to each bound, OTLP what is between two.
fn histogram(metric: &prometheus::proto::Metric, times: Times) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut explicit_bounds, mut bucket_counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in finite {
        explicit_bounds.push(bucket.upper_bound());
        bucket_counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    bucket_counts.push(histogram.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(metric),
        start_time_unix_nano: times.since,
        time_unix_nano: times.now,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}

fn labels(metric: &prometheus::proto::Metric) -> Vec<KeyValue> {
    metric.get_label().iter().map(|label| traces::text(label.name(), label.value())).collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    use super::*;

    #[test]
    fn a_histogram_counts_between_its_bounds() {
        let registry = Registry::new();
        let options = HistogramOpts::new("a_seconds", "Seconds").buckets(vec![1.0, 2.0]);
        let seconds = HistogramVec::new(options, &["call"]).expect("a histogram");
        let count = IntCounterVec::new(Opts::new("b_bytes_total", "Bytes"), &["stream"]).expect("a counter");
        registry.register(Box::new(seconds.clone())).expect("registered");
        registry.register(Box::new(count.clone())).expect("registered");
        for value in [0.5, 1.5, 1.6, 9.0] {
            seconds.with_label_values(&["x"]).observe(value);
        }
        count.with_label_values(&["chat"]).inc_by(7);
        let source = Source { service: "loader", registry, since: SystemTime::UNIX_EPOCH };
        let metrics = scope_metrics(&source, SystemTime::now()).metrics;
        let [a, b] = metrics.as_slice() else { panic!("two metrics: {metrics:?}") };
        assert_eq!((a.name.as_str(), a.unit.as_str(), b.unit.as_str()), ("a_seconds", "s", "By"));
        let Some(metric::Data::Histogram(histogram)) = &a.data else { panic!("a histogram: {a:?}") };
        assert_eq!(histogram.data_points[0].bucket_counts, [1, 2, 1]);
        assert_eq!(histogram.data_points[0].explicit_bounds, [1.0, 2.0]);
        let Some(metric::Data::Sum(sum)) = &b.data else { panic!("a sum: {b:?}") };
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(7.0)));
        assert_eq!(sum.data_points[0].attributes, [traces::text("stream", "chat")]);
    }
}
