//! The receiver: events over HTTPS onto the stream's topic.
//!
//! Nothing is answered with 200 before Pub/Sub has taken it. A request is all or nothing where it is read: one bad event and
//! nothing of it is published. Where publishing fails midway the answer names what is on the topic, and the same request
//! with the same `Idempotency-Key` gives the same ids, so that sending it again is harmless.

mod body;
mod check;
mod config;
mod cors;
mod error;
mod events;
mod headers;
mod ids;
mod intake;
mod linger;
mod metrics;
mod openapi;
mod streams;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    middleware::{from_fn_with_state, map_request},
    routing::{get, post},
};
use catalog::Catalog;
use pubsub::{Client, PublishLimits};
use rows::Checker;
use service::App;
use tokio::sync::Semaphore;

pub use check::{CheckError, Checked, CheckedEvent, RawRow};
pub use config::Config;
pub use error::{BadEvent, StartError};
pub use events::Accepted;
pub use openapi::document as openapi_document;
pub use streams::StreamEntry;

use crate::{error::ReceiverError, intake::Intake, metrics::Metrics};

/// The receiver, connected.
#[derive(Debug, Clone)]
pub struct Receiver {
    intakes: Arc<BTreeMap<String, Intake>>,
    metrics: Metrics,
    /// The largest body, decompressed.
    max_body_bytes: usize,
    /// Room for the bodies that are being read.
    room: Arc<Semaphore>,
}

impl Receiver {
    /// Reads the catalog that `config` names and connects to Pub/Sub.
    pub async fn connect(config: &Config) -> Result<Self, StartError> {
        Self::with_catalog(config, Catalog::load(&config.catalog)?).await
    }

    /// Connects to Pub/Sub for the streams of `catalog`.
    pub async fn with_catalog(config: &Config, catalog: Catalog) -> Result<Self, StartError> {
        let limits = PublishLimits { outstanding_bytes: config.publish_bytes, ..PublishLimits::default() };
        let client = Client::connect_with(&config.pubsub, limits).await?;
        let metrics = Metrics::new()?;
        let mut intakes = BTreeMap::new();
        for (name, stream) in catalog.streams {
            let publisher = client.publisher(stream.topic());
            let checker = Checker::new(&stream)?;
            intakes.insert(name, Intake::new(stream, publisher, checker));
        }
        Ok(Self {
            intakes: Arc::new(intakes),
            metrics,
            max_body_bytes: config.max_body_bytes,
            room: Arc::new(Semaphore::new(config.intake_bytes)),
        })
    }

    fn intake(&self, stream: &str) -> Result<&Intake, ReceiverError> {
        self.intakes.get(stream).ok_or_else(|| ReceiverError::UnknownStream {
            stream: stream.chars().take(100).collect(),
            streams: self.intakes.keys().cloned().collect(),
        })
    }
}

/// The receiver as an app: its routes, its metrics, and the flush of what is being published.
pub fn router(receiver: Receiver) -> Result<App, StartError> {
    let registry = receiver.metrics.registry()?;
    let intakes = Arc::clone(&receiver.intakes);
    let router = Router::new()
        .route(
            "/v1/streams/{stream}/events",
            post(events::post).options(cors::options).layer(from_fn_with_state(receiver.clone(), cors::guard)),
        )
        .route("/v1/streams/{stream}/check", post(check::post))
        .route("/v1/streams", get(streams::list))
        .route("/openapi.json", get(openapi::get))
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(service::problem::no_such_path)
        .layer(map_request(linger::until_read))
        .with_state(receiver);
    Ok(App::new(router, registry).on_drain(async move || {
        for intake in intakes.values() {
            intake.flush().await;
        }
    }))
}
