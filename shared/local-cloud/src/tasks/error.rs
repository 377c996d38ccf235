//! Errors in Google's JSON form.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;

/// An error answer.
#[derive(Debug)]
pub(super) struct ApiError {
    code: StatusCode,
    status: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, status: "INVALID_ARGUMENT", message: message.into() }
    }

    pub(super) fn not_found(name: &str) -> Self {
        Self { code: StatusCode::NOT_FOUND, status: "NOT_FOUND", message: format!("{name} does not exist") }
    }

    pub(super) fn exists(name: &str) -> Self {
        let message = format!("Requested entity already exists: {name}");
        Self { code: StatusCode::CONFLICT, status: "ALREADY_EXISTS", message }
    }

    pub(super) fn not_implemented(what: impl std::fmt::Display) -> Self {
        let message = format!("the local Cloud Tasks does not do this: {what}");
        Self { code: StatusCode::NOT_IMPLEMENTED, status: "UNIMPLEMENTED", message }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { code: StatusCode::SERVICE_UNAVAILABLE, status: "UNAVAILABLE", message: message.into() }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "Cloud Tasks could not write");
        Self { code: StatusCode::INTERNAL_SERVER_ERROR, status: "INTERNAL", message: "the task was not written".into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { code, status, message } = self;
        (code, Json(json!({ "error": { "code": code.as_u16(), "message": message, "status": status } })))
            .into_response()
    }
}
