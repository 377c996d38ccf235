//! Errors in Google's JSON form.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Value, json};
use tonic::Code;

use crate::bigquery::{
    sql::{Reason, SqlError},
    store::StoreError,
};

/// An error answer.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) location: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), location: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// A body longer than any may be.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "uploadTooLarge", message)
    }

    /// A form of body that nobody reads.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", message)
    }

    pub(super) fn duplicate(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "duplicate", message)
    }

    /// A job that was cancelled.
    pub(super) fn stopped() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "stopped", "Job execution was cancelled: User requested cancellation")
    }

    pub(super) fn precondition() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "conditionNotMet", "Precondition check failed.")
    }

    /// What BigQuery does and the local BigQuery does not.
    pub(super) fn not_implemented(what: &str) -> Self {
        let message = format!("{what} is not supported by the local BigQuery");
        Self::new(StatusCode::NOT_IMPLEMENTED, "notImplemented", message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internalError", message)
    }

    /// The answer that stands for a gRPC code.
    pub(super) fn of_code(code: Code, message: String) -> Self {
        let (status, reason) = match code {
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internalError")
            }
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => (StatusCode::BAD_REQUEST, "invalid"),
            Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "authError"),
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "accessDenied"),
            Code::ResourceExhausted => (StatusCode::FORBIDDEN, "rateLimitExceeded"),
            Code::NotFound => (StatusCode::NOT_FOUND, "notFound"),
            Code::AlreadyExists => (StatusCode::CONFLICT, "duplicate"),
            Code::Aborted => (StatusCode::CONFLICT, "aborted"),
            Code::Cancelled => (StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST), "stopped"),
            Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "notImplemented"),
            Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "backendError"),
            Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "backendError"),
        };
        Self::new(status, reason, message)
    }

    /// The error as it stands in the resource of a job that failed.
    pub(super) fn proto(&self) -> Value {
        let mut proto = json!({"reason": self.reason, "message": self.message});
        if let Some(location) = &self.location {
            proto["location"] = json!(location);
        }
        proto
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_) => Self::not_found(message),
            StoreError::Duplicate(_) => Self::new(StatusCode::CONFLICT, "duplicate", message),
            StoreError::Invalid(_) | StoreError::Rows(_) => Self::invalid(message),
            StoreError::InUse(_) => Self::new(StatusCode::BAD_REQUEST, "resourceInUse", message),
            StoreError::Disk(_) | StoreError::Damaged(_) => {
                tracing::error!(%error, "the BigQuery store failed");
                Self::internal(message)
            }
        }
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        let status = match error.reason {
            Reason::InvalidQuery => StatusCode::BAD_REQUEST,
            Reason::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let location = (error.reason == Reason::InvalidQuery).then(|| "query".to_owned());
        Self { status, reason: error.reason.as_str(), message: error.message, location }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut first = json!({"message": self.message, "domain": "global", "reason": self.reason});
        if let Some(location) = &self.location {
            first["location"] = json!(location);
            first["locationType"] = json!("parameter");
        }
        let status = match self.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                "INVALID_ARGUMENT"
            }
            StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
            StatusCode::FORBIDDEN => "PERMISSION_DENIED",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::CONFLICT => "ALREADY_EXISTS",
            StatusCode::PRECONDITION_FAILED => "FAILED_PRECONDITION",
            StatusCode::NOT_IMPLEMENTED => "UNIMPLEMENTED",
            StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
            StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        };
        let code = self.status.as_u16();
        let error = json!({"code": code, "message": self.message, "errors": [first], "status": status});
        (self.status, Json(json!({"error": error}))).into_response()
    }
}
