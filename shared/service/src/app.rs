use std::{fmt, future::Future, sync::Arc};

use axum::Router;
use futures::future::{BoxFuture, FutureExt};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

/// What a function hands to the shim: its routes, its metrics, and what to do when it stops.
#[derive(Debug)]
pub struct App {
    /// The function's routes. `/healthz`, `/readyz` and `/metrics` are the shim's.
    pub router: Router,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// What is run, one after another, once the last request has ended.
    pub drains: Vec<Drain>,
    /// What `/readyz` asks.
    pub readiness: Readiness,
    /// Cancelled as soon as the service is told to stop, so that long requests can end early.
    pub stopping: CancellationToken,
}

impl App {
    /// An app that is always ready and has nothing to drain.
    pub fn new(router: Router, registry: Registry) -> Self {
        Self {
            router,
            registry,
            drains: Vec::new(),
            readiness: Readiness::always(),
            stopping: CancellationToken::new(),
        }
    }

    /// Runs `drain` on shutdown: after the listener is closed and in-flight requests have ended, within [`crate::DRAIN_DEADLINE`] in all.
    pub fn on_drain<Fut>(mut self, drain: impl FnOnce() -> Fut + Send + 'static) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.drains.push(Drain(Box::new(move || drain().boxed())));
        self
    }

    /// Answers `/readyz` by `check`, which is given two seconds.
    pub fn ready_when<Fut, E>(mut self, check: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.readiness = Readiness(Arc::new(move || check().map(|ready| ready.map_err(|e| e.to_string())).boxed()));
        self
    }

    /// Cancels `token` as soon as the service is told to stop, before in-flight requests have ended.
    pub fn stopping_cancels(mut self, token: CancellationToken) -> Self {
        self.stopping = token;
        self
    }
}

/// Work that is done once, on shutdown.
pub struct Drain(Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>);

impl Drain {
    /// Does it.
    pub async fn run(self) {
        (self.0)().await;
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drain")
    }
}

/// Whether the function can do its work now.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>);

impl Readiness {
    /// Ready as soon as it serves.
    pub fn always() -> Self {
        Self(Arc::new(|| std::future::ready(Ok(())).boxed()))
    }

    /// `Err` says what it waits for.
    pub async fn check(&self) -> Result<(), String> {
        (self.0)().await
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readiness")
    }
}
