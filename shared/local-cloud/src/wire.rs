//! What the servers share of the wire: the accept loop, and faults at the level of a call.

use std::{convert::Infallible, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::faults::{Action, Faults};

/// How long a stopping server lets calls in flight end.
const DRAIN: Duration = Duration::from_secs(3);
/// Streams and connections of HTTP/2 may have this much on the way before the reader has to say that it read.
const WINDOW: u32 = 8 << 20;

/// One client's connection. [`Connection::drop_now`] closes it without an answer.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    dropped: CancellationToken,
}

impl Connection {
    /// Closes the connection under the client's feet.
    pub(crate) fn drop_now(&self) {
        self.dropped.cancel();
    }
}

/// A listening server. It speaks HTTP/1.1 and HTTP/2 without TLS (prior knowledge), each request carries its
/// [`Connection`] as an extension.
#[derive(Debug)]
pub(crate) struct HttpServer {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Serves `router` on `listener` from now on.
    pub(crate) fn spawn(listener: TcpListener, router: Router) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("the listener has no address")?;
        tracing::debug!(%address, "serving");
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, router, stop.clone()));
        Ok(Self { stop, task })
    }

    /// Accepts no more, lets calls in flight end within a bound, and returns when every connection is closed.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the accept loop failed")
    }
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_concurrent_streams(10_000)
        .max_frame_size(1 << 20)
        .max_header_list_size(64 << 10);
    let graceful = GracefulShutdown::new();
    let dropped = CancellationToken::new();
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let connection = Connection { dropped: dropped.child_token() };
        let router = router.clone();
        let handle = connection.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(handle.clone());
            let router = router.clone();
            async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
        });
        let serving = graceful.watch(http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
        connections.spawn(async move {
            tokio::select! {
                served = serving => if let Err(error) = served {
                    tracing::debug!(error, "a connection ended badly");
                },
                () = connection.dropped.cancelled() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::debug!("connections were cut at shutdown");
    }
    dropped.cancel();
    connections.close();
    connections.wait().await;
}

/// Applies the faults to unary gRPC calls: the call `/google.pubsub.v1.Publisher/Publish` is named `Publisher/Publish`.
/// A streaming call meets them where it opens.
pub(crate) async fn grpc_faults(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let action = faults.next(call_name(request.uri().path()));
    match action {
        None | Some(Action::Duplicate) => next.run(request).await,
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Action::Error { code, message, .. }) => tonic::Status::new(code, message).into_http(),
        Some(Action::ApplyThenFail) => {
            next.run(request).await;
            tonic::Status::unavailable("injected fault: the answer was lost").into_http()
        }
        Some(Action::DropConnection) => drop_connection(&request).await,
    }
}

/// Closes the connection that the request came on; never answers.
pub(crate) fn drop_connection(request: &Request) -> impl Future<Output = Response> + Send + use<> {
    let connection = request.extensions().get::<Connection>().cloned();
    async move {
        match connection {
            Some(connection) => {
                connection.drop_now();
                std::future::pending().await
            }
            None => http::StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

/// `Service/Method` of a gRPC path, without the package.
fn call_name(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    let service_end = path.find('/').unwrap_or(path.len());
    let package_end = path[..service_end].rfind('.').map_or(0, |dot| dot + 1);
    &path[package_end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_names_lose_the_package() {
        assert_eq!(call_name("/google.pubsub.v1.Publisher/Publish"), "Publisher/Publish");
        assert_eq!(call_name("/Publisher/Publish"), "Publisher/Publish");
        assert_eq!(call_name("/v1/objects/a.b"), "v1/objects/a.b");
    }
}
