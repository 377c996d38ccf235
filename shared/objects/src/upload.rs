//! Resumable uploads of objects whose size is not known beforehand
//! (<https://cloud.google.com/storage/docs/performing-resumable-uploads>).

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, Bytes, BytesMut};
use reqwest::{Method, StatusCode, Url, header};
use serde_json::json;
use uuid::Uuid;

use crate::{
    ObjectStore, StoreError, StoredObject,
    rest::{Resource, json},
    retry::Retries,
    store::usable,
};

/// What is sent at once: a multiple of 256 KiB, as the protocol asks. Google advises 8 MiB where memory allows; a run of the
/// compactor has several uploads under way, and a few MB for all of them.
const CHUNK: usize = 4 << 20;
/// The key of the custom metadata by which an upload knows its own object.
const TOKEN: &str = "pipas-upload";
const CALL: &str = "objects.insert";

/// An upload under way. It keeps at most one chunk of 4 MiB in memory. Dropped before [`Upload::finish`], it leaves no object;
/// the server forgets it by and by, or at once by [`Upload::abandon`].
#[derive(Debug)]
pub struct Upload {
    store: ObjectStore,
    name: String,
    session: Url,
    token: String,
    buffer: BytesMut,
    /// How many bytes the server has.
    persisted: u64,
    crc32c: u32,
}

enum Progress {
    Persisted(u64),
    Finished(Resource),
}

