use std::{io, time::Duration};

use axum::{Router, middleware};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    App, Drain, health,
    metrics::RequestMetrics,
    otlp,
    request::{self, Observed},
};

/// How long a stop may take in all, in-flight requests and drains together. Cloud Run kills the container 10 s after SIGTERM.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(8);

/// How long a client may take to send a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// The pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` over HTTP/1.1 and h2c until `stop` is cancelled; then stops accepting, lets in-flight requests end, runs the
/// drains, and returns within [`DRAIN_DEADLINE`] whatever they do, and a second more where a collector is to be told.
pub async fn serve(name: &'static str, listener: TcpListener, app: App, stop: CancellationToken) -> io::Result<()> {
    serve_within(DRAIN_DEADLINE, name, listener, app, stop).await
}

async fn serve_within(
    deadline: Duration,
    name: &'static str,
    listener: TcpListener,
    app: App,
    stop: CancellationToken,
) -> io::Result<()> {
    let metrics = RequestMetrics::new(&app.registry).map_err(io::Error::other)?;
    otlp::watch(name, &app.registry);
    let router = Router::new()
        .merge(app.router)
        .merge(health::router(app.readiness, app.registry))
        .layer(CatchPanicLayer::custom(request::panicked))
        .layer(middleware::from_fn_with_state(Observed { service: name, metrics }, request::observe));
    tracing::info!(service = name, address = %listener.local_addr()?, "listening");

    let mut connections = accept_until(&stop, listener, router).await;
    app.stopping.cancel();
    let until = Instant::now() + deadline;
    // A quarter of the time is kept for the drains, whatever in-flight requests do.
    if timeout_at(until - deadline / 4, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(
            service = name,
            connections = connections.len(),
            "requests that did not end in time are dropped"
        );
        connections.shutdown().await;
    }
    if timeout_at(until, run_all(app.drains)).await.is_err() {
        tracing::error!(service = name, limit_ms = deadline.as_millis(), "the drain did not end in time");
    }
    otlp::flush().await;
    tracing::info!(service = name, "stopped");
    Ok(())
}

async fn run_all(drains: Vec<Drain>) {
    for drain in drains {
        drain.run().await;
    }
}

