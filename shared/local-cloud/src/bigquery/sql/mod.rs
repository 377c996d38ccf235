//! GoogleSQL over Arrow batches.
//!
//! A statement is parsed by `sqlparser`, bound by [`binder`] to a DataFusion plan — names, types, coercions and functions
//! are BigQuery's, decided here and not by DataFusion — and run over in-memory tables. What the engine cannot do is
//! refused by name, never answered wrongly.

mod binder;
mod calendar;
mod cast;
mod collect;
mod data_type;
mod engine;
mod error;
mod function;
mod json;
mod lazy;
mod literal;
mod parameter;
mod parse;
mod planner;
mod rows;
mod scalar;
mod strftime;
mod text;
mod value;
mod zone;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::{TableName, TableSchema};

pub(crate) use error::{Reason, SqlError};
pub(crate) use parameter::QueryParameters;

/// A table and its rows.
#[derive(Debug, Clone)]
pub(crate) struct TableData {
    /// The table.
    pub name: TableName,
    /// Its columns.
    pub schema: TableSchema,
    /// Its rows, in the schema of [`super::arrow_schema::arrow_schema`].
    pub batches: Vec<RecordBatch>,
}

/// Where the engine finds tables and views.
pub(crate) trait Warehouse: Send + Sync {
    /// The project that everything belongs to.
    fn project(&self) -> &str;
    /// A table with its rows at this moment.
    fn table(&self, dataset: &str, table: &str) -> Option<TableData>;
    /// The SQL of a view.
    fn view(&self, dataset: &str, table: &str) -> Option<String>;
}

/// What a statement is, and what it asks of the store.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    /// A query: the output's rows are the answer.
    Select,
    /// `CREATE [OR REPLACE] TABLE [IF NOT EXISTS]`; `batches` are the rows of `AS SELECT`, empty without it.
    CreateTable {
        /// The table.
        name: TableName,
        /// Its columns.
        schema: TableSchema,
        /// Its first rows.
        batches: Vec<RecordBatch>,
        /// An existing table is replaced.
        or_replace: bool,
        /// An existing table is left alone.
        if_not_exists: bool,
    },
    /// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS]`.
    CreateView {
        /// The view.
        name: TableName,
        /// Its query.
        sql: String,
        /// The columns of its result.
        schema: TableSchema,
        /// An existing view is replaced.
        or_replace: bool,
        /// An existing view is left alone.
        if_not_exists: bool,
    },
    /// `DROP TABLE` or `DROP VIEW`.
    Drop {
        /// The table or view.
        name: TableName,
        /// A view is meant, not a table.
        view: bool,
        /// A missing one is no error.
        if_exists: bool,
    },
    /// `TRUNCATE TABLE`.
    Truncate {
        /// The table.
        table: TableName,
    },
    /// `INSERT`: rows in the table's own Arrow schema.
    Insert {
        /// The table.
        table: TableName,
        /// The new rows.
        batches: Vec<RecordBatch>,
    },
    /// `DELETE … WHERE`: the rows that stay, in the table's own Arrow schema.
    Delete {
        /// The table.
        table: TableName,
        /// The rows that stay.
        kept: Vec<RecordBatch>,
    },
}

/// The answer to a statement.
#[derive(Debug, Clone)]
pub(crate) struct QueryOutput {
    /// The columns of the result; empty but for queries.
    pub schema: TableSchema,
    /// The rows of the result, in the Arrow schema of `schema`; empty but for queries.
    pub batches: Vec<RecordBatch>,
    /// What the statement asks of the store, which the caller carries out.
    pub statement: Statement,
    /// The rows that INSERT added or DELETE takes away.
    pub dml_affected_rows: Option<u64>,
}

/// Runs one statement.
///
/// # Errors
/// The statement is wrong, names what does not exist, asks for what the engine cannot do, or failed over its rows.
pub(crate) async fn run(
    sql: &str,
    parameters: QueryParameters,
    default_dataset: Option<&str>,
    warehouse: Arc<dyn Warehouse>,
) -> Result<QueryOutput, SqlError> {
    on_own_thread(sql, parameters, default_dataset, warehouse, false).await
}

/// Checks one statement and tells its result's schema, over the tables' schemas alone: no row is read.
///
/// # Errors
/// As [`run`], but for failures over rows.
pub(crate) async fn describe(
    sql: &str,
    parameters: QueryParameters,
    default_dataset: Option<&str>,
    warehouse: Arc<dyn Warehouse>,
) -> Result<QueryOutput, SqlError> {
    on_own_thread(sql, parameters, default_dataset, warehouse, true).await
}

/// Planning goes deep, in debug builds deeper than a runtime's own stacks, and a query keeps a core busy.
const STACK: usize = 64 << 20;

async fn on_own_thread(
    sql: &str,
    parameters: QueryParameters,
    default_dataset: Option<&str>,
    warehouse: Arc<dyn Warehouse>,
    dry: bool,
) -> Result<QueryOutput, SqlError> {
    let (sql, default_dataset) = (sql.to_owned(), default_dataset.map(str::to_owned));
    let handle = tokio::runtime::Handle::current();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let work = move || {
        let engine = engine::Engine::new(handle, dry);
        let result = parse::parse(&sql).and_then(|statement| {
            let mut binder = binder::Binder::new(&engine, warehouse.as_ref(), &parameters, default_dataset.as_deref());
            binder.run(&statement, &sql)
        });
        // Nobody waits any more where the caller was cancelled.
        drop(answer.send(result));
    };
    let thread = std::thread::Builder::new().name("query".into()).stack_size(STACK).spawn(work);
    thread.map_err(|error| SqlError::internal(format!("No thread for the query: {error}")))?;
    answered.await.unwrap_or_else(|_| Err(SqlError::internal("The local engine failed on this statement")))
}
