//! `tables`: insert, get, list, patch, update, delete, for tables and views.

use axum::{Json, extract::State};
use bytes::Bytes;
use catalog::{FieldType, Mode, TableName, TableSchema};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Api, Names,
    error::ApiError,
    request::{Parameters, check_etag, merge, object},
    schema,
};
use crate::bigquery::{
    LOCATION,
    store::{self, Entry, NewEntry, change},
};

/// What a table's resource has beside what the caller sets.
const OWN: [&str; 17] = [
    "kind",
    "etag",
    "id",
    "selfLink",
    "tableReference",
    "schema",
    "view",
    "numBytes",
    "numRows",
    "numLongTermBytes",
    "numTotalLogicalBytes",
    "numActiveLogicalBytes",
    "creationTime",
    "lastModifiedTime",
    "type",
    "location",
    "streamingBuffer",
];
/// What makes a table of a kind that is not served.
const REFUSED: [&str; 5] =
    ["externalDataConfiguration", "materializedView", "snapshotDefinition", "cloneDefinition", "biglakeConfiguration"];

pub(super) async fn insert(State(api): State<Api>, names: Names, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = object(&body)?;
    let id = body.get("tableReference").and_then(|reference| reference.get("tableId")).and_then(Value::as_str);
    let id = id.ok_or_else(|| ApiError::invalid("Required parameter is missing: tableReference.tableId"))?;
    let name = TableName { dataset: names.get("dataset").to_owned(), table: id.to_owned() };
    let query = view_query(&body)?;
    let (schema, settings) = match &query {
        Some(query) => (TableSchema { fields: Vec::new() }, view_settings(&api, query, settings(&body)?).await?),
        None => (body.get("schema").map_or_else(|| schema::parse(&Value::Null), schema::parse)?, settings(&body)?),
    };
    if query.is_none() {
        check_layout(&schema, &settings)?;
    }
    let entry = api.store.create(NewEntry { name, schema, query, settings }, store::now())?;
    Ok(Json(show(&api, &entry)))
}

pub(super) async fn get(State(api): State<Api>, names: Names) -> Result<Json<Value>, ApiError> {
    let entry = api.store.entry(names.get("dataset"), names.get("table"))?;
    Ok(Json(show(&api, &entry)))
}

pub(super) async fn list(
    State(api): State<Api>,
    names: Names,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    let entries = api.store.entries(names.get("dataset"))?;
    let total = entries.len();
    let (entries, next) = parameters.page()?.of(entries);
    let items: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut item = show(&api, entry);
            if let Value::Object(item) = &mut item {
                let hidden = ["schema", "etag", "selfLink", "numBytes", "numRows", "lastModifiedTime", "location"];
                item.retain(|key, _| !hidden.contains(&key.as_str()));
            }
            item
        })
        .collect();
    let mut answer = json!({"kind": "bigquery#tableList", "etag": "list", "tables": items, "totalItems": total});
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
    change(&api, &names, &headers, object(&body)?, false).await
}

pub(super) async fn update(
    State(api): State<Api>,
    names: Names,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    change(&api, &names, &headers, object(&body)?, true).await
}