/// Accepts until `stop`, then closes the listener. Returns the connections that are still open, each told to end.
async fn accept_until(stop: &CancellationToken, listener: TcpListener, router: Router) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return connections,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(converse(socket, router.clone(), stop.clone()));
                }
                Err(error) if of_the_peer(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One connection, until either side ends it or, after `stop`, its last request is answered.
async fn converse(socket: TcpStream, router: Router, stop: CancellationToken) {
    // A response is not held back for the acknowledgement of the one before; where it cannot be set it is only slower.
    let _ = socket.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(1000);
    let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

fn of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use axum::routing::get;
    use http::StatusCode;
    use prometheus::Registry;
    use tokio::{sync::Notify, task::JoinHandle};

    use super::*;

    /// A service on a port of its own, and the way to stop it.
    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        served: JoinHandle<io::Result<()>>,
    }

    impl Running {
        async fn start(app: App, deadline: Duration) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let stop = CancellationToken::new();
            let served = tokio::spawn(serve_within(deadline, "test", listener, app, stop.clone()));
            Self { address, stop, served }
        }

        fn url(&self, path: &str) -> String {
            format!("http://{}{path}", self.address)
        }

        async fn stopped(self) {
            self.stop.cancel();
            self.served.await.expect("no panic").expect("no error");
        }
    }

    fn app(router: Router) -> App {
        App::new(router, Registry::new())
    }

    async fn get_text(client: &reqwest::Client, url: String) -> (StatusCode, String) {
        let response = client.get(url).send().await.expect("a response");
        (response.status(), response.text().await.expect("a body"))
    }

    #[tokio::test]
    async fn in_flight_requests_end_before_the_drain_and_new_connections_are_refused() {
        let (entered, release, drained) =
            (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (in_handler, until) = (Arc::clone(&entered), Arc::clone(&release));
        let slow = async move || {
            in_handler.notify_one();
            until.notified().await;
            "done"
        };
        let in_drain = Arc::clone(&drained);
        let told = CancellationToken::new();
        let app = app(Router::new().route("/slow", get(slow)))
            .stopping_cancels(told.clone())
            .on_drain(async move || in_drain.store(true, Ordering::SeqCst));
        let running = Running::start(app, DRAIN_DEADLINE).await;
        let (client, url, address) = (reqwest::Client::new(), running.url("/slow"), running.address);

        let request = tokio::spawn(async move { get_text(&client, url).await });
        entered.notified().await;
        running.stop.cancel();
        told.cancelled().await;
        assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
        assert!(!drained.load(Ordering::SeqCst), "the drain waits for requests");
        release.notify_one();
        assert_eq!(request.await.expect("no panic"), (StatusCode::OK, "done".to_owned()));
        running.stopped().await;
        assert!(drained.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn the_deadline_holds_whatever_requests_and_drains_do() {
        let entered = Arc::new(Notify::new());
        let in_handler = Arc::clone(&entered);
        let hang = async move || {
            in_handler.notify_one();
            std::future::pending::<&'static str>().await
        };
        let reached = Arc::new(AtomicBool::new(false));
        let in_drain = Arc::clone(&reached);
        let app = app(Router::new().route("/hang", get(hang))).on_drain(async move || {
            in_drain.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        });
        let running = Running::start(app, Duration::from_millis(400)).await;
        let request = tokio::spawn(reqwest::get(running.url("/hang")));
        entered.notified().await;
        let limit = tokio::time::timeout(Duration::from_secs(5), running.stopped());
        limit.await.expect("stopped in time");
        assert!(reached.load(Ordering::SeqCst), "time is left for the drain");
        assert!(request.await.expect("no panic").is_err(), "the request was dropped");
    }

    #[tokio::test]
    async fn both_protocols_are_spoken() {
        let running = Running::start(app(Router::new()), DRAIN_DEADLINE).await;
        let h1 = reqwest::Client::builder().http1_only().build().expect("a client");
        let h2 = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
        for client in [&h1, &h2] {
            assert_eq!(get_text(client, running.url("/healthz")).await, (StatusCode::OK, "ok\n".to_owned()));
        }
        let version = h2.get(running.url("/healthz")).send().await.expect("a response").version();
        assert_eq!(version, http::Version::HTTP_2);
        running.stopped().await;
    }

    #[tokio::test]
    async fn readiness_says_what_it_waits_for() {
        let ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ready);
        let app = app(Router::new()).ready_when(move || {
            let ready = asked.load(Ordering::SeqCst);
            async move { if ready { Ok(()) } else { Err("no ledger") } }
        });
        let running = Running::start(app, DRAIN_DEADLINE).await;
        let client = reqwest::Client::new();
        let (status, body) = get_text(&client, running.url("/readyz")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("no ledger"), "{body}");
        ready.store(true, Ordering::SeqCst);
        assert_eq!(get_text(&client, running.url("/readyz")).await.0, StatusCode::OK);
        running.stopped().await;
    }

    #[tokio::test]
    async fn a_panic_is_a_500_and_requests_are_measured() {
        let panics = async || -> &'static str { panic!("on purpose") };
        let running = Running::start(app(Router::new().route("/panics/{id}", get(panics))), DRAIN_DEADLINE).await;
        let client = reqwest::Client::new();
        let response =
            client.get(running.url("/panics/7")).header("x-request-id", "r-1").send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-request-id"], "r-1");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = response.text().await.expect("a body");
        assert!(!body.contains("on purpose"), "{body}");
        let (_, metrics) = get_text(&client, running.url("/metrics")).await;
        let count = r#"http_request_duration_seconds_count{method="GET",route="/panics/{id}",status="500"} 1"#;
        assert!(metrics.contains(count), "{metrics}");
        running.stopped().await;
    }
}
