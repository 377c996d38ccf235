//! What a table is: its resource as the REST API shows it, and its schema as rows are read and written by.

use arrow::datatypes::SchemaRef;
use catalog::{Field, FieldType, Mode, TableName, TableSchema};
use serde_json::{Map, Value};

use super::{change, error::StoreError};
use crate::bigquery::arrow_schema::arrow_schema;

/// A table's definition. It is replaced as a whole; rows know the version that they were written by.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    /// Counts the schemas of the table, from 1.
    pub(crate) version: u32,
    /// The columns.
    pub(crate) schema: TableSchema,
    /// The columns as they are kept: where the table has a primary key, those of change data are behind its own.
    pub(crate) stored: TableSchema,
    /// The columns that are kept as Arrow's.
    pub(crate) arrow: SchemaRef,
    /// The places of the primary key's columns; empty where the table has none.
    pub(crate) key: Vec<usize>,
    /// The settings of the resource that only the REST API shows, without `schema`.
    pub(crate) settings: Map<String, Value>,
    /// When it was last changed, in microseconds since the epoch.
    pub(crate) modified: i64,
}

impl Definition {
    pub(super) fn new(version: u32, schema: TableSchema, settings: Map<String, Value>, modified: i64) -> Self {
        let key = change::key_columns(&schema, &settings);
        let stored = change::stored(&schema, !key.is_empty());
        let arrow = arrow_schema(&stored);
        Self { version, schema, stored, arrow, key, settings, modified }
    }

    /// The names of the primary key's columns, in its order.
    pub(super) fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|column| self.schema.fields[*column].name.as_str()).collect()
    }

    /// Whether the table has a primary key, and so takes change data.
    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }
}

/// Checks that `new` only adds to `old`, as BigQuery's schema updates do: columns are neither dropped nor retyped,
/// what is added is NULLABLE or REPEATED, and REQUIRED may become NULLABLE.
pub(super) fn check_update(name: &TableName, old: &[Field], new: &[Field]) -> Result<(), StoreError> {
    let refused = |detail: String| {
        StoreError::Invalid(format!("Provided Schema does not match Table {}:{}. {detail}", name.dataset, name.table))
    };
    for field in old {
        let Some(updated) = new.iter().find(|f| f.name.eq_ignore_ascii_case(&field.name)) else {
            return Err(refused(format!("Field {} is missing in new schema", field.name)));
        };
        let widens = matches!(
            (field.field_type, updated.field_type),
            (FieldType::Integer, FieldType::Numeric | FieldType::Bignumeric | FieldType::Float)
                | (FieldType::Numeric, FieldType::Bignumeric)
        );
        if field.field_type != updated.field_type && widens {
            let (from, to) = (field.field_type.sql_name(), updated.field_type.sql_name());
            return Err(refused(format!("Widening field {} from {from} to {to} is not supported here", field.name)));
        }
        if field.field_type != updated.field_type {
            let (from, to) = (field.field_type.sql_name(), updated.field_type.sql_name());
            return Err(refused(format!("Field {} has changed type from {from} to {to}", field.name)));
        }
        if field.mode != updated.mode && (field.mode, updated.mode) != (Mode::Required, Mode::Nullable) {
            let (from, to) = (field.mode, updated.mode);
            return Err(refused(format!("Field {} has changed mode from {from:?} to {to:?}", field.name)));
        }
        check_update(name, &field.fields, &updated.fields)?;
    }
    for field in new {
        let added = !old.iter().any(|f| f.name.eq_ignore_ascii_case(&field.name));
        if added && field.mode == Mode::Required {
            return Err(refused(format!("Cannot add required fields to an existing schema. (field: {})", field.name)));
        }
    }
    Ok(())
}

/// Checks the columns of a schema: their names, and that a STRUCT has fields.
pub(super) fn check_schema(fields: &[Field]) -> Result<(), StoreError> {
    for (index, field) in fields.iter().enumerate() {
        let mut letters = field.name.chars();
        let starts = letters.next().is_some_and(|c| c.is_alphabetic() || c == '_');
        if !starts || !letters.all(|c| c.is_alphanumeric() || c == '_' || c == '-') || field.name.len() > 300 {
            return Err(StoreError::Invalid(format!("Invalid field name \"{}\".", field.name)));
        }
        if change::is_pseudo_column(&field.name) {
            return Err(StoreError::Invalid(format!("Field name \"{}\" is reserved.", field.name)));
        }
        if fields[..index].iter().any(|f| f.name.eq_ignore_ascii_case(&field.name)) {
            return Err(StoreError::Invalid(format!("Duplicate field name \"{}\" in the schema.", field.name)));
        }
        if (field.field_type == FieldType::Record) == field.fields.is_empty() {
            return Err(StoreError::Invalid(format!(
                "Field {} is type RECORD exactly when it has fields; it is {} with {}",
                field.name,
                field.field_type.sql_name(),
                field.fields.len()
            )));
        }
        check_schema(&field.fields)?;
    }
    Ok(())
}
