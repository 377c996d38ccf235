//! Pub/Sub: `google.pubsub.v1` over gRPC, with push delivery.
//!
//! What is the service's own behaviour and what is this server's:
//! * A publish is answered once the operating system has the message. Acknowledgements are written without being waited
//!   for: a killed process may deliver acked messages again, as the service may.
//! * Push: see [`window`] for how many pushes are on their way; a message that fails stays away for the retry policy's
//!   time, else from 100 ms doubling to 60 s, and does not hold up the others.
//! * Ordering: a failed message comes again before the later ones of its key, with those that were out and not acked.
//! * Message ids are decimal numbers that grow with time. The expiration policy is kept and not applied.

mod ack_id;
mod backlog;
mod clock;
mod config;
mod engine;
mod filter;
mod message;
mod names;
mod ordering;
mod page;
mod publish;
mod publisher;
mod push;
mod recovery;
mod retry;
mod store;
mod streaming;
mod subscriber;
mod subscription;
mod token;
mod topic;
mod window;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use googleapis::google::pubsub::v1::{publisher_server::PublisherServer, subscriber_server::SubscriberServer};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub(crate) use self::{config::Oidc, token::Signer};
use self::{engine::Engine, publisher::PublisherService, subscriber::SubscriberService};
use crate::{
    faults::Faults,
    wire::{HttpServer, grpc_faults},
};

/// Where the key set of the push tokens is served.
pub(crate) const JWKS_PATH: &str = "/oauth2/v3/certs";
/// Where the statistics of the subscriptions are served.
const STATS_PATH: &str = "/local/v1/subscriptions";
/// The largest request: 10 MB of messages and what is around them.
const LARGEST_REQUEST: usize = 32 << 20;
/// How long the tasks of a stopping server may take.
const STOPPING: Duration = Duration::from_secs(5);

/// What a subscription holds and has done.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SubscriptionStats {
    /// The full name.
    pub name: String,
    /// The full name of its topic.
    pub topic: String,
    /// Unacked messages.
    pub backlog: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// The age of the oldest of them; `None` where there is none.
    pub oldest_unacked_age_seconds: Option<f64>,
    /// Deliveries since the server started, redeliveries among them.
    pub delivered: u64,
    /// Acked messages since the server started.
    pub acked: u64,
    /// Deliveries that were nacked or expired, since the server started.
    pub nacked: u64,
    /// Messages that went to the dead-letter topic, since the server started.
    pub dead_lettered: u64,
}

/// The running server.
pub(crate) struct Server {
    engine: Arc<Engine>,
    http: HttpServer,
}

/// Serves Pub/Sub on `listener`, with what `folder` holds from earlier.
pub(crate) async fn start(listener: TcpListener, folder: PathBuf, faults: Faults) -> anyhow::Result<Server> {
    let rules = faults.clone();
    let runtime = tokio::runtime::Handle::current();
    let open = move || {
        let _runtime = runtime.enter();
        Engine::open(&folder, rules)
    };
    let engine = tokio::task::spawn_blocking(open).await.context("opening Pub/Sub")??;
    let publisher = PublisherServer::new(PublisherService(engine.clone()))
        .max_decoding_message_size(LARGEST_REQUEST)
        .max_encoding_message_size(usize::MAX);
    let subscriber = SubscriberServer::new(SubscriberService(engine.clone()))
        .max_decoding_message_size(LARGEST_REQUEST)
        .max_encoding_message_size(usize::MAX);
    let router = Routes::new(publisher)
        .add_service(subscriber)
        .prepare()
        .into_axum_router()
        .layer(middleware::from_fn_with_state(faults, grpc_faults))
        .merge(
            Router::new()
                .route(JWKS_PATH, get(key_set))
                .route(STATS_PATH, get(subscriptions))
                .with_state(engine.clone()),
        );
    Ok(Server { http: HttpServer::spawn(listener, router)?, engine })
}

impl Server {
    /// Who signs the tokens of requests: the key set that is served here is theirs.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.engine.sender.signer)
    }

    /// What each subscription holds and has done, in the order of their names.
    pub(crate) fn stats(&self) -> Vec<SubscriptionStats> {
        self.engine.stats()
    }

    /// Stops delivering, ends open streams, answers what is in flight, and closes the files.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        let Self { engine, http } = self;
        engine.stop();
        let served = http.shutdown().await;
        engine.tasks.close();
        if tokio::time::timeout(STOPPING, engine.tasks.wait()).await.is_err() {
            tracing::warn!("some Pub/Sub tasks did not end in time");
        }
        tokio::task::spawn_blocking(move || engine.shared.store.stop()).await.context("closing Pub/Sub")??;
        served
    }
}

async fn key_set(State(engine): State<Arc<Engine>>) -> Response {
    match engine.sender.signer.key_set().await {
        Ok(keys) => ([("cache-control", "public, max-age=60")], Json(keys)).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the push key could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn subscriptions(State(engine): State<Arc<Engine>>) -> Json<Vec<SubscriptionStats>> {
    Json(engine.stats())
}

#[cfg(test)]
mod tests;
