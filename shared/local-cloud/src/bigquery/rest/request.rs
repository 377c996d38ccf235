//! Reading requests: bodies, query strings, preconditions, pages.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, header::IF_MATCH};
use serde_json::{Map, Value};

use super::error::ApiError;

/// The parameters of the query string.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(pub(super) HashMap<String, String>);

impl Parameters {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let parse = |value: &str| {
            value.parse().map_err(|_| ApiError::invalid(format!("Invalid value for {name}: {value} is not a number")))
        };
        self.get(name).map(parse).transpose()
    }

    /// The page that is asked for: its first item and at most how many.
    pub(super) fn page(&self) -> Result<Page, ApiError> {
        let start = match self.get("pageToken") {
            Some(token) => Page::of_token(token)?,
            None => self.number("startIndex")?.unwrap_or(0),
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let most = self.number("maxResults")?.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok(Page { start, most })
    }
}

/// Part of a list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Page {
    pub(super) start: usize,
    pub(super) most: Option<usize>,
}

impl Page {
    /// The token of the page that starts there.
    pub(super) fn token(start: usize) -> String {
        format!("from-{start}")
    }

    fn of_token(token: &str) -> Result<u64, ApiError> {
        let start = token.strip_prefix("from-").and_then(|start| start.parse().ok());
        start.ok_or_else(|| ApiError::invalid(format!("Invalid value for pageToken: {token}")))
    }

    /// This page of a list that is at hand, and the token of the next.
    pub(super) fn of<T>(self, items: Vec<T>) -> (Vec<T>, Option<String>) {
        let end = self.start.saturating_add(self.most.filter(|most| *most > 0).unwrap_or(items.len()));
        let next = (end < items.len()).then(|| Self::token(end));
        (items.into_iter().take(end).skip(self.start).collect(), next)
    }
}

/// The JSON object of a body. Its `Content-Type` is not asked for: Google's does not either.
pub(super) fn object(body: &Bytes) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::invalid(format!("Invalid JSON payload received. {error}")))
}

/// Fails where the caller asks for another version of the resource.
pub(super) fn check_etag(headers: &HeaderMap, etag: &str) -> Result<(), ApiError> {
    match headers.get(IF_MATCH) {
        Some(wanted) if wanted != etag && wanted != "*" => Err(ApiError::precondition()),
        Some(_) | None => Ok(()),
    }
}

/// Merges a patch into settings (RFC 7396): null removes.
pub(super) fn merge(settings: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match (settings.get_mut(&key), value) {
            (_, Value::Null) => drop(settings.remove(&key)),
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => drop(settings.insert(key, value)),
        }
    }
}

/// A number that JSON carries as a number or as text.
pub(super) fn number(value: Option<&Value>) -> Option<u64> {
    value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}
