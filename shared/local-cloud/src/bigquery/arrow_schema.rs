//! The one mapping from BigQuery's types to Arrow's.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use catalog::{Field, FieldType, Mode, TableSchema};

/// The key of an Arrow field's metadata that names the BigQuery type where Arrow's own type does not tell it.
pub(crate) const TYPE_KEY: &str = "bigquery.type";

/// Digits in all, and after the point, of NUMERIC.
pub(crate) const NUMERIC: (u8, i8) = (38, 9);

/// Digits in all, and after the point, of BIGNUMERIC.
pub(crate) const BIGNUMERIC: (u8, i8) = (76, 38);

/// The Arrow schema of a table: STRING, GEOGRAPHY and JSON are `Utf8` (the latter two marked by [`TYPE_KEY`]), TIME,
/// DATETIME and TIMESTAMP count microseconds, STRUCT is `Struct`, REPEATED is `List`.
pub(crate) fn arrow_schema(schema: &TableSchema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields.iter().map(arrow_field).collect::<Vec<_>>()))
}

/// The Arrow field of one column.
pub(crate) fn arrow_field(field: &Field) -> ArrowField {
    let element = element_type(field);
    let marked = |arrow: ArrowField| match field.field_type {
        FieldType::Json | FieldType::Geography => {
            arrow.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), field.field_type.sql_name().to_owned())]))
        }
        _ => arrow,
    };
    match field.mode {
        Mode::Repeated => {
            let item = marked(ArrowField::new("item", element, true));
            marked(ArrowField::new(&field.name, DataType::List(Arc::new(item)), true))
        }
        Mode::Nullable => marked(ArrowField::new(&field.name, element, true)),
        Mode::Required => marked(ArrowField::new(&field.name, element, false)),
    }
}

fn element_type(field: &Field) -> DataType {
    match field.field_type {
        FieldType::String | FieldType::Geography | FieldType::Json => DataType::Utf8,
        FieldType::Bytes => DataType::Binary,
        FieldType::Integer => DataType::Int64,
        FieldType::Float => DataType::Float64,
        FieldType::Boolean => DataType::Boolean,
        FieldType::Numeric => DataType::Decimal128(NUMERIC.0, NUMERIC.1),
        FieldType::Bignumeric => DataType::Decimal256(BIGNUMERIC.0, BIGNUMERIC.1),
        FieldType::Date => DataType::Date32,
        FieldType::Time => DataType::Time64(TimeUnit::Microsecond),
        FieldType::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
        FieldType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        FieldType::Record => DataType::Struct(field.fields.iter().map(arrow_field).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_arrow_type() {
        let mut record = Field::new("r", FieldType::Record, Mode::Repeated);
        record.fields = vec![Field::new("j", FieldType::Json, Mode::Nullable)];
        let schema = TableSchema {
            fields: vec![
                Field::new("t", FieldType::Timestamp, Mode::Required),
                Field::new("n", FieldType::Numeric, Mode::Nullable),
                record,
            ],
        };
        let arrow = arrow_schema(&schema);
        assert_eq!(arrow.field(0).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        assert!(!arrow.field(0).is_nullable());
        assert_eq!(arrow.field(1).data_type(), &DataType::Decimal128(38, 9));
        let DataType::List(item) = arrow.field(2).data_type() else { panic!("a list was expected") };
        let DataType::Struct(fields) = item.data_type() else { panic!("a struct was expected") };
        assert_eq!(fields[0].metadata().get(TYPE_KEY).map(String::as_str), Some("JSON"));
    }
}
