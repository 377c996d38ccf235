//! Resumable uploads (<https://cloud.google.com/storage/docs/performing-resumable-uploads>): sessions that outlive a
//! connection and a restart of the server.

use std::{collections::HashMap, fs, io, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, BodyDataStream},
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, sync::Mutex as AsyncMutex};
use uuid::Uuid;

use super::{
    App, Base,
    bucket::json_body,
    checksum::{Checksums, Running},
    content_range::ContentRange,
    error::{ApiError, ApiResult},
    object::Object,
    params::Params,
    staging::{broken_body, small_body},
    store::{NewObject, Store, read_json, write_json},
    upload::{Target, header_text},
};

/// Bytes persist in multiples of this, and so must every chunk but the last be.
pub(crate) const QUANTUM: usize = 256 << 10;
/// How long a session lives, as the real service has it.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The resumable sessions, those in memory and those on disk.
#[derive(Default)]
pub(crate) struct Sessions {
    live: Mutex<HashMap<Uuid, Arc<AsyncMutex<Session>>>>,
}

/// What is on disk of a session, beside its bytes.
#[derive(Serialize, Deserialize)]
struct Record {
    target: Target,
    /// `x-upload-content-length`, where the client said it.
    length: Option<u64>,
    created: Timestamp,
    finished: Option<Object>,
}

struct Session {
    id: Uuid,
    record: Record,
    sums: Running,
    /// Opened for appending; `None` once the bytes are an object.
    file: Option<tokio::fs::File>,
    /// The end was refused (a precondition, a checksum), and would be again.
    is_refused: bool,
}

/// What a request of a session comes to.
enum Progress {
    Incomplete(u64),
    Finished(Box<Object>),
}

impl Sessions {
    /// Removes what is left of unfinished single-request uploads and of sessions past their lifetime.
    pub(crate) fn sweep(store: &Store) -> io::Result<()> {
        for entry in fs::read_dir(store.uploads())? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {
                    let record: Record = read_json(&path)?;
                    if Timestamp::now().duration_since(record.created).unsigned_abs() > LIFETIME {
                        let _ = fs::remove_file(path.with_extension("data"));
                        fs::remove_file(path)?;
                    }
                }
                Some("data") => {}
                _ => fs::remove_file(path)?,
            }
        }
        Ok(())
    }

    /// The session `id`, read again from disk where an earlier process began it.
    async fn find(&self, store: &Store, id: &str) -> ApiResult<Arc<AsyncMutex<Session>>> {
        let unknown = || ApiError::not_found("The upload session does not exist or has ended.");
        let id = Uuid::parse_str(id).map_err(|_| unknown())?;
        if let Some(session) = self.live.lock().get(&id) {
            return Ok(Arc::clone(session));
        }
        let record: Record = match read_json(&record_path(store, id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(unknown()),
            record => record?,
        };
        let is_finished = record.finished.is_some();
        let session = Session::resume(store, id, record).await?;
        if is_finished {
            return Ok(Arc::new(AsyncMutex::new(session))); // its record says all there is to know
        }
        let mut live = self.live.lock();
        Ok(Arc::clone(live.entry(id).or_insert_with(|| Arc::new(AsyncMutex::new(session)))))
    }

    fn end(&self, store: &Store, id: Uuid) {
        self.live.lock().remove(&id);
        let _ = fs::remove_file(record_path(store, id));
        let _ = fs::remove_file(data_path(store, id));
    }
}

fn record_path(store: &Store, id: Uuid) -> PathBuf {
    store.uploads().join(format!("{id}.json"))
}

fn data_path(store: &Store, id: Uuid) -> PathBuf {
    store.uploads().join(format!("{id}.data"))
}

impl Session {
    async fn resume(store: &Store, id: Uuid, record: Record) -> ApiResult<Self> {
        let mut sums = Running::new();
        if record.finished.is_some() {
            return Ok(Self { id, record, sums, file: None, is_refused: false });
        }
        let path = data_path(store, id);
        let bytes = tokio::fs::read(&path).await.unwrap_or_default();
        let whole = bytes.len() / QUANTUM * QUANTUM;
        sums.update(&bytes[..whole]);
        let file = tokio::fs::OpenOptions::new().create(true).append(true).open(&path).await?;
        file.set_len(whole as u64).await?;
        Ok(Self { id, record, sums, file: Some(file), is_refused: false })
    }