impl Upload {
    pub(crate) async fn start(
        store: &ObjectStore,
        name: &str,
        content_type: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, StoreError> {
        let token = Uuid::new_v4().to_string();
        let mut metadata = metadata.clone();
        metadata.insert(TOKEN.to_owned(), token.clone());
        let mut url = store.rest().url(&["upload", "storage", "v1", "b", store.bucket(), "o"]);
        url.query_pairs_mut()
            .append_pair("uploadType", "resumable")
            .append_pair("name", name)
            .append_pair("ifGenerationMatch", "0");
        let body = json!({ "name": name, "contentType": content_type, "metadata": metadata });
        let answer = store.rest().call(CALL, (Method::POST, url), |request| request.json(&body)).await;
        let answer = answer.map_err(|error| match error {
            StoreError::Refused { status: 412, .. } => StoreError::Exists { name: name.to_owned() },
            StoreError::Refused { status: 404, .. } => StoreError::NotFound { name: store.bucket().to_owned() },
            error => error,
        })?;
        let location = answer.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        let session = location.and_then(|location| Url::parse(location).ok());
        let malformed = || StoreError::Malformed { call: CALL, detail: format!("Location is {location:?}") };
        let session = session.ok_or_else(malformed)?;
        let (store, name) = (store.clone(), name.to_owned());
        Ok(Self { store, name, session, token, buffer: BytesMut::new(), persisted: 0, crc32c: 0 })
    }

    /// The name of the object that this will be.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds bytes; sends them a chunk at a time.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        while !bytes.is_empty() {
            // A full chunk waits for one byte more, so that there is always something to send with the end.
            if self.buffer.len() == CHUNK {
                let chunk = self.buffer.split().freeze();
                self.push(chunk, None).await?;
            }
            let (head, tail) = bytes.split_at(bytes.len().min(CHUNK - self.buffer.len()));
            self.buffer.extend_from_slice(head);
            bytes = tail;
        }
        Ok(())
    }

    /// Sends the rest and makes the object, whose checksum is verified on both sides. On an error there is no object
    /// of this upload, unless the error is [`StoreError::is_transient`]: then nobody knows.
    pub async fn finish(mut self) -> Result<StoredObject, StoreError> {
        let rest = self.buffer.split().freeze();
        let total = self.persisted + rest.len() as u64;
        let resource = match self.push(rest, Some(total)).await {
            Ok(Some(resource)) => resource,
            Ok(None) => return Err(self.lost("the last chunk did not end it")),
            // An earlier try may have made the object, and its answer was lost.
            Err(error) => self.own().await?.ok_or(error)?,
        };
        let object = usable(CALL, &resource)?;
        if (object.bytes, object.crc32c) == (total, self.crc32c) {
            return Ok(object);
        }
        self.store.delete(&self.name, object.generation).await?;
        Err(StoreError::Corrupt {
            name: self.name,
            sent: format!("{total} bytes with CRC32C {:08x}", self.crc32c),
            found: format!("{} bytes with CRC32C {:08x}", object.bytes, object.crc32c),
        })
    }

    /// Tells the server to forget what it has. A failure is harmless: it forgets after a week.
    pub async fn abandon(self) {
        let Ok(request) = self.store.rest().request(Method::DELETE, self.session.clone()).await else { return };
        let accepts = |status: StatusCode| status.as_u16() == 499 || status.is_success();
        if let Err(error) = self.store.rest().send("cancelling an upload", request, accepts).await {
            tracing::debug!(object = self.name, %error, "an upload was not cancelled");
        }
    }

    /// Sends `chunk` until the server has all of it, and with `total` until the object is made.
    async fn push(&mut self, mut chunk: Bytes, total: Option<u64>) -> Result<Option<Resource>, StoreError> {
        let mut retries = Retries::default();
        let mut is_known = true;
        loop {
            // After a failure the server is asked first how much it has: sending again from the same place would corrupt.
            let answer = if is_known { self.put(&chunk, total).await } else { self.query(total).await };
            let persisted = match answer {
                Ok(Progress::Finished(resource)) => return Ok(Some(resource)),
                Ok(Progress::Persisted(persisted)) => persisted,
                Err(error) => {
                    retries.after(error).await?;
                    is_known = false;
                    continue;
                }
            };
            let was_sent = std::mem::replace(&mut is_known, true);
            let advance = persisted
                .checked_sub(self.persisted)
                .and_then(|advance| usize::try_from(advance).ok())
                .filter(|advance| *advance <= chunk.len())
                .ok_or_else(|| self.lost(format!("it has {persisted} bytes, and had {}", self.persisted)))?;
            self.persisted = persisted;
            chunk.advance(advance);
            if chunk.is_empty() && total.is_none() {
                return Ok(None);
            }
            if advance > 0 {
                retries.reset();
            } else if was_sent {
                let message = format!("{persisted} bytes are persisted still");
                retries.after(StoreError::Refused { call: CALL, status: 503, message }).await?;
            }
        }
    }

    async fn put(&self, chunk: &Bytes, total: Option<u64>) -> Result<Progress, StoreError> {
        let end = self.persisted + chunk.len() as u64;
        let size = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
        let range = match end.checked_sub(1).filter(|_| !chunk.is_empty()) {
            Some(last) => format!("bytes {}-{last}/{size}", self.persisted),
            None => format!("bytes */{size}"),
        };
        let mut request = self.store.rest().request(Method::PUT, self.session.clone()).await?;
        request = request.header(header::CONTENT_RANGE, range).header(header::CONTENT_LENGTH, chunk.len());
        if total.is_some() {
            let crc32c = BASE64_STANDARD.encode(self.crc32c.to_be_bytes());
            request = request.header("x-goog-hash", format!("crc32c={crc32c}"));
        }
        self.progress(request.body(chunk.clone())).await
    }

    async fn query(&self, total: Option<u64>) -> Result<Progress, StoreError> {
        let size = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
        let mut request = self.store.rest().request(Method::PUT, self.session.clone()).await?;
        request = request.header(header::CONTENT_RANGE, format!("bytes */{size}")).header(header::CONTENT_LENGTH, 0);
        self.progress(request).await
    }

    async fn progress(&self, request: reqwest::RequestBuilder) -> Result<Progress, StoreError> {
        let accepts = |status: StatusCode| status.is_success() || status == StatusCode::PERMANENT_REDIRECT;
        let answer = self.store.rest().send(CALL, request, accepts).await.map_err(|error| match error {
            StoreError::Refused { status: 404 | 410, message, .. } => self.lost(message),
            StoreError::Refused { status: 412, .. } => StoreError::Exists { name: self.name.clone() },
            error => error,
        })?;
        if answer.status().is_success() {
            return json(CALL, answer).await.map(Progress::Finished);
        }
        let Some(range) = answer.headers().get(header::RANGE) else { return Ok(Progress::Persisted(0)) };
        let last = range.to_str().ok().and_then(|range| range.strip_prefix("bytes=0-")?.parse::<u64>().ok());
        let malformed = || StoreError::Malformed { call: CALL, detail: format!("Range is {range:?}") };
        last.and_then(|last| last.checked_add(1)).map(Progress::Persisted).ok_or_else(malformed)
    }

    /// The object of our name, where it is the one that this upload made.
    async fn own(&self) -> Result<Option<Resource>, StoreError> {
        let resource = self.store.resource(&self.name).await?;
        Ok(resource.filter(|resource| resource.metadata.get(TOKEN) == Some(&self.token)))
    }

    fn lost(&self, detail: impl Into<String>) -> StoreError {
        StoreError::UploadLost { name: self.name.clone(), detail: detail.into() }
    }
}
