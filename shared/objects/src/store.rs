//! One bucket.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use google_cloud_auth::credentials::{self, Credentials, anonymous};
use google_cloud_gax::retry_policy::RetryPolicyExt;
use google_cloud_storage::{client::Storage, retry_policy::RetryableErrors};
use jiff::Timestamp;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Download, StoreError, Upload,
    rest::{Resource, Rest, json},
};

/// How long a small read or write is tried. Google's client would go on for minutes, and whoever asked has gone by then.
const PATIENCE: Duration = Duration::from_secs(20);
/// Google's endpoint.
const GOOGLE: &str = "https://storage.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// Where the bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The bucket's name.
    pub bucket: String,
    /// The endpoint's URL; `None`: Google's. An `http://` endpoint is spoken to without credentials.
    pub endpoint: Option<String>,
}

/// A bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    bucket: String,
    rest: Rest,
    storage: Storage,
}

/// An object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// The name.
    pub name: String,
    /// Which object of that name: a later one has a higher generation.
    pub generation: i64,
    /// Its size.
    pub bytes: u64,
    /// Its CRC32C, as the server computed it.
    pub crc32c: u32,
    /// When it was made, by the server's clock.
    pub created: Timestamp,
    /// Its custom metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The objects, in the order of their names.
    pub objects: Vec<StoredObject>,
    /// What to ask for the next page; `None`: this is the last.
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    #[serde(default)]
    items: Vec<Resource>,
    next_page_token: Option<String>,
}

