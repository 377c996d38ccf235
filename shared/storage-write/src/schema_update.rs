//! A table's schema as Storage Write tells it in an answer.

use catalog::{Field, FieldType, Mode, TableSchema};
use googleapis::google::cloud::bigquery::storage::v1::{
    TableFieldSchema, TableSchema as Updated,
    table_field_schema::{self, Type},
};

/// The schema in the catalog's words; `None` where it has a column of a type that Pipas does not write.
pub(crate) fn table_schema(updated: &Updated) -> Option<TableSchema> {
    Some(TableSchema { fields: updated.fields.iter().map(field).collect::<Option<_>>()? })
}

fn field(updated: &TableFieldSchema) -> Option<Field> {
    let field_type = match updated.r#type() {
        Type::String => FieldType::String,
        Type::Int64 => FieldType::Integer,
        Type::Double => FieldType::Float,
        Type::Struct => FieldType::Record,
        Type::Bytes => FieldType::Bytes,
        Type::Bool => FieldType::Boolean,
        Type::Timestamp => FieldType::Timestamp,
        Type::Date => FieldType::Date,
        Type::Time => FieldType::Time,
        Type::Datetime => FieldType::Datetime,
        Type::Geography => FieldType::Geography,
        Type::Numeric => FieldType::Numeric,
        Type::Bignumeric => FieldType::Bignumeric,
        Type::Json => FieldType::Json,
        Type::Unspecified | Type::Interval | Type::Range => return None,
    };
    let mode = match updated.mode() {
        table_field_schema::Mode::Unspecified | table_field_schema::Mode::Nullable => Mode::Nullable,
        table_field_schema::Mode::Required => Mode::Required,
        table_field_schema::Mode::Repeated => Mode::Repeated,
    };
    let number = |value: i64| (value != 0).then(|| value.to_string());
    let text = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
    let mut field = Field::new(&updated.name, field_type, mode);
    field.fields = updated.fields.iter().map(self::field).collect::<Option<_>>()?;
    field.description = text(&updated.description);
    field.default_value_expression = text(&updated.default_value_expression);
    field.max_length = number(updated.max_length);
    field.precision = number(updated.precision);
    field.scale = number(updated.scale);
    Some(field)
}
