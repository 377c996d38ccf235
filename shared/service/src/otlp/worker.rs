use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest, metrics::v1::ResourceMetrics, resource::v1::Resource,
};
use prost::Message;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{Command, Settings, Source, metrics, sender::Sender, take_dropped, traces};
use crate::span::Recording;

/// Gathers spans and metrics, and sends them by the clock.
pub(super) struct Worker {
    settings: Settings,
    /// Tells this process's telemetry from that of others of the same name.
    instance: String,
    finished: mpsc::Receiver<Recording>,
    asked: mpsc::UnboundedReceiver<Command>,
    spans: Vec<Recording>,
    sources: Vec<Source>,
    sender: Sender,
}

impl Worker {
    pub(super) fn new(
        settings: Settings,
        finished: mpsc::Receiver<Recording>,
        asked: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            settings,
            instance: uuid::Uuid::new_v4().to_string(),
            finished,
            asked,
            spans: Vec::new(),
            sources: Vec::new(),
            sender: Sender::default(),
        }
    }

    /// Runs as long as the process does.
    pub(super) async fn run(mut self) {
        let mut spans_due = every(self.settings.spans_every);
        let mut metrics_due = every(self.settings.metrics_every);
        loop {
            let room = self.settings.batch.saturating_sub(self.spans.len()).max(1);
            tokio::select! {
                Some(_) = async { Some(self.finished.recv_many(&mut self.spans, room).await).filter(|taken| *taken > 0) } => {
                    if self.spans.len() >= self.settings.batch {
                        self.send_spans().await;
                    }
                }
                Some(command) = self.asked.recv() => match command {
                    Command::Watch(source) => self.sources.push(source),
                    Command::Flush(done) => {
                        self.flush().await;
                        // Whoever asked may wait no longer.
                        let _ = done.send(());
                    }
                },
                _ = spans_due.tick() => self.send_spans().await,
                _ = metrics_due.tick() => self.send_metrics().await,
            }
        }
    }

    async fn flush(&mut self) {
        while let Ok(span) = self.finished.try_recv() {
            self.spans.push(span);
        }
        self.send_spans().await;
        self.send_metrics().await;
    }

    async fn send_spans(&mut self) {
        let dropped = take_dropped();
        if dropped > 0 {
            tracing::warn!(spans = dropped, "spans are lost: more ended than could be sent");
        }
        let Some(target) = self.settings.traces.clone().filter(|_| !self.spans.is_empty()) else { return };
        let spans = std::mem::take(&mut self.spans);
        let request = traces::request(spans, |service| self.resource(service));
        self.sender.send(&target, request.encode_to_vec()).await;
    }

    async fn send_metrics(&mut self) {
        let Some(target) = self.settings.metrics.clone().filter(|_| !self.sources.is_empty()) else { return };
        let now = SystemTime::now();
        let resource_metrics = self.sources.iter().map(|source| ResourceMetrics {
            resource: Some(self.resource(source.service)),
            scope_metrics: vec![metrics::scope_metrics(source, now)],
            schema_url: String::new(),
        });
        let request = ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() };
        self.sender.send(&target, request.encode_to_vec()).await;
    }

    fn resource(&self, service: &str) -> Resource {
        let mut attributes = vec![
            traces::text("service.name", self.settings.service.as_deref().unwrap_or(service)),
            traces::text("service.namespace", "pipas"),
            traces::text("service.instance.id", self.instance.as_str()),
        ];
        attributes.extend(self.settings.resource.iter().map(|(name, value)| traces::text(name, value)));
        Resource { attributes, ..Resource::default() }
    }
}

fn every(period: std::time::Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