impl ObjectStore {
    /// Makes the clients. Nothing is sent before the first call.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let endpoint = config.endpoint.as_deref().unwrap_or(GOOGLE);
        let malformed = |source| StoreError::Endpoint { endpoint: endpoint.to_owned(), source };
        let base = Url::parse(endpoint).map_err(malformed)?;
        let credentials =
            if base.scheme() == "http" { anonymous::Builder::new().build() } else { default_credentials()? };
        let retries = RetryableErrors.with_time_limit(PATIENCE);
        let mut storage = Storage::builder().with_credentials(credentials.clone()).with_retry_policy(retries);
        if config.endpoint.is_some() {
            storage = storage.with_endpoint(endpoint);
        }
        let storage = storage.build().await.map_err(StoreError::Client)?;
        Ok(Self { bucket: config.bucket.clone(), rest: Rest::new(base, credentials)?, storage })
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Makes the bucket in `project`, where it does not exist.
    pub async fn ensure_bucket(&self, project: &str) -> Result<(), StoreError> {
        let mut url = self.rest.url(&["storage", "v1", "b"]);
        url.query_pairs_mut().append_pair("project", project);
        let body = json!({ "name": self.bucket });
        match self.rest.call("buckets.insert", (Method::POST, url), |request| request.json(&body)).await {
            Err(StoreError::Refused { status: 409, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Whether the bucket is there and may be seen.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut url = self.rest.url(&["storage", "v1", "b", &self.bucket, "o"]);
        url.query_pairs_mut().append_pair("maxResults", "1");
        let answer = self.rest.call("objects.list", (Method::GET, url), |request| request).await;
        self.named(&self.bucket, answer).map(drop)
    }

    /// Begins the upload of a new object: it exists once [`Upload::finish`] has returned, and never in part.
    pub async fn upload(&self, name: &str, content_type: &str) -> Result<Upload, StoreError> {
        Upload::start(self, name, content_type, &BTreeMap::new()).await
    }

    /// The same, with custom metadata.
    pub async fn upload_with_metadata(
        &self,
        name: &str,
        content_type: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Upload, StoreError> {
        Upload::start(self, name, content_type, metadata).await
    }

    /// What is known of an object; `None` where it does not exist.
    pub async fn find(&self, name: &str) -> Result<Option<StoredObject>, StoreError> {
        match self.resource(name).await? {
            Some(resource) => Ok(Some(usable("objects.get", &resource)?)),
            None => Ok(None),
        }
    }

    /// The objects whose names begin with `prefix`, a page of at most 1000 at a time.
    pub async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page, StoreError> {
        let call = "objects.list";
        let mut url = self.rest.url(&["storage", "v1", "b", &self.bucket, "o"]);
        url.query_pairs_mut().append_pair("prefix", prefix);
        if let Some(page) = page {
            url.query_pairs_mut().append_pair("pageToken", page);
        }
        let answer = self.rest.call(call, (Method::GET, url), |request| request).await;
        let listing: Listing = json(call, self.named(&self.bucket, answer)?).await?;
        let objects = listing.items.iter().map(|resource| usable(call, resource)).collect::<Result<_, _>>()?;
        Ok(Page { objects, next: listing.next_page_token })
    }

    /// Every object whose name begins with `prefix`.
    pub async fn list_all(&self, prefix: &str) -> Result<Vec<StoredObject>, StoreError> {
        let mut objects = Vec::new();
        let mut next = None;
        loop {
            let page = self.list(prefix, next.as_deref()).await?;
            objects.extend(page.objects);
            next = page.next;
            if next.is_none() {
                return Ok(objects);
            }
        }
    }

    /// Begins to read an object of any size; of a `generation`, where one is named.
    pub async fn download(&self, name: &str, generation: Option<i64>) -> Result<Download, StoreError> {
        let mut request = self.storage.read_object(self.resource_name(), name);
        if let Some(generation) = generation {
            request = request.set_generation(generation);
        }
        let answer = request.send().await.map_err(|source| google("objects.get", name, source))?;
        Ok(Download::new(name, answer))
    }

    /// An object's bytes, all at once. The client verifies their checksum.
    pub async fn read(&self, name: &str) -> Result<Bytes, StoreError> {
        self.read_generation(name).await.map(|(bytes, _)| bytes)
    }

    /// An object's bytes, and which object of its name they are.
    pub async fn read_generation(&self, name: &str) -> Result<(Bytes, i64), StoreError> {
        let failed = |source| google("objects.get", name, source);
        let mut answer = self.storage.read_object(self.resource_name(), name).send().await.map_err(failed)?;
        let generation = answer.object().generation;
        let mut bytes = BytesMut::new();
        while let Some(part) = answer.next().await {
            bytes.extend_from_slice(&part.map_err(failed)?);
        }
        Ok((bytes.freeze(), generation))
    }

    /// Writes a small object that must be new. Where an object of the same bytes is there, that is as good: a retry
    /// whose first try had succeeded finds its own.
    pub async fn create(&self, name: &str, content_type: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.create_with_metadata(name, content_type, bytes, &BTreeMap::new()).await
    }

    /// The same, with custom metadata.
    pub async fn create_with_metadata(
        &self,
        name: &str,
        content_type: &str,
        bytes: Bytes,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let written = self
            .storage
            .write_object(self.resource_name(), name, bytes.clone())
            .set_if_generation_match(0)
            .set_content_type(content_type)
            .set_metadata(metadata)
            .send_buffered()
            .await;
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.http_status_code() == Some(412) => {
                if self.read(name).await? == bytes {
                    Ok(())
                } else {
                    Err(StoreError::Exists { name: name.to_owned() })
                }
            }
            Err(error) => Err(google("objects.insert", name, error)),
        }
    }

    /// Writes a small object in place of the one of that generation; [`StoreError::Changed`] where it is another by now.
    pub async fn replace(
        &self,
        name: &str,
        content_type: &str,
        bytes: Bytes,
        generation: i64,
    ) -> Result<(), StoreError> {
        let written = self
            .storage
            .write_object(self.resource_name(), name, bytes)
            .set_if_generation_match(generation)
            .set_content_type(content_type)
            .send_buffered()
            .await;
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.http_status_code() == Some(412) => Err(StoreError::Changed { name: name.to_owned() }),
            Err(error) => Err(google("objects.insert", name, error)),
        }
    }

    /// The same for one that may be new, which generation 0 says; the answer is the generation that was written.
    pub async fn put(&self, name: &str, content_type: &str, bytes: Bytes, generation: i64) -> Result<i64, StoreError> {
        let written = self
            .storage
            .write_object(self.resource_name(), name, bytes)
            .set_if_generation_match(generation)
            .set_content_type(content_type)
            .send_buffered()
            .await;
        match written {
            Ok(object) => Ok(object.generation),
            Err(error) if error.http_status_code() == Some(412) => Err(StoreError::Changed { name: name.to_owned() }),
            Err(error) => Err(google("objects.insert", name, error)),
        }
    }

    /// Sets these keys of an object's custom metadata, and leaves the others.
    pub async fn set_metadata(&self, name: &str, metadata: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let body = json!({ "metadata": metadata });
        let call = (Method::PATCH, self.object_url(name));
        let answer = self.rest.call("objects.patch", call, |request| request.json(&body)).await;
        self.named(name, answer).map(drop)
    }

    /// Removes an object, if it is still of that generation. One that is not there is removed already.
    pub async fn delete(&self, name: &str, generation: i64) -> Result<(), StoreError> {
        let mut url = self.object_url(name);
        url.query_pairs_mut().append_pair("ifGenerationMatch", &generation.to_string());
        match self.rest.call("objects.delete", (Method::DELETE, url), |request| request).await {
            Err(StoreError::Refused { status: 404, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    pub(crate) async fn resource(&self, name: &str) -> Result<Option<Resource>, StoreError> {
        let call = "objects.get";
        match self.rest.call(call, (Method::GET, self.object_url(name)), |request| request).await {
            Ok(response) => json(call, response).await.map(Some),
            Err(StoreError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn rest(&self) -> &Rest {
        &self.rest
    }

    fn object_url(&self, name: &str) -> Url {
        self.rest.url(&["storage", "v1", "b", &self.bucket, "o", name])
    }

    /// The bucket as the storage client names it.
    pub(crate) fn resource_name(&self) -> String {
        format!("projects/_/buckets/{}", self.bucket)
    }

    fn named<T>(&self, name: &str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        answer.map_err(|error| match error {
            StoreError::Refused { status: 404, .. } => StoreError::NotFound { name: name.to_owned() },
            error => error,
        })
    }
}

pub(crate) fn google(call: &'static str, name: &str, source: google_cloud_storage::Error) -> StoreError {
    match source.http_status_code() {
        Some(404) => StoreError::NotFound { name: name.to_owned() },
        _ => StoreError::Google { call, name: name.to_owned(), source: Box::new(source) },
    }
}

fn default_credentials() -> Result<Credentials, StoreError> {
    credentials::Builder::default().with_scopes([SCOPE]).build().map_err(StoreError::Credentials)
}

pub(crate) fn usable(call: &'static str, resource: &Resource) -> Result<StoredObject, StoreError> {
    let malformed = || StoreError::Malformed { call, detail: format!("{resource:?} is no object resource") };
    resource.object().ok_or_else(malformed)
}