    /// Takes what one request brings.
    async fn take(
        &mut self,
        store: &Store,
        range: ContentRange,
        headers: &HeaderMap,
        upload: Incoming,
    ) -> ApiResult<Progress> {
        if let Some(object) = &self.record.finished {
            return Ok(Progress::Finished(Box::new(object.clone())));
        }
        let (start, end, total) = match range {
            ContentRange::Query { total } if total != Some(self.sums.size()) => {
                return Ok(Progress::Incomplete(self.sums.size()));
            }
            ContentRange::Query { total } => (self.sums.size(), total, total),
            ContentRange::Bytes { start, end, total } => (start, end, total),
        };
        if let (Some(declared), Some(total)) = (self.record.length, total)
            && declared != total
        {
            return Err(ApiError::invalid(format!("The upload was begun with {declared} bytes, not {total}.")));
        }
        let persisted = self.sums.size();
        if start > persisted {
            return Err(ApiError::backend(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "Invalid request. According to the Content-Range header, the upload offset is {start} byte(s), \
                     which exceeds already uploaded size of {persisted} byte(s)."
                ),
            ));
        }
        let is_last = end.is_none() || total.is_some() && end == total;
        if let Some(end) = end.filter(|_| !is_last)
            && !(end - start).is_multiple_of(QUANTUM as u64)
        {
            return Err(ApiError::invalid(format!(
                "Invalid request. There were {} byte(s) in the request body. There should have been a multiple of {QUANTUM}.",
                end - start
            )));
        }
        let received = self.append(start, is_last, upload).await?;
        let Some(received) = received else { return Ok(Progress::Incomplete(self.sums.size())) };
        if let Some(wanted) = end.map(|end| end - start).filter(|wanted| *wanted != received) {
            return Err(ApiError::invalid(format!(
                "Invalid request. There were {received} byte(s) in the request body. There should have been {wanted} byte(s)."
            )));
        }
        if !is_last {
            return Ok(Progress::Incomplete(self.sums.size()));
        }
        if let Some(declared) = self.record.length.or(total).filter(|declared| *declared != self.sums.size()) {
            return Err(ApiError::invalid(format!("The object has {} bytes instead of {declared}.", self.sums.size())));
        }
        let finished = self.finish(store, headers);
        self.is_refused = finished.as_ref().is_err_and(|error| error.status.is_client_error());
        finished.map(|object| Progress::Finished(Box::new(object)))
    }

    /// Persists the body, which begins at `start`; bytes that are there already are passed over. Returns the length of
    /// the body, or `None` where the rest of it was given up.
    async fn append(&mut self, start: u64, is_last: bool, upload: Incoming) -> ApiResult<Option<u64>> {
        let Incoming { mut body, keep } = upload;
        let mut known = self.sums.size() - start;
        let mut received = 0;
        let mut quantum = BytesMut::new();
        while let Some(bytes) = body.next().await {
            let mut bytes: Bytes = bytes.map_err(broken_body)?;
            received += bytes.len() as u64;
            let skip = known.min(bytes.len() as u64);
            known -= skip;
            let _ = bytes.split_to(usize::try_from(skip).unwrap_or(bytes.len()));
            quantum.extend_from_slice(&bytes);
            // However the body comes in pieces, as much of it is kept.
            let over = keep.and_then(|keep| received.checked_sub(keep));
            let kept = quantum.len().saturating_sub(over.map_or(0, |over| over as usize));
            let whole = kept / QUANTUM * QUANTUM;
            self.persist(&quantum.split_to(whole)).await?;
            if over.is_some() {
                return Ok(None);
            }
        }
        if is_last {
            self.persist(&quantum).await?;
        }
        Ok(Some(received))
    }

    async fn persist(&mut self, bytes: &[u8]) -> ApiResult<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).await?;
        file.flush().await?;
        self.sums.update(bytes);
        Ok(())
    }

    fn finish(&mut self, store: &Store, headers: &HeaderMap) -> ApiResult<Object> {
        let checksums: Checksums = self.sums.clone().finish();
        self.record.target.claimed.clone().and_headers(headers).verify(&checksums)?;
        let Target { bucket, name, attributes, preconditions, .. } = self.record.target.clone();
        let bytes = data_path(store, self.id);
        let new = NewObject { bucket, name, bytes, checksums, component_count: None, attributes };
        let object = store.put(new, &preconditions)?;
        self.file = None;
        self.record.finished = Some(object.clone());
        write_json(&record_path(store, self.id), &self.record)?;
        Ok(object)
    }
}

