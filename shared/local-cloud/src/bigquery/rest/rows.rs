//! Rows as the REST API shows them: `{"f": [{"v": …}, …]}`, every value as text.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type, Time64MicrosecondType,
        TimestampMicrosecondType, i256,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::{Field, FieldType, Mode, TableSchema};
use serde_json::{Value, json};

use super::request::Page;
use crate::bigquery::{civil, decimal::Decimal};

/// A page without a size of its own ends after about so many bytes, as Google's do.
const PAGE_BYTES: usize = 10 << 20;

/// How values are shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Format {
    /// TIMESTAMP as microseconds, not as seconds with a fraction.
    pub(super) int64_timestamp: bool,
}

/// A page of the rows, and the token of the next page.
pub(super) fn page(
    schema: &TableSchema,
    batches: &[RecordBatch],
    page: Page,
    format: Format,
) -> (Vec<Value>, Option<String>) {
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let end = page.start.saturating_add(page.most.unwrap_or(usize::MAX)).min(total);
    let (mut rows, mut index, mut bytes) = (Vec::new(), page.start, 0);
    let mut skip = page.start;
    for batch in batches {
        if skip >= batch.num_rows() {
            skip -= batch.num_rows();
            continue;
        }
        for at in skip..batch.num_rows() {
            if index >= end || bytes >= PAGE_BYTES {
                break;
            }
            let cells = schema.fields.iter().zip(batch.columns());
            let cells: Vec<Value> = cells.map(|(f, column)| cell(f, column, at, format, &mut bytes)).collect();
            rows.push(json!({"f": cells}));
            index += 1;
        }
        skip = 0;
    }
    let next = (index < total && page.most != Some(0)).then(|| Page::token(index));
    (rows, next)
}

fn cell(field: &Field, column: &dyn Array, at: usize, format: Format, bytes: &mut usize) -> Value {
    *bytes += 8;
    json!({"v": value(field, column, at, format, bytes)})
}

fn value(field: &Field, column: &dyn Array, at: usize, format: Format, bytes: &mut usize) -> Value {
    if field.mode == Mode::Repeated {
        // An ARRAY that is NULL is read as an empty one.
        let Some(list) = column.as_list_opt::<i32>() else { return unshowable(field, column) };
        let element = Field { mode: Mode::Nullable, ..field.clone() };
        let items = if list.is_null(at) { list.values().slice(0, 0) } else { list.value(at) };
        return (0..items.len()).map(|item| cell(&element, &items, item, format, bytes)).collect();
    }
    if column.is_null(at) {
        return Value::Null;
    }
    if field.field_type == FieldType::Record {
        let Some(record) = column.as_struct_opt() else { return unshowable(field, column) };
        let cells = field.fields.iter().zip(record.columns());
        let cells: Vec<Value> = cells.map(|(f, column)| cell(f, column, at, format, bytes)).collect();
        return json!({"f": cells});
    }
    match text(field.field_type, column, at, format) {
        Some(text) => {
            *bytes += text.len();
            Value::String(text)
        }
        None => unshowable(field, column),
    }
}

/// Never so: a column is of the Arrow type of its field.
fn unshowable(field: &Field, column: &dyn Array) -> Value {
    tracing::error!(field = field.name, data_type = %column.data_type(), "a column is not of its field's type");
    Value::Null
}

fn text(field_type: FieldType, column: &dyn Array, at: usize, format: Format) -> Option<String> {
    Some(match field_type {
        FieldType::String | FieldType::Geography | FieldType::Json => match column.as_string_opt::<i32>() {
            Some(array) => array.value(at).to_owned(),
            None => column.as_string_view_opt()?.value(at).to_owned(),
        },
        FieldType::Bytes => STANDARD.encode(column.as_binary_opt::<i32>()?.value(at)),
        FieldType::Integer => column.as_primitive_opt::<Int64Type>()?.value(at).to_string(),
        FieldType::Float => float(column.as_primitive_opt::<Float64Type>()?.value(at)),
        FieldType::Boolean => column.as_boolean_opt()?.value(at).to_string(),
        FieldType::Numeric => {
            Decimal::Numeric.format(i256::from_i128(column.as_primitive_opt::<Decimal128Type>()?.value(at)))
        }
        FieldType::Bignumeric => Decimal::Bignumeric.format(column.as_primitive_opt::<Decimal256Type>()?.value(at)),
        FieldType::Date => civil::format_date(column.as_primitive_opt::<Date32Type>()?.value(at)),
        FieldType::Time => civil::format_time(column.as_primitive_opt::<Time64MicrosecondType>()?.value(at)),
        FieldType::Datetime => civil::format_datetime(column.as_primitive_opt::<TimestampMicrosecondType>()?.value(at)),
        FieldType::Timestamp => {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(at);
            if format.int64_timestamp { micros.to_string() } else { seconds(micros) }
        }
        FieldType::Record => return None,
    })
}

fn float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    format!("{value:?}")
}

/// Seconds since the epoch in scientific notation, exact to the microsecond: `1.706781886E9`.
fn seconds(micros: i64) -> String {
    let digits = micros.unsigned_abs().to_string();
    let exponent = i64::try_from(digits.len()).unwrap_or_default() - 7;
    let (first, rest) = digits.split_at(1);
    let rest = rest.trim_end_matches('0');
    let sign = if micros < 0 { "-" } else { "" };
    match (micros, rest) {
        (0, _) => "0.0".to_owned(),
        (_, "") => format!("{sign}{first}.0E{exponent}"),
        (_, rest) => format!("{sign}{first}.{rest}E{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_exact_seconds() {
        for (micros, expected) in [
            (0, "0.0"),
            (1_706_781_886_000_000, "1.706781886E9"),
            (1_706_781_886_123_456, "1.706781886123456E9"),
            (1_000_000, "1.0E0"),
            (-1_500_000, "-1.5E0"),
            (1, "1.0E-6"),
        ] {
            assert_eq!(seconds(micros), expected);
            let parsed: f64 = seconds(micros).parse().expect("a number");
            assert_eq!((parsed * 1e6).round() as i64, micros);
        }
    }
}
