//! Statements and their answers, over tables in memory.

mod aggregates;
mod arrays;
mod conversations;
mod errors;
mod functions;
mod joins;
mod json;
mod names;
mod operators;
mod parameters;
mod statements;
mod strings;
mod subqueries;
mod times;
mod windows;

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex},
};

use arrow::array::RecordBatch;
use catalog::{TableName, TableSchema};

use super::{
    QueryOutput, QueryParameters, SqlError, Statement, TableData, Warehouse,
    data_type::Type,
    run, text,
    value::{Value, read},
};
use crate::bigquery::sql::engine::with_schema;

/// A warehouse in memory, which does what statements ask of it.
#[derive(Default)]
pub(super) struct World {
    tables: Mutex<BTreeMap<(String, String), TableData>>,
    views: Mutex<BTreeMap<(String, String), String>>,
}

impl Warehouse for World {
    fn project(&self) -> &str {
        "pipas-local"
    }

    fn table(&self, dataset: &str, table: &str) -> Option<TableData> {
        self.tables.lock().expect("unpoisoned").get(&(dataset.to_owned(), table.to_owned())).cloned()
    }

    fn view(&self, dataset: &str, table: &str) -> Option<String> {
        self.views.lock().expect("unpoisoned").get(&(dataset.to_owned(), table.to_owned())).cloned()
    }
}

/// The tables that most tests ask.
const SHOP: [&str; 5] = [
    "CREATE TABLE shop.orders (
        id INT64 NOT NULL, customer STRING, amount FLOAT64, price NUMERIC, at TIMESTAMP, day DATE, paid BOOL,
        tags ARRAY<STRING>, items ARRAY<STRUCT<sku STRING, qty INT64>>, data JSON,
        ingest STRUCT<event_id STRING, source STRING>)",
    r#"INSERT INTO shop.orders VALUES
        (1, 'ada', 10.5, 10.50, '2024-02-01 10:00:00', '2024-02-01', TRUE, ['a', 'b'], [('x', 1), ('y', 2)],
            JSON '{"kind": "web", "n": 1, "deep": {"a": [1, 2]}}', ('e1', 's')),
        (2, 'bob', 20.0, 20.00, '2024-02-01 11:30:00', '2024-02-01', FALSE, ['b'], [('x', 5)], JSON '{"kind": "app", "n": 2.5}', ('e2', 's')),
        (3, 'ada', 5.25, 5.25, '2024-02-02 09:15:30', '2024-02-02', TRUE, [], [], JSON '{"kind": "web"}', ('e3', 't')),
        (4, 'eve', NULL, NULL, NULL, NULL, NULL, ['c', 'a'], [('z', 7), ('x', 3)], NULL, NULL),
        (5, 'bob', 40.0, 40.00, '2024-02-03 23:59:59', '2024-02-03', TRUE, [], [('y', 1)], JSON '[1, "two", null]', ('e5', 't'))"#,
    "CREATE TABLE shop.customers AS SELECT 'ada' AS name, 'Rome' AS city UNION ALL SELECT 'bob', 'Oslo' UNION ALL SELECT 'zoe', NULL",
    "CREATE TABLE shop.nothing (x INT64, y STRING)",
    "CREATE VIEW shop.paid AS SELECT id, customer, amount FROM shop.orders WHERE paid",
];

impl World {
    /// A world with the shop's tables.
    pub(super) async fn shop() -> Arc<Self> {
        let world = Arc::new(Self::default());
        for sql in SHOP {
            world.does(sql).await;
        }
        world
    }

