//! Queues and tasks as the REST API writes them (<https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks>).

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    #[serde(default)]
    pub(super) name: String,
    pub(super) http_request: Option<HttpRequest>,
    pub(super) schedule_time: Option<Timestamp>,
    pub(super) create_time: Option<Timestamp>,
    pub(super) dispatch_deadline: Option<String>,
    /// Requests that were sent.
    #[serde(default)]
    pub(super) dispatch_count: u32,
    /// Requests that were answered.
    #[serde(default)]
    pub(super) response_count: u32,
    /// What is not done.
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

/// The request that a task is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpRequest {
    pub(super) url: String,
    /// A name, or its number in the schema, as Google's own client writes it.
    #[serde(default)]
    pub(super) http_method: Value,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    /// Base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oidc_token: Option<OidcToken>,
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

/// Whose token the request carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OidcToken {
    pub(super) service_account_email: String,
    /// The request's URL where it is empty.
    #[serde(default)]
    pub(super) audience: String,
}

/// A queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) retry_config: RetryConfig,
    /// Rate limits, and whatever else a queue has: kept, and not applied.
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

/// How a task is sent again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RetryConfig {
    /// −1: without end.
    pub(super) max_attempts: i32,
    pub(super) min_backoff: String,
    pub(super) max_backoff: String,
    pub(super) max_doublings: u32,
}

impl Default for RetryConfig {
    /// The service's own.
    fn default() -> Self {
        Self { max_attempts: 100, min_backoff: "0.100s".into(), max_backoff: "3600s".into(), max_doublings: 16 }
    }
}

impl RetryConfig {
    /// How long to wait after the `attempts`th failed attempt; `None`: it was the last one.
    pub(super) fn backoff(&self, attempts: u32) -> Option<Duration> {
        if self.max_attempts >= 0 && attempts >= self.max_attempts.unsigned_abs() {
            return None;
        }
        let (least, most) = (duration(&self.min_backoff)?, duration(&self.max_backoff)?);
        let doublings = attempts.saturating_sub(1);
        let doubled = least.saturating_mul(1_u32.checked_shl(doublings.min(self.max_doublings)).unwrap_or(u32::MAX));
        let beyond = doublings.saturating_sub(self.max_doublings) + 1;
        Some(doubled.saturating_mul(beyond).min(most))
    }
}

/// A duration of the JSON API: seconds with up to nine decimals and `s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}

impl HttpRequest {
    /// The method; POST where none is named. `None`: there is no such method.
    pub(super) fn method(&self) -> Option<http::Method> {
        const METHODS: [&str; 8] = ["POST", "POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"];
        let name = match &self.http_method {
            Value::Null => "POST",
            Value::Number(number) => METHODS.get(usize::try_from(number.as_u64()?).ok()?)?,
            Value::String(name) if name == "HTTP_METHOD_UNSPECIFIED" => "POST",
            Value::String(name) => METHODS.into_iter().find(|method| method == name)?,
            _ => return None,
        };
        name.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_sent_again_later_and_later() {
        let config =
            RetryConfig { max_attempts: 7, max_doublings: 3, max_backoff: "1.5s".into(), ..Default::default() };
        let waits: Vec<_> = (1..=7).map(|attempts| config.backoff(attempts).map(|wait| wait.as_millis())).collect();
        assert_eq!(waits, [Some(100), Some(200), Some(400), Some(800), Some(1500), Some(1500), None]);
    }
}
