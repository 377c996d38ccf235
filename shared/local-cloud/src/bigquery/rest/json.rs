//! JSON values as cells, as `tabledata.insertAll` takes them.

use catalog::{Field, FieldType, Mode};
use serde_json::{Map, Value};

use crate::bigquery::{
    cell::{self, Cell},
    civil,
};

/// What is wrong in a row, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) location: String,
    pub(super) message: String,
}

/// The cells of a row in the order of the columns.
pub(super) fn row(fields: &[Field], row: &Map<String, Value>, ignore_unknown: bool) -> Result<Vec<Cell>, Vec<Fault>> {
    let mut faults = Vec::new();
    let cells = members(fields, row, "", ignore_unknown, &mut faults);
    if faults.is_empty() { Ok(cells) } else { Err(faults) }
}

fn members(
    fields: &[Field],
    row: &Map<String, Value>,
    path: &str,
    ignore_unknown: bool,
    faults: &mut Vec<Fault>,
) -> Vec<Cell> {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut cells: Vec<Option<Cell>> = vec![None; fields.len()];
    for (name, value) in row {
        let Some(index) = fields.iter().position(|field| field.name.eq_ignore_ascii_case(name)) else {
            if !ignore_unknown {
                let location = join(name);
                faults.push(Fault { message: format!("no such field: {location}."), location });
            }
            continue;
        };
        let field = &fields[index];
        if !(value.is_null() && field.mode == Mode::Required) {
            cells[index] = Some(column(field, value, &join(name), ignore_unknown, faults));
        }
    }
    let mut finish = |(cell, field): (Option<Cell>, &Field)| match cell.map_or_else(|| cell::absent(field), Ok) {
        Ok(cell) => cell,
        Err(_) => {
            let location = join(&field.name);
            faults.push(Fault { message: format!("Missing required field: {location}."), location });
            Cell::Null
        }
    };
    cells.into_iter().zip(fields).map(&mut finish).collect()
}

fn column(field: &Field, value: &Value, path: &str, ignore_unknown: bool, faults: &mut Vec<Fault>) -> Cell {
    match (field.mode, value) {
        (Mode::Repeated, Value::Null) => Cell::Array(Vec::new()),
        (Mode::Repeated, Value::Array(items)) => {
            let mut element = |(index, item): (usize, &Value)| {
                let path = format!("{path}[{index}]");
                if item.is_null() {
                    let message = format!("Only optional fields can be set to NULL. Field: {path}");
                    faults.push(Fault { location: path, message });
                    return Cell::Null;
                }
                single(field, item, &path, ignore_unknown, faults)
            };
            Cell::Array(items.iter().enumerate().map(&mut element).collect())
        }
        (Mode::Repeated, _) => {
            let message = format!("Field {path} is REPEATED: an array was expected");
            faults.push(Fault { location: path.to_owned(), message });
            Cell::Null
        }
        (Mode::Nullable | Mode::Required, Value::Null) => Cell::Null,
        (Mode::Nullable | Mode::Required, value) => single(field, value, path, ignore_unknown, faults),
    }
}

fn single(field: &Field, value: &Value, path: &str, ignore_unknown: bool, faults: &mut Vec<Fault>) -> Cell {
    if let (FieldType::Record, Value::Object(members)) = (field.field_type, value) {
        return Cell::Struct(self::members(&field.fields, members, path, ignore_unknown, faults));
    }
    scalar(field, value).unwrap_or_else(|message| {
        faults.push(Fault { location: path.to_owned(), message });
        Cell::Null
    })
}

fn scalar(field: &Field, value: &Value) -> Result<Cell, String> {
    let invalid = || {
        let expected = field.field_type.sql_name();
        Err(format!("Cannot convert value to {expected} (bad value): {value}"))
    };
    match (field.field_type, value) {
        // JSON columns take JSON text, as the real API does.
        (FieldType::Json, Value::String(text)) => cell::of_text(field, text),
        (FieldType::Json, value) => Ok(Cell::Text(value.to_string())),
        (FieldType::Boolean, Value::Bool(value)) => Ok(Cell::Bool(*value)),
        (FieldType::String, Value::Bool(_) | Value::Number(_)) => cell::of_text(field, &value.to_string()),
        (FieldType::Float, Value::Number(number)) => {
            number.as_f64().map_or_else(invalid, |value| Ok(Cell::Float(value)))
        }
        (FieldType::Integer, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Ok(Cell::Int(value)),
            (None, Some(value)) if value.fract() == 0.0 && value.abs() < 9e15 => Ok(Cell::Int(value as i64)),
            _ => invalid(),
        },
        (FieldType::Numeric | FieldType::Bignumeric, Value::Number(number)) => {
            cell::of_text(field, &number.to_string())
        }
        (FieldType::Timestamp, Value::Number(number)) => {
            let micros = number.as_f64().map(|seconds| (seconds * 1e6).round() as i64);
            micros.and_then(civil::instant_of_micros).map_or_else(invalid, |micros| Ok(Cell::Int(micros)))
        }
        (FieldType::Timestamp, Value::String(text)) => match text.trim().parse::<f64>() {
            Ok(seconds) => {
                let micros = civil::instant_of_micros((seconds * 1e6).round() as i64);
                micros.map_or_else(invalid, |micros| Ok(Cell::Int(micros)))
            }
            Err(_) => cell::of_text(field, text),
        },
        (FieldType::Record, _) => invalid(),
        (_, Value::String(text)) => cell::of_text(field, text),
        _ => invalid(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_taken_or_every_fault_is_named() {
        let mut record = Field::new("r", FieldType::Record, Mode::Repeated);
        record.fields = vec![Field::new("n", FieldType::Integer, Mode::Nullable)];
        let fields = [Field::new("id", FieldType::String, Mode::Required), record];
        let take = |value: Value| match value {
            Value::Object(object) => row(&fields, &object, false),
            _ => panic!("an object was expected"),
        };
        let cells = take(json!({"ID": "a", "r": [{"n": "7"}]})).expect("a row");
        assert_eq!(cells, [Cell::Text("a".into()), Cell::Array(vec![Cell::Struct(vec![Cell::Int(7)])])]);
        let faults = take(json!({"id": null, "r": [{"n": "x"}], "z": 1})).expect_err("faults");
        let locations: Vec<_> = faults.iter().map(|fault| fault.location.as_str()).collect();
        assert_eq!(locations, ["r[0].n", "z", "id"]);
    }
}
