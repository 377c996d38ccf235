//! Google's JSON errors, as the Cloud Storage JSON API answers them.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;

/// A refused request: the status, Google's `reason`, and what is wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{status} {reason}: {message}")]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    location: Option<(&'static str, String)>,
}

/// The answer of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), location: None }
    }

    /// 400: a value that cannot be.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// 400: a query parameter that cannot be.
    pub(crate) fn invalid_parameter(name: &str, message: impl Into<String>) -> Self {
        let location = Some(("parameter", name.to_owned()));
        Self { location, ..Self::new(StatusCode::BAD_REQUEST, "invalidParameter", message) }
    }

    /// 400: something that must be there is not.
    pub(crate) fn required(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "required", message)
    }

    /// 403: it may not be done.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404: no such bucket.
    pub(crate) fn no_bucket() -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", "The specified bucket does not exist.")
    }

    /// 404: no such object.
    pub(crate) fn no_object(bucket: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", format!("No such object: {bucket}/{name}"))
    }

    /// 404: no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", message)
    }

    /// 409: it is there already, or not empty.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 412: a precondition does not hold.
    pub(crate) fn precondition(header: &str) -> Self {
        Self {
            location: Some(("header", header.to_owned())),
            ..Self::new(
                StatusCode::PRECONDITION_FAILED,
                "conditionNotMet",
                "At least one of the pre-conditions you specified did not hold.",
            )
        }
    }

    /// 304: what the reader has is current.
    pub(crate) fn not_modified() -> Self {
        Self::new(StatusCode::NOT_MODIFIED, "notModified", "")
    }

    /// 416: the range lies outside the object.
    pub(crate) fn range() -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "requestedRangeNotSatisfiable",
            "The requested range cannot be satisfied.",
        )
    }

    /// 501: a part of the real service that this one does not have, refused by name.
    pub(crate) fn not_implemented(what: impl std::fmt::Display) -> Self {
        let message = format!("The local Cloud Storage does not implement {what}.");
        Self::new(StatusCode::NOT_IMPLEMENTED, "notImplemented", message)
    }

    /// 500 or 503: a fault that was asked for, or the disk's.
    pub(crate) fn backend(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "backendError", message)
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "the storage folder failed");
        Self::backend(StatusCode::INTERNAL_SERVER_ERROR, format!("the storage folder failed: {error}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            return self.status.into_response();
        }
        let mut item = json!({ "message": self.message, "domain": "global", "reason": self.reason });
        if let Some((kind, location)) = self.location {
            item["locationType"] = kind.into();
            item["location"] = location.into();
        }
        let body = json!({ "error": { "code": self.status.as_u16(), "message": self.message, "errors": [item] } });
        (self.status, Json(body)).into_response()
    }
}
