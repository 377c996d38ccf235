//! A table's schema as the Storage Write API shows it.

use catalog::{Field, FieldType, Mode, TableSchema};
use googleapis::google::cloud::bigquery::storage::v1::{
    self as storage, TableFieldSchema,
    table_field_schema::{self, Type},
};

/// The schema in the API's own message.
pub(super) fn to_proto(schema: &TableSchema) -> storage::TableSchema {
    storage::TableSchema { fields: schema.fields.iter().map(field).collect() }
}

fn field(field: &Field) -> TableFieldSchema {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
    let field_type = match field.field_type {
        FieldType::String => Type::String,
        FieldType::Bytes => Type::Bytes,
        FieldType::Integer => Type::Int64,
        FieldType::Float => Type::Double,
        FieldType::Boolean => Type::Bool,
        FieldType::Numeric => Type::Numeric,
        FieldType::Bignumeric => Type::Bignumeric,
        FieldType::Date => Type::Date,
        FieldType::Time => Type::Time,
        FieldType::Datetime => Type::Datetime,
        FieldType::Timestamp => Type::Timestamp,
        FieldType::Geography => Type::Geography,
        FieldType::Json => Type::Json,
        FieldType::Record => Type::Struct,
    };
    let mode = match field.mode {
        Mode::Nullable => table_field_schema::Mode::Nullable,
        Mode::Required => table_field_schema::Mode::Required,
        Mode::Repeated => table_field_schema::Mode::Repeated,
    };
    TableFieldSchema {
        name: field.name.clone(),
        r#type: field_type.into(),
        mode: mode.into(),
        fields: field.fields.iter().map(self::field).collect(),
        description: field.description.clone().unwrap_or_default(),
        max_length: number(&field.max_length),
        precision: number(&field.precision),
        scale: number(&field.scale),
        default_value_expression: field.default_value_expression.clone().unwrap_or_default(),
        ..Default::default()
    }
}