/// The body of a request, and how much of it a fault lets through.
struct Incoming {
    body: BodyDataStream,
    keep: Option<u64>,
}

/// Begins a session: its address is the answer's `Location`.
pub(crate) async fn start(
    app: &App,
    base: &str,
    (bucket, params, headers): (&str, &Params, &HeaderMap),
    body: Body,
) -> ApiResult<Response> {
    let resource = json_body(&small_body(body, 1 << 20).await?)?;
    let mut target = Target::new(bucket, &resource, params)?;
    target.attributes = target.attributes.or_content_type(header_text(headers, "x-upload-content-type"));
    app.store.check_put(bucket, &target.name, &target.preconditions)?;
    let length = header_text(headers, "x-upload-content-length").and_then(|length| length.parse().ok());
    let id = Uuid::new_v4();
    let record = Record { target, length, created: Timestamp::now(), finished: None };
    write_json(&record_path(&app.store, id), &record)?;
    let location = format!("{base}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={id}");
    let id = id.to_string();
    Ok(([(header::LOCATION.as_str(), location), ("x-guploader-uploadid", id)], Json(serde_json::json!({})))
        .into_response())
}

/// A chunk, or the question how far the upload is.
pub(crate) async fn put(
    State(app): State<App>,
    Base(base): Base,
    Path(_bucket): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let id = params.text("upload_id").ok_or_else(|| ApiError::required("Required parameter: upload_id"))?.to_owned();
    let range = ContentRange::of(&headers)?;
    let length: Option<u64> = header_text(&headers, "content-length").and_then(|length| length.parse().ok());
    // A persist that stops within the chunk: the first half of the quanta are kept.
    let is_cut = length.is_some_and(|length| length > 0) && app.faults.next("storage/partial-persist").is_some();
    let keep = length.filter(|_| is_cut).map(|length| length / 2);
    let upload = Incoming { body: body.into_data_stream(), keep };
    // In a task of its own: a client that goes away must not tear a write apart.
    let working = tokio::spawn(async move {
        let session = app.sessions.find(&app.store, &id).await?;
        let mut session = session.lock().await;
        let progress = session.take(&app.store, range, &headers, upload).await;
        if let Ok(Progress::Finished(_)) = progress {
            app.sessions.live.lock().remove(&session.id);
        }
        if session.is_refused {
            app.sessions.end(&app.store, session.id);
        }
        progress
    });
    let failed = |error| ApiError::backend(StatusCode::INTERNAL_SERVER_ERROR, format!("the upload failed: {error}"));
    match working.await.map_err(failed)?? {
        Progress::Finished(object) => Ok(Json(object.resource(&base)).into_response()),
        Progress::Incomplete(0) => Ok(StatusCode::PERMANENT_REDIRECT.into_response()),
        Progress::Incomplete(size) => {
            let range = format!("bytes=0-{}", size - 1);
            Ok((StatusCode::PERMANENT_REDIRECT, [(header::RANGE, range)]).into_response())
        }
    }
}

/// Ends a session without an object: 499, as the real service answers.
pub(crate) async fn cancel(State(app): State<App>, Query(params): Query<Params>) -> ApiResult<Response> {
    let id = params.text("upload_id").ok_or_else(|| ApiError::required("Required parameter: upload_id"))?;
    let session = app.sessions.find(&app.store, id).await?;
    let session = session.lock().await;
    app.sessions.end(&app.store, session.id);
    let closed = StatusCode::from_u16(499).unwrap_or(StatusCode::GONE);
    Ok(closed.into_response())
}
