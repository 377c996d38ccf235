use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

/// A feed on the web that does what a test says.
#[derive(Debug, Clone)]
pub struct FeedServer {
    /// Where the feed is.
    pub url: String,
    state: Arc<Mutex<FeedState>>,
}

/// What the feed answers, and what it was asked.
#[derive(Debug, Default)]
pub struct FeedState {
    /// The body.
    pub body: Vec<u8>,
    /// Its tag, where it has one: a client that names it is answered with 304.
    pub etag: Option<String>,
    /// The status, where it is not 200.
    pub status: Option<u16>,
    /// `Retry-After`, where there is one.
    pub retry_after: Option<u64>,
    /// How long each answer takes.
    pub delay: Duration,
    /// The headers of each request.
    pub requests: Vec<HeaderMap>,
}

impl FeedServer {
    /// Starts to serve an empty body.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/feed", listener.local_addr()?);
        let state = Arc::new(Mutex::new(FeedState::default()));
        let router = Router::new().route("/feed", get(answer)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, state })
    }

    /// What the feed answers from now on, and what it was asked.
    pub fn state(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(state): State<Arc<Mutex<FeedState>>>, headers: HeaderMap) -> Response {
    let (delay, response) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        state.requests.push(headers);
        let status = StatusCode::from_u16(state.status.unwrap_or(200)).unwrap_or(StatusCode::OK);
        let mut answer = if asked.is_some() && asked == state.etag {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            (status, state.body.clone()).into_response()
        };
        if let Some(tag) = state.etag.as_deref().and_then(|tag| tag.parse().ok()) {
            answer.headers_mut().insert(header::ETAG, tag);
        }
        if let Some(seconds) = state.retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        (state.delay, answer)
    };
    tokio::time::sleep(delay).await;
    response
}
