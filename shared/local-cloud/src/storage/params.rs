//! The query parameters of a request.

use std::collections::HashMap;

use super::error::{ApiError, ApiResult};

/// Query parameters by name; of a repeated one the last stands.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Params(HashMap<String, String>);

impl Params {
    /// The parameter, where it is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The parameter as a number.
    pub(crate) fn number(&self, name: &str) -> ApiResult<Option<i64>> {
        let parse = |value: &str| {
            let refuse =
                |_| ApiError::invalid_parameter(name, format!("Invalid value '{value}' for integer '{name}'."));
            value.parse().map_err(refuse)
        };
        self.text(name).map(parse).transpose()
    }

    /// Whether the parameter is `true`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}
