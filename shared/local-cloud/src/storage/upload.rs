//! Uploads in one request: simple (`uploadType=media`) and multipart/related (`uploadType=multipart`).

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use serde_json::Value;

use super::{
    App, Base,
    checksum::Claimed,
    error::{ApiError, ApiResult},
    multipart::Multipart,
    object::{Attributes, Object, check_name},
    params::Params,
    preconditions::Preconditions,
    resumable,
    staging::Staged,
    store::{NewObject, Store},
};

/// What an upload will make.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Target {
    pub(crate) bucket: String,
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
    pub(crate) claimed: Claimed,
    pub(crate) preconditions: Preconditions,
}

impl Target {
    /// From an object resource and the query; the resource's name stands where the query has none.
    pub(crate) fn new(bucket: &str, resource: &Value, params: &Params) -> ApiResult<Self> {
        let name = params.text("name").or_else(|| resource.get("name").and_then(Value::as_str)).unwrap_or_default();
        check_name(name)?;
        let attributes = Attributes::from_resource(resource)?.or_content_encoding(params.text("contentEncoding"));
        Ok(Self {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            attributes,
            claimed: Claimed::from_resource(resource),
            preconditions: Preconditions::of(params)?,
        })
    }

    /// Makes the object of what was staged, where the checksums are as claimed.
    pub(crate) async fn put(self, store: &Store, mut staged: Staged) -> ApiResult<Object> {
        let checksums = staged.finish().await?;
        self.claimed.verify(&checksums)?;
        let new = NewObject {
            bucket: self.bucket,
            name: self.name,
            bytes: staged.path().to_owned(),
            checksums,
            component_count: None,
            attributes: self.attributes,
        };
        store.put(new, &self.preconditions)
    }
}

pub(crate) async fn post(
    State(app): State<App>,
    Base(base): Base,
    Path(bucket): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    app.store.bucket(&bucket)?;
    let object = match params.text("uploadType") {
        Some("media") | None => media(&app, &bucket, &params, &headers, body).await?,
        Some("multipart") => multipart(&app, &bucket, &params, &headers, body).await?,
        Some("resumable") => return resumable::start(&app, &base, (&bucket, &params, &headers), body).await,
        Some(other) => {
            return Err(ApiError::invalid_parameter("uploadType", format!("Invalid upload type '{other}'.")));
        }
    };
    Ok(Json(object.resource(&base)).into_response())
}

async fn media(app: &App, bucket: &str, params: &Params, headers: &HeaderMap, body: Body) -> ApiResult<Object> {
    let mut target = Target::new(bucket, &serde_json::json!({}), params)?;
    target.attributes = target.attributes.or_content_type(header_text(headers, header::CONTENT_TYPE.as_str()));
    target.claimed = target.claimed.and_headers(headers);
    app.store.check_put(bucket, &target.name, &target.preconditions)?;
    let mut staged = Staged::create(&app.store).await?;
    staged.write_body(body.into_data_stream()).await?;
    target.put(&app.store, staged).await
}

async fn multipart(app: &App, bucket: &str, params: &Params, headers: &HeaderMap, body: Body) -> ApiResult<Object> {
    let content_type = header_text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let mut parts = Multipart::new(content_type, body)?;
    let (_, resource) = parts.small_part().await?;
    let mut target = Target::new(bucket, &super::bucket::json_body(&resource)?, params)?;
    app.store.check_put(bucket, &target.name, &target.preconditions)?;
    let mut staged = Staged::create(&app.store).await?;
    let media_type = parts.last_part(&mut staged).await?;
    target.attributes = target.attributes.or_content_type(media_type.as_deref());
    target.claimed = target.claimed.and_headers(headers);
    target.put(&app.store, staged).await
}

/// The header's text, where it has one.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
