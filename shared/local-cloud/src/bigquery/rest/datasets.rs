//! `datasets`: insert, get, list, patch, update, delete.

use axum::{Json, extract::State};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Api, Names,
    error::ApiError,
    request::{Parameters, check_etag, merge, object},
};
use crate::bigquery::{
    LOCATION,
    store::{self, Resource},
};

/// What a dataset's resource has beside what the caller sets.
const OWN: [&str; 8] =
    ["kind", "etag", "id", "selfLink", "datasetReference", "creationTime", "lastModifiedTime", "type"];

pub(super) async fn insert(State(api): State<Api>, _: Names, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = object(&body)?;
    let id = body.get("datasetReference").and_then(|reference| reference.get("datasetId")).and_then(Value::as_str);
    let id =
        id.ok_or_else(|| ApiError::invalid("Required parameter is missing: datasetReference.datasetId"))?.to_owned();
    let resource = api.store.create_dataset(&id, settings(body), store::now())?;
    Ok(Json(show(&api, &id, &resource)))
}

pub(super) async fn get(State(api): State<Api>, names: Names) -> Result<Json<Value>, ApiError> {
    let id = names.get("dataset");
    Ok(Json(show(&api, id, &api.store.dataset(id)?)))
}

pub(super) async fn list(State(api): State<Api>, _: Names, parameters: Parameters) -> Result<Json<Value>, ApiError> {
    let (datasets, next) = parameters.page()?.of(api.store.datasets());
    let items: Vec<Value> = datasets
        .iter()
        .map(|(id, resource)| {
            let mut item = show(&api, id, resource);
            if let Value::Object(item) = &mut item {
                let listed = ["kind", "id", "datasetReference", "labels", "friendlyName", "location"];
                item.retain(|key, _| listed.contains(&key.as_str()));
            }
            item
        })
        .collect();
    let mut answer = json!({"kind": "bigquery#datasetList", "etag": "list", "datasets": items});
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    Ok(Json(answer))
}

pub(super) async fn patch(
    State(api): State<Api>,
    names: Names,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let patch = settings(object(&body)?);
    change(&api, &names, &headers, |settings| merge(settings, patch))
}

pub(super) async fn update(
    State(api): State<Api>,
    names: Names,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let new = settings(object(&body)?);
    change(&api, &names, &headers, |settings| *settings = new)
}

pub(super) async fn delete(
    State(api): State<Api>,
    names: Names,
    parameters: Parameters,
) -> Result<StatusCode, ApiError> {
    api.store.delete_dataset(names.get("dataset"), parameters.flag("deleteContents"))?;
    Ok(StatusCode::NO_CONTENT)
}

fn change(
    api: &Api,
    names: &Names,
    headers: &HeaderMap,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<Json<Value>, ApiError> {
    let id = names.get("dataset");
    check_etag(headers, &etag(&api.store.dataset(id)?))?;
    let resource = api.store.update_dataset(id, store::now(), change)?;
    Ok(Json(show(api, id, &resource)))
}

fn settings(mut body: Map<String, Value>) -> Map<String, Value> {
    body.retain(|key, _| !OWN.contains(&key.as_str()));
    body
}

fn etag(resource: &Resource) -> String {
    format!("\"{:x}\"", resource.modified)
}

fn show(api: &Api, id: &str, resource: &Resource) -> Value {
    let project = &*api.project;
    let mut shown = resource.settings.clone();
    shown.entry("location").or_insert_with(|| json!(LOCATION));
    shown.entry("access").or_insert_with(|| json!([]));
    let own = json!({
        "kind": "bigquery#dataset",
        "etag": etag(resource),
        "id": format!("{project}:{id}"),
        "selfLink": format!("/bigquery/v2/projects/{project}/datasets/{id}"),
        "datasetReference": {"projectId": project, "datasetId": id},
        "creationTime": (resource.created / 1000).to_string(),
        "lastModifiedTime": (resource.modified / 1000).to_string(),
        "type": "DEFAULT",
    });
    if let Value::Object(own) = own {
        shown.extend(own);
    }
    Value::Object(shown)
}
