//! `tabledata`: list and insertAll.

use arrow::array::RecordBatch;
use axum::{Json, extract::State};
use bytes::Bytes;
use catalog::TableSchema;
use serde_json::{Value, json};

use super::{
    Api, Names,
    error::ApiError,
    json::{Fault, row},
    request::{Parameters, object},
    rows::{self, Format},
};
use crate::bigquery::columns;

pub(super) async fn list(
    State(api): State<Api>,
    names: Names,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    let (dataset, table) = (names.get("dataset"), names.get("table"));
    let (schema, batches) = match api.jobs.anonymous(dataset, table) {
        Some(result) => result?,
        None => {
            let seen = api.store.table(dataset, table)?.snapshot()?;
            (seen.definition.schema.clone(), seen.batches)
        }
    };
    let (schema, batches) = select(schema, batches, parameters.get("selectedFields"))?;
    let page = parameters.page()?;
    let format = Format { int64_timestamp: parameters.flag("formatOptions.useInt64Timestamp") };
    let total: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    let answer = tokio::task::spawn_blocking(move || {
        let (rows, next) = rows::page(&schema, &batches, page, format);
        let mut answer = json!({"kind": "bigquery#tableDataList", "etag": "data", "totalRows": total.to_string()});
        if !rows.is_empty() {
            answer["rows"] = Value::Array(rows);
        }
        if let Some(next) = next {
            answer["pageToken"] = json!(next);
        }
        answer
    });
    answer.await.map(Json).map_err(|error| ApiError::internal(error.to_string()))
}

pub(super) async fn insert_all(State(api): State<Api>, names: Names, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = object(&body)?;
    let flag = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
    if body.get("templateSuffix").is_some_and(|suffix| !suffix.is_null()) {
        return Err(ApiError::not_implemented("templateSuffix"));
    }
    let table = api.store.table(names.get("dataset"), names.get("table"))?;
    let definition = table.definition();
    let given = body.get("rows").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if given.is_empty() {
        return Err(ApiError::invalid("No rows present in the request."));
    }
    let (mut good, mut errors, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for (index, entry) in given.iter().enumerate() {
        let Some(Value::Object(members)) = entry.get("json") else {
            return Err(ApiError::invalid(format!("rows[{index}].json must be an object")));
        };
        match row(&definition.schema.fields, members, flag("ignoreUnknownValues")) {
            Ok(cells) => {
                good.push(cells);
                taken.push(index);
            }
            Err(faults) => errors.push(json!({"index": index, "errors": faults.iter().map(show).collect::<Vec<_>>()})),
        }
    }
    if !errors.is_empty() && !flag("skipInvalidRows") {
        let stopped = json!([{"reason": "stopped", "location": "", "debugInfo": "", "message": ""}]);
        errors.extend(taken.iter().map(|index| json!({"index": index, "errors": stopped})));
        good.clear();
    }
    if !good.is_empty() {
        let batch = columns::batch(&definition.arrow, &good).map_err(|error| ApiError::internal(error.to_string()))?;
        table.append(vec![batch])?;
    }
    let mut answer = json!({"kind": "bigquery#tableDataInsertAllResponse"});
    if !errors.is_empty() {
        answer["insertErrors"] = Value::Array(errors);
    }
    Ok(Json(answer))
}

fn show(fault: &Fault) -> Value {
    json!({"reason": "invalid", "location": fault.location, "debugInfo": "", "message": fault.message})
}

type Rows = (TableSchema, Vec<RecordBatch>);

/// The columns that are asked for, in the table's order.
fn select(schema: TableSchema, batches: Vec<RecordBatch>, fields: Option<&str>) -> Result<Rows, ApiError> {
    let Some(fields) = fields else { return Ok((schema, batches)) };
    let mut wanted = Vec::new();
    for name in fields.split(',') {
        let index = schema.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name.trim()));
        wanted.push(index.ok_or_else(|| ApiError::invalid(format!("Invalid value for selectedFields: {name}")))?);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let projected = batches.iter().map(|batch| batch.project(&wanted)).collect::<Result<_, _>>();
    let batches = projected.map_err(|error| ApiError::internal(error.to_string()))?;
    let fields = wanted.iter().map(|index| schema.fields[*index].clone()).collect();
    Ok((TableSchema { fields }, batches))
}
