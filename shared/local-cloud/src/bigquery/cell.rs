//! One value on its way into a table, checked against its column.

use arrow::datatypes::i256;
use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::{Field, FieldType, Mode};

use super::{civil, decimal::Decimal};

/// A value of a column, in the column's own representation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// NULL.
    Null,
    /// BOOL.
    Bool(bool),
    /// INT64; DATE in days; TIME, DATETIME and TIMESTAMP in microseconds.
    Int(i64),
    /// FLOAT64.
    Float(f64),
    /// STRING, GEOGRAPHY, JSON.
    Text(String),
    /// BYTES.
    Bytes(Vec<u8>),
    /// NUMERIC and BIGNUMERIC, scaled.
    Decimal(i256),
    /// STRUCT: one cell a field.
    Struct(Vec<Cell>),
    /// ARRAY.
    Array(Vec<Cell>),
}

/// The decimal type of a column, where it has one.
pub(crate) fn decimal_of(field: &Field) -> Option<Decimal> {
    match field.field_type {
        FieldType::Numeric => Some(Decimal::Numeric),
        FieldType::Bignumeric => Some(Decimal::Bignumeric),
        _ => None,
    }
}

/// The cell of a column that was given no value.
pub(crate) fn absent(field: &Field) -> Result<Cell, String> {
    match field.mode {
        Mode::Nullable => Ok(Cell::Null),
        Mode::Repeated => Ok(Cell::Array(Vec::new())),
        Mode::Required => Err(format!("Field {} is required but has no value", field.name)),
    }
}

/// The cell of one element of the column, from its text as BigQuery casts text.
pub(crate) fn of_text(field: &Field, text: &str) -> Result<Cell, String> {
    let invalid = || format!("Invalid {} value for field {}: {text:?}", field.field_type.sql_name(), field.name);
    let cell = match field.field_type {
        FieldType::String | FieldType::Geography => Cell::Text(text.to_owned()),
        FieldType::Json => Cell::Text(compact_json(text).ok_or_else(invalid)?),
        FieldType::Bytes => Cell::Bytes(STANDARD.decode(text).map_err(|_| invalid())?),
        FieldType::Integer => Cell::Int(text.trim().parse().map_err(|_| invalid())?),
        FieldType::Float => Cell::Float(parse_float(text.trim()).ok_or_else(invalid)?),
        FieldType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => Cell::Bool(true),
            "false" | "f" | "no" | "n" | "0" => Cell::Bool(false),
            _ => return Err(invalid()),
        },
        FieldType::Numeric => Cell::Decimal(Decimal::Numeric.parse(text).map_err(|e| in_field(field, &e))?),
        FieldType::Bignumeric => Cell::Decimal(Decimal::Bignumeric.parse(text).map_err(|e| in_field(field, &e))?),
        FieldType::Date => Cell::Int(civil::parse_date(text).ok_or_else(invalid)?.into()),
        FieldType::Time => Cell::Int(civil::parse_time(text).ok_or_else(invalid)?),
        FieldType::Datetime => Cell::Int(civil::parse_datetime(text).ok_or_else(invalid)?),
        FieldType::Timestamp => Cell::Int(civil::parse_timestamp(text).ok_or_else(invalid)?),
        FieldType::Record => return Err(invalid()),
    };
    constrained(field, cell)
}

/// Checks a cell against the column's length, precision and scale.
pub(crate) fn constrained(field: &Field, cell: Cell) -> Result<Cell, String> {
    let parse = |bound: &Option<String>| bound.as_deref().and_then(|text| text.parse::<u32>().ok());
    match &cell {
        Cell::Text(_) | Cell::Bytes(_) => {
            let Some(longest) = parse(&field.max_length) else { return Ok(cell) };
            let length = match &cell {
                Cell::Text(text) => text.chars().count(),
                Cell::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            if length > longest as usize {
                return Err(format!("Field {}: the value of length {length} exceeds {longest}", field.name));
            }
        }
        Cell::Decimal(value) => {
            if let Some(decimal) = decimal_of(field) {
                let (precision, scale) = (parse(&field.precision), parse(&field.scale));
                decimal.check(*value, precision, scale).map_err(|e| in_field(field, &e))?;
            }
        }
        Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) | Cell::Struct(_) | Cell::Array(_) => {}
    }
    Ok(cell)
}

/// FLOAT64 as BigQuery casts it: `inf`, `infinity` and `nan` in any case, with a sign.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// The JSON text without insignificant white space; `None` where it is no JSON.
pub(crate) fn compact_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let (mut compact, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = c == '"';
        }
        compact.push(c);
    }
    Some(compact)
}

/// Says in which field it went wrong.
pub(crate) fn in_field(field: &Field, detail: &str) -> String {
    format!("Field {}: {detail}", field.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_compacted_outside_strings() {
        let compact = compact_json("{ \"a b\" : [1, \"x \\\" y\" ] }\n");
        assert_eq!(compact.as_deref(), Some(r#"{"a b":[1,"x \" y"]}"#));
        assert_eq!(compact_json("{"), None);
    }

    #[test]
    fn text_is_cast_and_bounded() {
        let mut field = Field::new("f", FieldType::String, Mode::Nullable);
        field.max_length = Some("3".into());
        assert!(of_text(&field, "äöü").is_ok());
        assert!(of_text(&field, "four").is_err());
        let field = Field::new("f", FieldType::Integer, Mode::Nullable);
        assert_eq!(of_text(&field, " 42 "), Ok(Cell::Int(42)));
        assert!(of_text(&field, "4.2").expect_err("no integer").contains("INT64"));
    }
}
