//! Posting events to the receiver: one request is tried until it is answered for good.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use reqwest::{StatusCode, header};
use serde::Deserialize;

/// A client of one stream's path at the receiver.
#[derive(Debug, Clone)]
pub(crate) struct Poster {
    http: reqwest::Client,
    url: String,
}

/// The receiver's final answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Every event is on the topic.
    Accepted(usize),
    /// Nothing was published; these lines of the body are at fault. Empty: the request as a whole is.
    Refused { detail: String, errors: Vec<LineError> },
    /// The body is larger than the receiver takes.
    TooLarge { detail: String },
}

/// What is wrong with one line of a body.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LineError {
    /// The line in the body, from 1.
    pub(crate) line: usize,
    /// What is wrong, and what was expected.
    pub(crate) detail: String,
}

#[derive(Debug, Deserialize)]
struct Accepted {
    accepted: usize,
}

#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<LineError>,
}

/// How long a request that the receiver pushes back is tried again.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

impl Poster {
    pub(crate) fn new(receiver: &str, stream: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let mut url = reqwest::Url::parse(receiver).with_context(|| format!("{receiver} is no URL"))?;
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{receiver} is no base URL"))?
            .pop_if_empty()
            .extend(["v1", "streams", stream, "events"]);
        Ok(Self { http, url: url.into() })
    }

    /// Posts `body` under `key` until the receiver takes or refuses it. A resend under the same key is the same events.
    pub(crate) async fn post(&self, body: Bytes, content_type: &str, key: &str) -> anyhow::Result<Answer> {
        let started = tokio::time::Instant::now();
        let mut backoff = FIRST_BACKOFF;
        loop {
            let sent = self
                .http
                .post(&self.url)
                .header(header::CONTENT_TYPE, content_type)
                .header("idempotency-key", key)
                .body(body.clone())
                .send()
                .await;
            let reason = match sent {
                Ok(response) => match self.read(response).await? {
                    Ok(answer) => return Ok(answer),
                    Err(pushed_back) => pushed_back,
                },
                Err(error) => anyhow::Error::from(error),
            };
            if started.elapsed() > PATIENCE {
                return Err(reason.context(format!("gave up after {} s", PATIENCE.as_secs())));
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// The final answer, or why it is worth trying again.
    async fn read(&self, response: reqwest::Response) -> anyhow::Result<Result<Answer, anyhow::Error>> {
        let status = response.status();
        if status == StatusCode::OK {
            let Accepted { accepted } = response.json().await.context("the receiver's answer")?;
            return Ok(Ok(Answer::Accepted(accepted)));
        }
        let problem = response.json::<Problem>().await.unwrap_or_default();
        let detail = problem.detail.unwrap_or_else(|| status.to_string());
        match status {
            StatusCode::PAYLOAD_TOO_LARGE if problem.errors.is_empty() => Ok(Ok(Answer::TooLarge { detail })),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(Ok(Answer::Refused { detail, errors: problem.errors }))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Ok(Err(anyhow::anyhow!(detail))),
            status if status.is_server_error() => Ok(Err(anyhow::anyhow!(detail))),
            _ => bail!("{}: {detail}", self.url),
        }
    }
}
