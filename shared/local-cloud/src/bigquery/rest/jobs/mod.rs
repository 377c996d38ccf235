//! `jobs`: query, insert, get, list, getQueryResults, cancel.

mod execute;
mod registry;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use self::{
    execute::{Answer, request},
    registry::{Job, show_statistics},
};
use super::{
    Api, Names,
    error::ApiError,
    request::{Page, Parameters, number, object},
    rows::{self, Format},
    schema,
};

pub(crate) use registry::Jobs;

/// How long a call waits for its statement where it does not say.
const PATIENCE: Duration = Duration::from_secs(10);
/// And at most.
const LONGEST: Duration = Duration::from_secs(200);

pub(super) async fn query(State(api): State<Api>, _: Names, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = object(&body)?;
    let dry_run = body.get("dryRun").and_then(Value::as_bool).unwrap_or(false);
    let body = Value::Object(body);
    let request = request(&body, dry_run)?;
    if dry_run {
        let answer = api.jobs.describe(request).await?;
        let mut shown = json!({"kind": "bigquery#queryResponse", "jobComplete": true, "totalBytesProcessed": "0"});
        shown["jobReference"] = json!({"projectId": &*api.project});
        if let Some(schema) = &answer.schema {
            shown["schema"] = schema::show(schema);
        }
        return Ok(Json(shown));
    }
    let request_id = body.get("requestId").and_then(Value::as_str).map(str::to_owned);
    let job = api.jobs.start(None, request_id, configuration(&body), request)?;
    let wait = patience(number(body.get("timeoutMs")));
    let most = number(body.get("maxResults")).map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    let format = body.get("formatOptions").and_then(|options| options.get("useInt64Timestamp"));
    let format = Format { int64_timestamp: format.and_then(Value::as_bool).unwrap_or(false) };
    results(&api, &job, "bigquery#queryResponse", wait, Page { start: 0, most }, format).await
}

pub(super) async fn get_query_results(
    State(api): State<Api>,
    names: Names,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    let job = api.jobs.job(names.get("job"))?;
    let wait = patience(parameters.number("timeoutMs")?);
    let format = Format { int64_timestamp: parameters.flag("formatOptions.useInt64Timestamp") };
    results(&api, &job, "bigquery#getQueryResultsResponse", wait, parameters.page()?, format).await
}

pub(super) async fn insert(State(api): State<Api>, _: Names, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = object(&body)?;
    let configuration = body.get("configuration").cloned().unwrap_or_default();
    for kind in ["load", "extract", "copy"] {
        if configuration.get(kind).is_some_and(|job| !job.is_null()) {
            return Err(ApiError::not_implemented(&format!("A {kind} job")));
        }
    }
    let query = configuration.get("query").ok_or_else(|| ApiError::invalid("Required parameter is missing: query"))?;
    let dry_run = configuration.get("dryRun").and_then(Value::as_bool).unwrap_or(false);
    let request = request(query, dry_run)?;
    let id = body.get("jobReference").and_then(|reference| reference.get("jobId")).and_then(Value::as_str);
    if dry_run {
        let answer = api.jobs.describe(request).await?;
        return Ok(Json(json!({
            "kind": "bigquery#job",
            "jobReference": {"projectId": &*api.project, "location": super::super::LOCATION},
            "configuration": configuration,
            "status": {"state": "DONE"},
            "statistics": {"totalBytesProcessed": "0", "query": show_statistics(&answer)},
        })));
    }
    let job = api.jobs.start(id.map(str::to_owned), None, query.clone(), request)?;
    // Most statements end at once: the caller is spared a second question.
    job.wait(Duration::from_millis(200)).await;
    Ok(Json(api.jobs.show(&job)))
}

/// Loads a file that the request or a later one carries: `load_table_from_file`, `load_table_from_json` and their kin.
///
/// What the request carries is read, so that its sender sees the answer.
pub(super) async fn upload(_: Names, _: Result<Bytes, BytesRejection>) -> ApiError {
    ApiError::not_implemented("A load job")
}

pub(super) async fn get(State(api): State<Api>, names: Names) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.jobs.show(&*api.jobs.job(names.get("job"))?)))
}

pub(super) async fn list(State(api): State<Api>, _: Names, parameters: Parameters) -> Result<Json<Value>, ApiError> {
    let (jobs, next) = parameters.page()?.of(api.jobs.jobs());
    let shown = jobs.iter().map(|job| {
        let mut shown = api.jobs.show(job);
        shown["state"] = shown["status"]["state"].clone();
        if let Some(error) = shown["status"].get("errorResult").cloned() {
            shown["errorResult"] = error;
        }
        shown
    });
    let mut answer = json!({"kind": "bigquery#jobList", "etag": "list", "jobs": shown.collect::<Vec<_>>()});
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    Ok(Json(answer))
}

pub(super) async fn cancel(State(api): State<Api>, names: Names) -> Result<Json<Value>, ApiError> {
    let job = api.jobs.job(names.get("job"))?;
    job.cancel();
    Ok(Json(json!({"kind": "bigquery#jobCancelResponse", "job": api.jobs.show(&job)})))
}

/// The part of a query's body that is the configuration of its job.
fn configuration(body: &Value) -> Value {
    let kept = ["query", "defaultDataset", "queryParameters", "parameterMode", "useLegacySql", "useQueryCache"];
    let body = body.as_object().into_iter().flatten();
    let kept: Map<_, _> =
        body.filter(|(key, _)| kept.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    Value::Object(kept)
}

fn patience(millis: Option<u64>) -> Duration {
    millis.map_or(PATIENCE, Duration::from_millis).min(LONGEST)
}

async fn results(
    api: &Api,
    job: &Arc<Job>,
    kind: &str,
    wait: Duration,
    page: Page,
    format: Format,
) -> Result<Json<Value>, ApiError> {
    job.wait(wait).await;
    let mut shown =
        json!({"kind": kind, "etag": "results", "jobReference": api.jobs.reference(job), "jobComplete": false});
    let Some(answer) = job.answer() else { return Ok(Json(shown)) };
    let Answer { schema, batches, affected, .. } = answer?.clone();
    shown["jobComplete"] = json!(true);
    shown["cacheHit"] = json!(false);
    shown["totalBytesProcessed"] = json!("0");
    if let Some(affected) = affected {
        shown["numDmlAffectedRows"] = json!(affected.to_string());
    }
    let Some(schema) = schema else { return Ok(Json(shown)) };
    shown["schema"] = schema::show(&schema);
    let total: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    shown["totalRows"] = json!(total.to_string());
    let paged = tokio::task::spawn_blocking(move || rows::page(&schema, &batches, page, format));
    let (rows, next) = paged.await.map_err(|error| ApiError::internal(error.to_string()))?;
    if !rows.is_empty() {
        shown["rows"] = Value::Array(rows);
    }
    if let Some(next) = next {
        shown["pageToken"] = json!(next);
    }
    Ok(Json(shown))
}
