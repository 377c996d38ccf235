//! The JSON API over HTTP, for what the storage client does not do: <https://cloud.google.com/storage/docs/json_api>.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use crate::{StoreError, StoredObject, retry::Retries};

/// How long the server may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The API below one base URL.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    http: reqwest::Client,
    base: Url,
    credentials: Credentials,
}

/// An object resource, as far as it is of use here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resource {
    name: String,
    generation: String,
    size: String,
    crc32c: String,
    time_created: Timestamp,
    #[serde(default)]
    pub(crate) metadata: std::collections::BTreeMap<String, String>,
}

impl Resource {
    pub(crate) fn object(&self) -> Option<StoredObject> {
        let crc32c = BASE64_STANDARD.decode(&self.crc32c).ok()?;
        Some(StoredObject {
            name: self.name.clone(),
            generation: self.generation.parse().ok()?,
            bytes: self.size.parse().ok()?,
            crc32c: u32::from_be_bytes(crc32c.try_into().ok()?),
            created: self.time_created,
            metadata: self.metadata.clone(),
        })
    }
}

impl Rest {
    pub(crate) fn new(base: Url, credentials: Credentials) -> Result<Self, StoreError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none()) // 308 is no redirect here: it says how far an upload is
            .build()
            .map_err(|source| StoreError::Transport { call: "making the HTTP client", source })?;
        Ok(Self { http, base, credentials })
    }

    /// The URL of these path segments, each of which may hold any character.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A request with credentials.
    pub(crate) async fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, StoreError> {
        let headers = match self.credentials.headers(Default::default()).await.map_err(StoreError::Token)? {
            CacheableResource::New { data, .. } => data,
            CacheableResource::NotModified => HeaderMap::new(), // said only to who names a tag, which nobody did
        };
        Ok(self.http.request(method, url).headers(headers))
    }

    /// Sends once. A status that `accepts` does not take is an error.
    pub(crate) async fn send(
        &self,
        call: &'static str,
        request: RequestBuilder,
        accepts: impl FnOnce(StatusCode) -> bool,
    ) -> Result<Response, StoreError> {
        let response = request.send().await.map_err(|source| StoreError::Transport { call, source })?;
        let status = response.status();
        if accepts(status) {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let message = json.pointer("/error/message").and_then(Value::as_str).unwrap_or(&text);
        let message = message.chars().take(500).collect();
        Err(StoreError::Refused { call, status: status.as_u16(), message })
    }

    /// Sends what may be sent any number of times, until it succeeds or cannot.
    pub(crate) async fn call(
        &self,
        call: &'static str,
        (method, url): (Method, Url),
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, StoreError> {
        let mut retries = Retries::default();
        loop {
            let sent = match self.request(method.clone(), url.clone()).await {
                Ok(request) => self.send(call, prepare(request), |status| status.is_success()).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(response) => return Ok(response),
                Err(error) => retries.after(error).await?,
            }
        }
    }
}

/// The body of an answer as JSON.
pub(crate) async fn json<T: serde::de::DeserializeOwned>(
    call: &'static str,
    response: Response,
) -> Result<T, StoreError> {
    let body = response.bytes().await.map_err(|source| StoreError::Transport { call, source })?;
    serde_json::from_slice(&body).map_err(|error| StoreError::Malformed { call, detail: error.to_string() })
}
