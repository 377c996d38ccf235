//! Buckets: insert, list, get, patch, update, delete.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    App, Base,
    error::{ApiError, ApiResult},
    object::{api_time, merge},
    params::Params,
    preconditions::Preconditions,
};

/// A bucket's metadata.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) metageneration: i64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// What the client set (labels, lifecycle, …): kept and shown, without effect.
    settings: Value,
}

/// The fields of a bucket resource that the server itself sets.
const OUTPUT_ONLY: [&str; 11] = [
    "kind",
    "id",
    "selfLink",
    "name",
    "projectNumber",
    "metageneration",
    "etag",
    "timeCreated",
    "updated",
    "generation",
    "owner",
];

impl Bucket {
    fn new(name: &str, settings: Value) -> ApiResult<Self> {
        let now = Timestamp::now();
        let settings = checked_settings(settings)?;
        Ok(Self { name: check_bucket_name(name)?, metageneration: 1, created: now, updated: now, settings })
    }

    fn resource(&self, base: &str) -> Value {
        let name = &self.name;
        let mut resource = json!({
            "kind": "storage#bucket",
            "id": name,
            "selfLink": format!("{base}/storage/v1/b/{name}"),
            "name": name,
            "projectNumber": "0",
            "metageneration": self.metageneration.to_string(),
            "location": "US",
            "locationType": "multi-region",
            "storageClass": "STANDARD",
            "etag": BASE64_STANDARD.encode(self.metageneration.to_string()),
            "timeCreated": api_time(self.created),
            "updated": api_time(self.updated),
            "iamConfiguration": { "uniformBucketLevelAccess": { "enabled": true }, "publicAccessPrevention": "inherited" },
        });
        merge(&mut resource, &self.settings);
        resource
    }
}

/// What a client may set on a bucket; what would change how objects live, and is not done here, is refused by name.
fn checked_settings(mut settings: Value) -> ApiResult<Value> {
    let Some(fields) = settings.as_object_mut() else {
        return Err(ApiError::invalid("A bucket resource is a JSON object."));
    };
    fields.retain(|name, _| !OUTPUT_ONLY.contains(&name.as_str()));
    if fields.get("versioning").and_then(|versioning| versioning.get("enabled")) == Some(&Value::Bool(true)) {
        return Err(ApiError::not_implemented("object versioning"));
    }
    if fields.get("retentionPolicy").is_some_and(|policy| !policy.is_null()) {
        return Err(ApiError::not_implemented("retention policies"));
    }
    Ok(settings)
}

/// The rules of <https://cloud.google.com/storage/docs/buckets#naming> that keep a name a name.
fn check_bucket_name(name: &str) -> ApiResult<String> {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_edge(&byte) || b"-_.".contains(&byte);
    let bytes = name.as_bytes();
    let edges = bytes.first().is_some_and(is_edge) && bytes.last().is_some_and(is_edge);
    if !edges || !(3..=222).contains(&bytes.len()) || !bytes.iter().copied().all(is_inner) || name.contains("..") {
        return Err(ApiError::invalid(format!("Invalid bucket name: '{name}'")));
    }
    Ok(name.to_owned())
}

/// The JSON object that a request carries.
pub(crate) fn json_body(body: &[u8]) -> ApiResult<Value> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::invalid("Parse Error: a JSON object is expected.")),
        Err(error) => Err(ApiError::invalid(format!("Parse Error: {error}."))),
    }
}

pub(crate) async fn insert(State(app): State<App>, Base(base): Base, body: Bytes) -> ApiResult<Json<Value>> {
    let resource = json_body(&body)?;
    let name = resource.get("name").and_then(Value::as_str).ok_or_else(|| ApiError::required("Required"))?.to_owned();
    let bucket = Bucket::new(&name, resource)?;
    app.store.insert_bucket(bucket.clone())?;
    Ok(Json(bucket.resource(&base)))
}

pub(crate) async fn list(
    State(app): State<App>,
    Base(base): Base,
    Query(params): Query<Params>,
) -> ApiResult<Json<Value>> {
    let prefix = params.text("prefix").unwrap_or_default();
    let after = params.text("pageToken").unwrap_or_default();
    let limit = usize::try_from(params.number("maxResults")?.unwrap_or(1000)).unwrap_or(0).clamp(1, 1000);
    let mut buckets = app.store.buckets();
    buckets.retain(|bucket| bucket.name.starts_with(prefix) && bucket.name.as_str() > after);
    let mut answer = json!({ "kind": "storage#buckets" });
    if buckets.len() > limit {
        buckets.truncate(limit);
        answer["nextPageToken"] = buckets.last().map(|bucket| bucket.name.clone()).into();
    }
    if !buckets.is_empty() {
        answer["items"] = buckets.iter().map(|bucket| bucket.resource(&base)).collect();
    }
    Ok(Json(answer))
}

pub(crate) async fn get(
    State(app): State<App>,
    Base(base): Base,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> ApiResult<Json<Value>> {
    let bucket = app.store.bucket(&name)?;
    Preconditions::of(&params)?.check_metageneration(bucket.metageneration)?;
    Ok(Json(bucket.resource(&base)))
}

pub(crate) async fn patch(
    State(app): State<App>,
    Base(base): Base,
    Path(name): Path<String>,
    Query(params): Query<Params>,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    let changes = json_body(&body)?;
    let bucket = app.store.change_bucket(&name, &Preconditions::of(&params)?, |bucket| {
        let mut settings = bucket.settings.clone();
        merge(&mut settings, &changes);
        Ok(Bucket { settings: checked_settings(settings)?, ..bucket.clone() })
    })?;
    Ok(Json(bucket.resource(&base)))
}

pub(crate) async fn update(
    State(app): State<App>,
    Base(base): Base,
    Path(name): Path<String>,
    Query(params): Query<Params>,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    let settings = checked_settings(json_body(&body)?)?;
    let change = |bucket: &Bucket| Ok(Bucket { settings, ..bucket.clone() });
    let bucket = app.store.change_bucket(&name, &Preconditions::of(&params)?, change)?;
    Ok(Json(bucket.resource(&base)))
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> ApiResult<Response> {
    app.store.delete_bucket(&name, &Preconditions::of(&params)?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_are_no_paths() {
        for name in ["pipas-archive", "a.b_c-1", "000"] {
            assert!(check_bucket_name(name).is_ok(), "{name}");
        }
        for name in ["", "ab", "..", "a..b", ".pipas", "a/b", "a\\b", "Upper", "-ab", "ab-", "é-é", &"x".repeat(223)]
        {
            assert!(check_bucket_name(name).is_err(), "{name}");
        }
    }
}