    /// Runs a statement and carries out what it asks for.
    pub(super) async fn does(self: &Arc<Self>, sql: &str) -> QueryOutput {
        let output = self.asks(sql, QueryParameters::default()).await;
        let output = output.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let key = |name: &TableName| (name.dataset.clone(), name.table.clone());
        let mut tables = self.tables.lock().expect("unpoisoned");
        match output.statement.clone() {
            Statement::Select => {}
            Statement::CreateTable { name, schema, batches, .. } => {
                tables.insert(key(&name), TableData { name, schema, batches });
            }
            Statement::CreateView { name, sql, .. } => {
                self.views.lock().expect("unpoisoned").insert(key(&name), sql);
            }
            Statement::Drop { name, .. } => drop(tables.remove(&key(&name))),
            Statement::Truncate { table } => tables.get_mut(&key(&table)).expect("a table").batches.clear(),
            Statement::Insert { table, batches } => {
                tables.get_mut(&key(&table)).expect("a table").batches.extend(batches);
            }
            Statement::Delete { table, kept } => tables.get_mut(&key(&table)).expect("a table").batches = kept,
        }
        output
    }

    pub(super) async fn asks(
        self: &Arc<Self>,
        sql: &str,
        parameters: QueryParameters,
    ) -> Result<QueryOutput, SqlError> {
        run(sql, parameters, Some("shop"), Arc::clone(self) as Arc<dyn Warehouse>).await
    }

    /// Each statement has the answer beside it: rows by `; `, values by `, `, or `reason: message`.
    pub(super) async fn answers(self: &Arc<Self>, cases: &[(&str, &str)]) {
        let mut wrong = String::new();
        for (sql, expected) in cases {
            let answer = match self.asks(sql, QueryParameters::default()).await {
                Ok(output) => rows(&output),
                Err(error) => format!("{}: {}", error.reason.as_str(), error.message),
            };
            if answer != *expected {
                let _ = write!(wrong, "\n  {sql}\n    wanted {expected}\n    has    {answer}");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }

    /// Each statement is refused with a message that holds the text beside it.
    pub(super) async fn refuses(self: &Arc<Self>, cases: &[(&str, &str)]) {
        let mut wrong = String::new();
        for (sql, expected) in cases {
            let answer = match self.asks(sql, QueryParameters::default()).await {
                Ok(output) => format!("rows {}", rows(&output)),
                Err(error) => format!("{}: {}", error.reason.as_str(), error.message),
            };
            if !answer.contains(expected) {
                let _ = write!(wrong, "\n  {sql}\n    wanted {expected}\n    has    {answer}");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

/// Checks cases over the shop.
pub(super) async fn shop_answers(cases: &[(&str, &str)]) {
    World::shop().await.answers(cases).await;
}

/// The rows as text.
pub(super) fn rows(output: &QueryOutput) -> String {
    shown(&output.schema, &output.batches)
}

fn shown(schema: &TableSchema, batches: &[RecordBatch]) -> String {
    let types: Vec<Type> = schema.fields.iter().map(Type::of_field).collect();
    let mut lines = Vec::new();
    for batch in batches {
        let arrow = arrow::datatypes::Schema::new(
            types.iter().map(|ty| arrow::datatypes::Field::new("v", ty.arrow(), true)).collect::<Vec<_>>(),
        );
        let batch = with_schema(batch, &Arc::new(arrow)).expect("the schema's own types");
        for row in 0..batch.num_rows() {
            let values =
                types.iter().zip(batch.columns()).map(|(ty, column)| value(&read(column.as_ref(), ty, row), ty));
            lines.push(values.collect::<Vec<_>>().join(", "));
        }
    }
    lines.join("; ")
}

fn value(value: &Value<'_>, ty: &Type) -> String {
    match (ty, value) {
        (_, Value::Null) => "NULL".into(),
        (Type::Array(element), Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| self::value(item, element)).collect();
            format!("[{}]", items.join(" "))
        }
        (Type::Struct(fields), Value::Struct(items)) => {
            let items = fields.iter().zip(items).map(|(f, item)| format!("{}={}", f.name, self::value(item, &f.ty)));
            format!("{{{}}}", items.collect::<Vec<_>>().join(" "))
        }
        (Type::Bytes, value) => format!("b{:?}", String::from_utf8_lossy(value.bytes())),
        (ty, value) => text::of_value(value, ty).expect("a text"),
    }
}

/// The names of the columns.
pub(super) fn names(output: &QueryOutput) -> String {
    output.schema.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(",")
}
