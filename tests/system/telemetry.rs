//! Traces and metrics, as a collector gets them over the wire.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, ensure};
use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value},
    metrics::v1::{Metric, metric, number_data_point},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;
use tests::{Setup, World, eventually};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const UNSAMPLED: &str = "5cf92f3577b34da6a3ce929d0e0e4737";

/// What a collector was sent, each with the name of its function.
#[derive(Default)]
struct Taken {
    spans: Vec<(String, Span)>,
    /// The latest of each.
    metrics: BTreeMap<(String, String), Metric>,
}

/// A small OpenTelemetry collector.
#[derive(Clone)]
struct Collector {
    url: String,
    taken: Arc<Mutex<Taken>>,
}

impl Collector {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let collector = Self { url: format!("http://{}", listener.local_addr()?), taken: Arc::default() };
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(collector)
    }

    fn spans(&self, trace: &str) -> Vec<(String, Span)> {
        let taken = self.taken.lock().expect("no panic");
        taken.spans.iter().filter(|(_, span)| hex(&span.trace_id) == trace).cloned().collect()
    }

    /// The value of a counter's point with this label.
    fn counted(&self, service: &str, name: &str, label: (&str, &str)) -> Option<f64> {
        let taken = self.taken.lock().expect("no panic");
        let Some(metric::Data::Sum(sum)) = &taken.metrics.get(&(service.to_owned(), name.to_owned()))?.data else {
            return None;
        };
        let point = sum.data_points.iter().find(|point| text(&point.attributes, label.0) == label.1)?;
        match point.value? {
            number_data_point::Value::AsDouble(value) => Some(value),
            number_data_point::Value::AsInt(value) => Some(value as f64),
        }
    }
}

async fn traces(State(collector): State<Collector>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("spans");
    let mut taken = collector.taken.lock().expect("no panic");
    for of_resource in request.resource_spans {
        let service = service(of_resource.resource.as_ref());
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        taken.spans.extend(spans.map(|span| (service.clone(), span)));
    }
}

async fn metrics(State(collector): State<Collector>, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body).expect("metrics");
    let mut taken = collector.taken.lock().expect("no panic");
    for of_resource in request.resource_metrics {
        let service = service(of_resource.resource.as_ref());
        let metrics = of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
        taken.metrics.extend(metrics.map(|metric| ((service.clone(), metric.name.clone()), metric)));
    }
}

fn service(resource: Option<&Resource>) -> String {
    resource.map(|resource| text(&resource.attributes, "service.name").to_owned()).unwrap_or_default()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        _ => "",
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends one event in the trace `traceparent`.
async fn send(world: &World, traceparent: &str, key: &str) -> anyhow::Result<()> {
    let url = format!("{}/v1/streams/courier-chat/events", world.endpoints.receiver);
    let request = reqwest::Client::new().post(url).header("traceparent", traceparent).header("idempotency-key", key);
    request.body(r#"{"orderId": 1, "cityCode": "ROM"}"#).send().await?.error_for_status()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_shows_receive_publish_push_and_append() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let env = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200".to_owned()),
    ];
    let world = World::start(Setup { env, ..Setup::default() }).await?;
    send(&world, &format!("00-{UNSAMPLED}-00f067aa0ba902b7-00"), "unsampled").await?;
    send(&world, &format!("00-{TRACE}-00f067aa0ba902b7-01"), "sampled").await?;
    let spans = eventually(PATIENCE, async || {
        let spans = collector.spans(TRACE);
        let is_done = spans.iter().any(|(_, span)| span.name == "append")
            && spans.iter().any(|(_, span)| span.name.starts_with("POST /push"));
        ensure!(is_done, "{:?}", spans.iter().map(|(_, span)| &span.name).collect::<Vec<_>>());
        Ok(spans)
    })
    .await?;
    let mut parent = "00f067aa0ba902b7".to_owned();
    for (service, name) in [
        ("receiver", "POST /v1/streams/{stream}/events"),
        ("receiver", "publish"),
        ("loader", "POST /push/{stream}"),
        ("loader", "append"),
    ] {
        let below = spans.iter().find(|(_, span)| hex(&span.parent_span_id) == parent);
        let (of, span) = below.with_context(|| format!("nothing stands below {parent}: {spans:#?}"))?;
        assert_eq!((of.as_str(), span.name.as_str()), (service, name));
        assert!(span.status.is_none() && span.end_time_unix_nano > span.start_time_unix_nano, "{span:?}");
        parent = hex(&span.span_id);
    }
    assert_eq!(spans.len(), 4, "{spans:#?}");
    let append = spans.iter().find(|(_, span)| span.name == "append").map(|(_, span)| span).context("an append")?;
    assert_eq!(text(&append.attributes, "db.collection.name"), "courier_chat.orders");
    assert!(collector.spans(UNSAMPLED).is_empty(), "a trace that its producer does not record");

    world.compact().await?;
    eventually(PATIENCE, async || {
        let written = collector.counted("loader", "pipas_loader_deliveries_total", ("outcome", "written"));
        let accepted = collector.counted("receiver", "pipas_receiver_events_total", ("result", "accepted"));
        ensure!((written, accepted) == (Some(2.0), Some(2.0)), "{written:?} {accepted:?}");
        let runs = collector.counted("compactor", "pipas_compactor_runs_total", ("stream", "courier-chat"));
        ensure!(runs == Some(1.0), "{runs:?}");
        Ok(())
    })
    .await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nothing_up() -> anyhow::Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let env = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{nobody}")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned()),
    ];
    let world = World::start(Setup { env, ..Setup::default() }).await?;
    send(&world, &format!("00-{TRACE}-00f067aa0ba902b7-01"), "sampled").await?;
    eventually(PATIENCE, async || {
        let count = world.query_one("SELECT COUNT(*) FROM courier_chat.orders").await?;
        ensure!(count == "1", "{count}");
        Ok(())
    })
    .await?;
    world.stop().await
}
