//! Web pages that send from a browser: the CORS protocol (<https://fetch.spec.whatwg.org/#http-cors-protocol>), for streams
//! that declare `cors`.
//!
//! An origin that is not listed gets no permission, and its events are refused too: a browser sends a simple POST without
//! asking, and only hides the answer. A request without `Origin` comes from no web page and is none of CORS' business.

use axum::{
    extract::{Path, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use catalog::Cors;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::{Receiver, error::ReceiverError};

/// Headers of a response that a page may read.
const EXPOSED: &str = "retry-after, x-request-id";
/// What the answer to a preflight depends on.
const VARY: &str = "origin, access-control-request-method, access-control-request-headers";

/// Answers `OPTIONS`: to a preflight with the stream's permission, which [`guard`] adds.
pub(crate) async fn options() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "POST, OPTIONS")])
}

/// Lets through what comes from an origin that the stream lists, or from no web page, and tells the browser so.
pub(crate) async fn guard(
    State(receiver): State<Receiver>,
    Path(stream): Path<String>,
    request: Request,
    next: Next,
) -> Response {
    let Some(cors) = receiver.intakes.get(&stream).and_then(|intake| intake.cors()) else {
        return next.run(request).await;
    };
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return with_vary(next.run(request).await);
    };
    if !origin.to_str().is_ok_and(|origin| cors.allows(origin)) {
        let shown = String::from_utf8_lossy(origin.as_bytes()).chars().take(100).collect();
        let error = ReceiverError::Origin { origin: shown };
        receiver.metrics.refused_requests.with_label_values(&[error.result()]).inc();
        return with_vary(error.into_response());
    }
    let preflight = (request.method() == Method::OPTIONS).then(|| asked_for(request.headers()));
    let mut response = with_vary(next.run(request).await);
    permit(cors, origin, response.headers_mut());
    if let Some(asked) = preflight {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, cors.max_age.as_secs().into());
        if let Ok(asked) = HeaderValue::from_str(&asked) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
    }
    response
}

fn permit(cors: &Cors, origin: HeaderValue, headers: &mut HeaderMap) {
    let allowed = if cors.origins.is_some() { origin } else { HeaderValue::from_static("*") };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    if cors.credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// A cache must not give one origin the answer to another's request.
fn with_vary(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static(VARY));
    response
}

/// The headers that a preflight asks for, as far as the receiver reads them.
fn asked_for(headers: &HeaderMap) -> String {
    const READ: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_ENCODING];
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|asked| asked.to_str().ok());
    let is_read = |name: &&str| {
        let name = name.to_ascii_lowercase();
        READ.iter().any(|read| read == name.as_str())
            || matches!(name.as_str(), "idempotency-key" | "traceparent" | "x-request-id")
            || name.starts_with("ce-")
            || name.starts_with("pipas-attribute-")
    };
    let named = asked.unwrap_or_default().split(',').map(str::trim).filter(is_read);
    named.collect::<Vec<_>>().join(", ").to_ascii_lowercase()
}
