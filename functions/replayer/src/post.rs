//! `POST /replay`: one bounded run. Asked again, it goes on where it ended.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use service::problem::Problem;
use tokio::time::Instant;

use crate::{Control, ReplayError, Replayer, Report, Request};

/// How long a run takes where the request does not say: well below Cloud Run's own limit of a request.
const SECONDS: u64 = 240;

#[derive(Debug, Deserialize)]
struct Asked {
    /// The most seconds of this run.
    max_seconds: Option<u64>,
}

/// Runs the replay that the body describes, within its time. 200 with the report, whose `state` says whether it is done.
pub(crate) async fn post(
    State(replayer): State<Replayer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ReplayError> {
    replayer.0.auth.verify_headers(&headers).await?;
    let (request, seconds) = match parse(&body) {
        Ok(parsed) => parsed,
        Err(error) => {
            let title = "The body is no replay";
            let problem = Problem::new(StatusCode::BAD_REQUEST, "urn:pipas:problem:bad-replay", title);
            return Ok(problem.detail(error.to_string()).into_response());
        }
    };
    let tasks = replayer.0.tasks.clone();
    // A task of its own: a trigger that no longer waits does not end a run between two messages.
    let report: Report = tasks.spawn(run(replayer, request, seconds)).await.map_err(|_| ReplayError::Lost)??;
    Ok(Json(report).into_response())
}

fn parse(body: &[u8]) -> serde_json::Result<(Request, u64)> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body)?;
    let asked = Asked { max_seconds: fields.remove("max_seconds").map(serde_json::from_value).transpose()? };
    Ok((serde_json::from_value(fields.into())?, asked.max_seconds.unwrap_or(SECONDS)))
}

async fn run(replayer: Replayer, request: Request, seconds: u64) -> Result<Report, ReplayError> {
    let inner = &replayer.0;
    let Ok(_turn) = inner.turn.try_lock() else { return Err(ReplayError::Busy) };
    let deadline = Instant::now().checked_add(Duration::from_secs(seconds));
    let control = Control { deadline, stop: inner.stopping.clone(), ..Control::default() };
    replayer.replay(&request, &control).await
}

#[cfg(test)]
mod tests {
    use crate::Mode;

    use super::*;

    #[test]
    fn a_body_is_a_request_and_its_time() {
        let (request, seconds) =
            parse(br#"{"stream":"s","mode":"merge","from":"2024-02-01T00:00:00Z","max_seconds":5}"#)
                .expect("a request");
        assert_eq!((request.stream.as_str(), request.mode, seconds), ("s", Mode::Merge, 5));
        assert_eq!(parse(br#"{"stream":"s"}"#).expect("a request").1, SECONDS);
        for bad in ["", "[]", r#"{"stream":"s","tabels":[]}"#, r#"{"from":"noon"}"#] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
