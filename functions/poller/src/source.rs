//! A feed's answer: fetched within its time and size, and only if it has changed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use catalog::{Feed, Setting};
use event::Timestamp;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::redirect;
use service::Env;

/// Redirects that are followed, to the same host.
const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches feeds.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    http: reqwest::Client,
    env: Env,
}

/// What a feed's last answer was known by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

/// A feed's answer.
#[derive(Debug)]
pub(crate) enum Answer {
    NotModified,
    Body { body: Bytes, validators: Validators },
}

/// Why a feed gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("the environment variable {0}, which the catalog names, is not set")]
    Unset(String),
    #[error("the feed did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the feed could not be fetched")]
    Transport(#[source] reqwest::Error),
    #[error("the feed answered {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the feed holds more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the header `{0}` has no value that can be sent")]
    Header(String),
}

impl Source {
    pub(crate) fn new(env: Env) -> Result<Self, reqwest::Error> {
        // Headers may hold secrets, which are another host's business only where the catalog names that host.
        let same_host = redirect::Policy::custom(|attempt| {
            let first = attempt.previous().first();
            let is_same = first.is_some_and(|first| {
                first.host_str() == attempt.url().host_str()
                    && (first.scheme() != "https" || attempt.url().scheme() == "https")
            });
            if is_same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
        });
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(same_host)
            .user_agent(concat!("pipas-poller/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, env })
    }

    /// The feed's answer, unless it is the one that `known` tells of.
    pub(crate) async fn fetch(&self, feed: &Feed, known: &Validators) -> Result<Answer, SourceError> {
        let fetched = tokio::time::timeout(feed.timeout, self.answer(feed, known)).await;
        fetched.unwrap_or(Err(SourceError::Timeout(feed.timeout)))
    }

    async fn answer(&self, feed: &Feed, known: &Validators) -> Result<Answer, SourceError> {
        let url = self.value(&feed.url)?;
        let mut headers = HeaderMap::new();
        for (name, setting) in &feed.headers {
            let unusable = || SourceError::Header(name.clone());
            let mut value = HeaderValue::from_str(&self.value(setting)?).map_err(|_| unusable())?;
            value.set_sensitive(true);
            headers.insert(http::HeaderName::try_from(name).map_err(|_| unusable())?, value);
        }
        for (name, value) in [(header::IF_NONE_MATCH, &known.etag), (header::IF_MODIFIED_SINCE, &known.last_modified)] {
            if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        let failed = |error: reqwest::Error| SourceError::Transport(error.without_url());
        let mut answer = self.http.get(url).headers(headers).send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => return Ok(Answer::NotModified),
            StatusCode::OK => {}
            status => return Err(SourceError::Status { status, retry_after: retry_after(answer.headers()) }),
        }
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let validators = Validators { etag: text(header::ETAG), last_modified: text(header::LAST_MODIFIED) };
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if (body.len() + chunk.len()) as u64 > feed.max_bytes {
                return Err(SourceError::TooLarge { limit: feed.max_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer::Body { body: body.freeze(), validators })
    }

    fn value(&self, setting: &Setting) -> Result<String, SourceError> {
        match setting {
            Setting::Text(text) => Ok(text.clone()),
            Setting::Env { name, default } => {
                let set = self.env.get(name).map(str::to_owned).or_else(|| default.clone());
                set.ok_or_else(|| SourceError::Unset(name.clone()))
            }
        }
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Duration::try_from(date.timestamp().duration_since(Timestamp::now())).ok()
}
