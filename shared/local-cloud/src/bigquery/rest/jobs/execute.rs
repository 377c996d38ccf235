//! Running a statement, and doing to the store what it asks for.

use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::{TableName, TableSchema};
use serde_json::{Map, Value};

use super::super::{error::ApiError, schema};
use crate::bigquery::{
    sql::{self, QueryOutput, QueryParameters, Statement},
    store::{self, Entry, NewEntry, Store},
    warehouse::Snapshots,
};

/// A DELETE whose table lost rows to another one meanwhile is run again so many times.
const TRIES: usize = 10;

/// What is to be run.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) sql: String,
    pub(super) parameters: QueryParameters,
    pub(super) default_dataset: Option<String>,
    pub(super) dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// As in a job's statistics: `SELECT`, `INSERT`, ….
    pub(super) statement: &'static str,
    /// The columns of the result; only queries have one.
    pub(super) schema: Option<TableSchema>,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) affected: Option<u64>,
}

/// Runs the statement, or describes it.
pub(super) async fn execute(store: Arc<Store>, project: Arc<str>, request: Request) -> Result<Answer, ApiError> {
    let Request { sql, parameters, default_dataset, dry_run } = request;
    for _ in 0..TRIES {
        let seen = Arc::new(Snapshots::new(Arc::clone(&store), Arc::clone(&project)));
        let warehouse = Arc::clone(&seen) as Arc<dyn sql::Warehouse>;
        let (parameters, dataset) = (parameters.clone(), default_dataset.as_deref());
        let output = if dry_run {
            sql::describe(&sql, parameters, dataset, warehouse).await?
        } else {
            sql::run(&sql, parameters, dataset, warehouse).await?
        };
        let QueryOutput { schema, batches, statement, dml_affected_rows: affected } = output;
        let name = kind(&statement);
        let schema = matches!(statement, Statement::Select).then_some(schema);
        if dry_run || apply(&store, &seen, statement)? {
            return Ok(Answer { statement: name, schema, batches, affected });
        }
    }
    Err(ApiError::internal("The table was changed by other statements each time; try again"))
}

fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::Select => "SELECT",
        Statement::CreateTable { .. } => "CREATE_TABLE",
        Statement::CreateView { .. } => "CREATE_VIEW",
        Statement::Drop { view: false, .. } => "DROP_TABLE",
        Statement::Drop { view: true, .. } => "DROP_VIEW",
        Statement::Truncate { .. } => "TRUNCATE_TABLE",
        Statement::Insert { .. } => "INSERT",
        Statement::Delete { .. } => "DELETE",
    }
}

/// Does what the statement asks for; `false` where it is to be run again over the table as it is now.
fn apply(store: &Arc<Store>, seen: &Snapshots, statement: Statement) -> Result<bool, ApiError> {
    match statement {
        Statement::Select => {}
        Statement::CreateTable { name, schema, batches, or_replace, if_not_exists } => {
            if place(store, &name, or_replace, if_not_exists)? {
                let new = NewEntry { name, schema, query: None, settings: Map::new() };
                if let Entry::Table(table) = store.create(new, store::now())? {
                    table.append(batches)?;
                }
            }
        }
        Statement::CreateView { name, sql, schema, or_replace, if_not_exists } => {
            if place(store, &name, or_replace, if_not_exists)? {
                let settings = Map::from_iter([("schema".to_owned(), schema::show(&schema))]);
                let fields = TableSchema { fields: Vec::new() };
                store.create(NewEntry { name, schema: fields, query: Some(sql), settings }, store::now())?;
            }
        }
        Statement::Drop { name, view, if_exists } => match store.entry(&name.dataset, &name.table) {
            Err(_) if if_exists => {}
            Err(error) => return Err(error.into()),
            Ok(entry) if matches!(entry, Entry::View(_)) != view => {
                let (is, not) = if view { ("table", "view") } else { ("view", "table") };
                return Err(ApiError::invalid(format!("{name} is a {is}, not a {not}")));
            }
            Ok(_) => store.delete(&name.dataset, &name.table)?,
        },
        Statement::Truncate { table } => {
            let table = store.table(&table.dataset, &table.table)?;
            return Ok(table.replace(&table.snapshot()?, Vec::new())?);
        }
        Statement::Insert { table, batches } => store.table(&table.dataset, &table.table)?.append(batches)?,
        Statement::Delete { table: name, kept } => {
            let table = store.table(&name.dataset, &name.table)?;
            let Some(seen) = seen.seen(&name) else {
                return Err(ApiError::internal(format!("the DELETE did not read {name}")));
            };
            if seen.changes {
                let detail =
                    format!("DELETE is not supported over table {name}, which takes change data (UPSERT, DELETE)");
                return Err(ApiError::invalid(detail));
            }
            return Ok(table.replace(&seen, kept)?);
        }
    }
    Ok(true)
}

/// Makes place for what is to be created; `false` where what is there is to stay.
fn place(store: &Store, name: &TableName, or_replace: bool, if_not_exists: bool) -> Result<bool, ApiError> {
    let there = store.entry(&name.dataset, &name.table).is_ok();
    if there && or_replace {
        store.delete(&name.dataset, &name.table)?;
    }
    Ok(!(there && if_not_exists && !or_replace))
}

/// The parameters, and the rest of a query's configuration: those of `jobs.query` and of `configuration.query` alike.
pub(super) fn request(query: &Value, dry_run: bool) -> Result<Request, ApiError> {
    // The API's own default is legacy SQL, which nobody means any more: only an explicit `true` is refused.
    if query.get("useLegacySql").and_then(Value::as_bool) == Some(true) {
        return Err(ApiError::not_implemented("Legacy SQL (useLegacySql: true)"));
    }
    for refused in ["destinationTable", "tableDefinitions", "userDefinedFunctionResources", "scriptOptions"] {
        let given =
            query.get(refused).is_some_and(|v| !v.is_null() && v.as_array().is_none_or(|list| !list.is_empty()));
        if given {
            return Err(ApiError::not_implemented(refused));
        }
    }
    let sql = query.get("query").and_then(Value::as_str).filter(|sql| !sql.trim().is_empty());
    let sql = sql.ok_or_else(|| ApiError::invalid("Required parameter is missing: query"))?.to_owned();
    let parameters = query.get("queryParameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let default_dataset =
        query.get("defaultDataset").and_then(|dataset| dataset.get("datasetId")).and_then(Value::as_str);
    Ok(Request {
        sql,
        parameters: QueryParameters::from_json(parameters)?,
        default_dataset: default_dataset.map(str::to_owned),
        dry_run,
    })
}
