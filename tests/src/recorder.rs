use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use pipas::Endpoints;
use serde_json::Value;
use tokio::net::TcpListener;

/// Stands between the command line and an instance's receiver, and keeps what it took: the very events that were sent.
#[derive(Debug)]
pub struct Recorder {
    folder: tempfile::TempDir,
    taken: Arc<Mutex<Vec<Bytes>>>,
}

#[derive(Clone)]
struct Relay {
    receiver: String,
    http: reqwest::Client,
    taken: Arc<Mutex<Vec<Bytes>>>,
}

impl Recorder {
    /// Starts it before the receiver of `endpoints`.
    pub async fn before(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let (folder, taken) = (tempfile::tempdir()?, Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let seen = Endpoints { receiver: format!("http://{}", listener.local_addr()?), ..endpoints.clone() };
        std::fs::write(folder.path().join(Endpoints::FILE), serde_json::to_vec(&seen)?)?;
        let http = reqwest::Client::new();
        let relay = Relay { receiver: endpoints.receiver.clone(), http, taken: Arc::clone(&taken) };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(pass).with_state(relay)).await });
        Ok(Self { folder, taken })
    }

    /// What commands take for the instance's data directory.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The events of every request that was answered with 200, one a line of their bodies.
    pub fn events(&self) -> anyhow::Result<Vec<Value>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = taken.iter().flat_map(|body| body.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty());
        lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }
}

async fn pass(State(relay): State<Relay>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let url = format!("{}{}", relay.receiver, parts.uri);
    let mut sent = relay.http.request(parts.method, url).body(body.clone());
    for name in ["content-type", "idempotency-key"] {
        if let Some(value) = parts.headers.get(name) {
            sent = sent.header(name, value);
        }
    }
    // Whoever gets no answer sends again, under the same key.
    let Ok(answer) = sent.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    if status == StatusCode::OK {
        relay.taken.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    }
    (status, answer.bytes().await.unwrap_or_default()).into_response()
}