pub(super) async fn delete(State(api): State<Api>, names: Names) -> Result<StatusCode, ApiError> {
    api.store.delete(names.get("dataset"), names.get("table"))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change(
    api: &Api,
    names: &Names,
    headers: &HeaderMap,
    body: Map<String, Value>,
    replace: bool,
) -> Result<Json<Value>, ApiError> {
    let (dataset, table) = (names.get("dataset"), names.get("table"));
    let entry = api.store.entry(dataset, table)?;
    check_etag(headers, &etag(&entry))?;
    let changed = settings(&body)?;
    let merged = |mut old: Map<String, Value>| {
        if replace {
            return changed.clone();
        }
        merge(&mut old, changed.clone());
        old
    };
    match &entry {
        Entry::Table(found) => {
            let definition = found.definition();
            let new = body.get("schema").filter(|schema| !schema.is_null()).map(schema::parse).transpose()?;
            let settings = merged(definition.settings.clone());
            check_layout(new.as_ref().unwrap_or(&definition.schema), &settings)?;
            for fixed in ["timePartitioning", "rangePartitioning"] {
                let field = |settings: &Map<String, Value>| {
                    settings.get(fixed).map(|p| (p.get("field").cloned(), p.get("type").cloned()))
                };
                if field(&settings) != field(&definition.settings) {
                    return Err(ApiError::invalid(format!("Cannot change partitioning of a table ({fixed})")));
                }
            }
            api.store.update_table(found, new, settings, store::now())?;
        }
        Entry::View(view) => {
            let query = view_query(&body)?.unwrap_or_else(|| view.query.clone());
            let settings = view_settings(api, &query, merged(view.resource.settings.clone())).await?;
            api.store.update_view(view, query, settings, store::now())?;
        }
    }
    Ok(Json(show(api, &api.store.entry(dataset, table)?)))
}

fn settings(body: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    if let Some(refused) = REFUSED.iter().find(|key| body.get(**key).is_some_and(|value| !value.is_null())) {
        return Err(ApiError::not_implemented(refused));
    }
    Ok(body.iter().filter(|(key, _)| !OWN.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// The query of a view's body; a table's body has none.
fn view_query(body: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    let Some(view) = body.get("view").filter(|view| !view.is_null()) else { return Ok(None) };
    if view.get("useLegacySql").and_then(Value::as_bool) == Some(true) {
        return Err(ApiError::not_implemented("Legacy SQL"));
    }
    let query = view.get("query").and_then(Value::as_str).filter(|query| !query.is_empty());
    let query = query.ok_or_else(|| ApiError::invalid("Required parameter is missing: view.query"))?;
    Ok(Some(query.to_owned()))
}

/// The settings of a view with the schema of its query, which is checked on the way.
async fn view_settings(
    api: &Api,
    query: &str,
    mut settings: Map<String, Value>,
) -> Result<Map<String, Value>, ApiError> {
    let schema = api.jobs.describe_view(query).await?;
    settings.insert("schema".into(), schema::show(&schema));
    Ok(settings)
}

/// Checks that the columns of the primary key, of partitions and of clusters exist and can be such.
fn check_layout(schema: &TableSchema, settings: &Map<String, Value>) -> Result<(), ApiError> {
    change::check_key(schema, settings).map_err(ApiError::invalid)?;
    let column = |name: &str| schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let partition = settings.get("timePartitioning").filter(|partition| !partition.is_null());
    if let Some(partition) = partition {
        let unit = partition.get("type").and_then(Value::as_str).unwrap_or_default();
        if !["HOUR", "DAY", "MONTH", "YEAR"].contains(&unit) {
            return Err(ApiError::invalid(format!("Invalid value for timePartitioning.type: {unit:?}")));
        }
        if let Some(name) = partition.get("field").and_then(Value::as_str) {
            let fits = |field_type| matches!(field_type, FieldType::Date | FieldType::Datetime | FieldType::Timestamp);
            match column(name) {
                Some(field) if fits(field.field_type) && field.mode != Mode::Repeated => {}
                Some(_) => {
                    return Err(ApiError::invalid(format!(
                        "The field specified for partitioning ({name}) must be of type DATE, TIMESTAMP or DATETIME"
                    )));
                }
                None => {
                    return Err(ApiError::invalid(format!(
                        "The field specified for partitioning cannot be found in the schema: {name}"
                    )));
                }
            }
        }
    }
    let clustering = settings.get("clustering").and_then(|clustering| clustering.get("fields"));
    let columns: Vec<&str> =
        clustering.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if columns.len() > 4 {
        return Err(ApiError::invalid("At most 4 clustering columns are allowed"));
    }
    for name in columns {
        let top = name.split('.').next().unwrap_or(name);
        if column(top).is_none_or(|field| field.mode == Mode::Repeated) {
            return Err(ApiError::invalid(format!(
                "The field specified for clustering cannot be found in the schema, or is repeated: {name}"
            )));
        }
    }
    Ok(())
}

fn etag(entry: &Entry) -> String {
    let modified = match entry {
        Entry::Table(table) => table.definition().modified,
        Entry::View(view) => view.resource.modified,
    };
    format!("\"{modified:x}\"")
}

fn show(api: &Api, entry: &Entry) -> Value {
    let project = &*api.project;
    let (TableName { dataset, table: id }, created, modified, mut shown) = match entry {
        Entry::Table(table) => {
            let definition = table.definition();
            let mut shown = definition.settings.clone();
            shown.insert("schema".into(), schema::show(&definition.schema));
            shown.insert("numRows".into(), json!(table.row_count().to_string()));
            shown.insert("numBytes".into(), json!(table.bytes().to_string()));
            shown.insert("numLongTermBytes".into(), json!("0"));
            shown.insert("type".into(), json!("TABLE"));
            (&table.name, table.created, definition.modified, shown)
        }
        Entry::View(view) => {
            let mut shown = view.resource.settings.clone();
            shown.insert("view".into(), json!({"query": view.query, "useLegacySql": false}));
            shown.insert("type".into(), json!("VIEW"));
            (&view.name, view.resource.created, view.resource.modified, shown)
        }
    };
    let own = json!({
        "kind": "bigquery#table",
        "etag": etag(entry),
        "id": format!("{project}:{dataset}.{id}"),
        "selfLink": format!("/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{id}"),
        "tableReference": {"projectId": project, "datasetId": dataset, "tableId": id},
        "creationTime": (created / 1000).to_string(),
        "lastModifiedTime": (modified / 1000).to_string(),
        "location": LOCATION,
    });
    if let Value::Object(own) = own {
        shown.extend(own);
    }
    Value::Object(shown)
}
