//! The deadletter function: a message whose deliveries are used up becomes one dead letter.
//!
//! It is the loader with one verdict. Whether the event is a row after all, or in somebody's hands, only the claims can say; so
//! it has the loader's writers, and gives the event up by the same protocol by which a loader refuses it.

mod config;
mod error;
mod exhausted;
mod message;
pub mod metrics;

use std::sync::Arc;

use axum::{Router, routing::post};
use loader::Loader;
use service::App;

pub use config::Config;
pub use error::StartError;

use crate::metrics::Metrics;

/// The function, connected.
#[derive(Clone)]
pub struct Deadletter(Arc<Inner>);

pub(crate) struct Inner {
    loader: Loader,
    /// Whether the loader is this function's alone, and not that of a process which runs both.
    owns_loader: bool,
    metrics: Metrics,
}

impl Deadletter {
    /// Makes the clients. Nothing is asked of BigQuery before the first delivery.
    pub async fn connect(config: &Config) -> Result<Self, StartError> {
        Self::new(Loader::connect(&config.0).await?, true)
    }

    /// Beside a loader in one process: two of them would each keep a ledger of their own there.
    pub fn beside(loader: Loader) -> Result<Self, StartError> {
        Self::new(loader, false)
    }

    fn new(loader: Loader, owns_loader: bool) -> Result<Self, StartError> {
        let metrics = Metrics::new(loader.streams())?;
        Ok(Self(Arc::new(Inner { loader, owns_loader, metrics })))
    }
}

/// The function as an app: its routes, its metrics, and the drain of its writers.
pub fn router(Deadletter(inner): Deadletter) -> Result<App, StartError> {
    let registry = if inner.owns_loader { inner.loader.registry() } else { prometheus::Registry::new() };
    inner.metrics.register(&registry)?;
    let (asked, drained) = (inner.loader.clone(), inner.loader.clone());
    let (owns_loader, stop) = (inner.owns_loader, inner.loader.stop());
    let router = Router::new()
        .route("/", post(exhausted::post))
        .route("/push/{stream}", post(exhausted::post))
        .fallback(service::problem::no_such_path)
        .with_state(inner);
    let app = App::new(router, registry).ready_when(move || {
        let loader = asked.clone();
        async move { loader.ready().await }
    });
    Ok(match owns_loader {
        true => app.stopping_cancels(stop).on_drain(move || async move { drained.drain().await }),
        false => app,
    })
}
