//! Problem details (RFC 9457): the body of every refusal.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A refusal as RFC 9457 writes it: `type`, `title`, `status`, `detail` and extension members.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<String>,
    extensions: Map<String, Value>,
    headers: HeaderMap,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(flatten)]
    extensions: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of the type `kind` (a URI that never changes) and its title (which is the same for every problem of the type).
    pub fn new(status: StatusCode, kind: impl Into<Cow<'static, str>>, title: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            kind: kind.into(),
            title: title.into(),
            detail: None,
            extensions: Map::new(),
            headers: HeaderMap::new(),
        }
    }

    /// The problem that says no more than that the fault is ours.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "urn:pipas:problem:internal", "Internal error")
    }

    /// What is wrong this time, for people.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// An extension member. A value that has no JSON form is left out.
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.extensions.insert(name.to_owned(), value);
        }
        self
    }

    /// A header of the response. A value that cannot stand in a header is left out.
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.insert(name, value);
        }
        self
    }

    /// When to come again, in seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let body = Body {
            r#type: &self.kind,
            title: &self.title,
            status: self.status.as_u16(),
            detail: self.detail.as_deref(),
            extensions: &self.extensions,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json();
        (self.status, self.headers, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
    }
}

/// A router's fallback: 404 for a path that does not exist.
pub async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "urn:pipas:problem:no-such-path", "No such path")
        .detail(format!("nothing is served at {}", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_written_as_the_rfc_says() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "urn:pipas:problem:unknown-stream", "Unknown stream")
            .detail("no stream is named `x`")
            .with("streams", ["a", "b"])
            .retry_after(2);
        assert_eq!(
            String::from_utf8(problem.to_json()).as_deref(),
            Ok(
                r#"{"type":"urn:pipas:problem:unknown-stream","title":"Unknown stream","status":404,"detail":"no stream is named `x`","streams":["a","b"]}"#
            )
        );
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
