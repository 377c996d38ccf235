//! The warehouse's answers, read by their columns.

use anyhow::Context;
use serde_json::Value;
use storage_write::{QueryRows, Tables};

use crate::cell::{Cell, Column};

/// The query service of one project.
#[derive(Debug, Clone)]
pub(crate) struct Warehouse {
    tables: Tables,
}

/// A whole result.
#[derive(Debug)]
pub(crate) struct ResultSet {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Warehouse {
    pub(crate) const fn new(tables: Tables) -> Self {
        Self { tables }
    }

    pub(crate) async fn connect(endpoint: &str, project: &str) -> anyhow::Result<Self> {
        Ok(Self { tables: Tables::connect(project, Some(endpoint)).await? })
    }

    /// Runs `sql` and reads every page of its result.
    pub(crate) async fn query(&self, sql: &str) -> anyhow::Result<ResultSet> {
        let QueryRows { fields, rows } = self.tables.query(sql).await?;
        let columns: Vec<Column> = serde_json::from_value(Value::Array(fields)).context("the result's columns")?;
        let rows = rows.iter().map(|row| read(&columns, row)).collect::<anyhow::Result<_>>()?;
        Ok(ResultSet { columns, rows })
    }
}

fn read(columns: &[Column], row: &[Value]) -> anyhow::Result<Vec<Cell>> {
    columns.iter().zip(row).map(|(column, value)| column.read(value)).collect()
}
