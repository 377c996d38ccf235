//! One object: get, download, patch, update, delete.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{
    App, Base,
    bucket::json_body,
    content_range::requested,
    error::{ApiError, ApiResult},
    object::Attributes,
    params::Params,
    preconditions::Preconditions,
};

/// The metadata, or with `alt=media` the bytes.
pub(crate) async fn get(
    state: State<App>,
    base: Base,
    path: Path<(String, String)>,
    params: Query<Params>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    match params.text("alt") {
        Some("media") => download(state, path, params, headers).await,
        _ => metadata(&state, &base.0, &path, &params).map(IntoResponse::into_response),
    }
}

fn metadata(app: &App, base: &str, (bucket, name): &(String, String), params: &Params) -> ApiResult<Json<Value>> {
    if params.flag("softDeleted") {
        return Err(ApiError::not_implemented("soft delete"));
    }
    let object = app.store.object(bucket, name, params.number("generation")?)?;
    Preconditions::of(params)?.check_read(&object)?;
    Ok(Json(object.resource(base)))
}

/// The bytes, or the range of them that is asked for.
pub(crate) async fn download(
    State(app): State<App>,
    Path((bucket, name)): Path<(String, String)>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (object, file) = app.store.open_object(&bucket, &name, params.number("generation")?)?;
    Preconditions::of(&params)?.check_read(&object)?;
    let range = match requested(&headers, object.size) {
        Ok(range) => range,
        Err(error) => {
            let unsatisfied = [(header::CONTENT_RANGE, format!("bytes */{}", object.size))];
            return Ok((unsatisfied, error).into_response());
        }
    };
    let mut answer = object.headers();
    let (first, end) = range.unwrap_or((0, object.size));
    answer.insert(header::CONTENT_LENGTH, (end - first).into());
    let mut status = StatusCode::OK;
    if range.is_some() {
        status = StatusCode::PARTIAL_CONTENT;
        if let Ok(value) = format!("bytes {first}-{}/{}", end - 1, object.size).parse() {
            answer.insert(header::CONTENT_RANGE, value);
        }
    }
    let mut file = tokio::fs::File::from_std(file);
    file.seek(std::io::SeekFrom::Start(first)).await?;
    let bytes = ReaderStream::with_capacity(file.take(end - first), 256 << 10);
    Ok((status, answer, Body::from_stream(bytes)).into_response())
}

pub(crate) async fn patch(
    state: State<App>,
    base: Base,
    path: Path<(String, String)>,
    params: Query<Params>,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    let changes = json_body(&body)?;
    change(&state, &base.0, &path, &params, |attributes| attributes.patched(&changes))
}

pub(crate) async fn update(
    state: State<App>,
    base: Base,
    path: Path<(String, String)>,
    params: Query<Params>,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    let resource = json_body(&body)?;
    change(&state, &base.0, &path, &params, |_| Attributes::from_resource(&resource))
}

fn change(
    app: &App,
    base: &str,
    (bucket, name): &(String, String),
    params: &Params,
    change: impl FnOnce(&Attributes) -> ApiResult<Attributes>,
) -> ApiResult<Json<Value>> {
    let condition = (params.number("generation")?, &Preconditions::of(params)?);
    let object = app.store.change_object(bucket, name, condition, change)?;
    Ok(Json(object.resource(base)))
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path((bucket, name)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> ApiResult<Response> {
    app.store.delete_object(&bucket, &name, params.number("generation")?, &Preconditions::of(&params)?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
