//! A table's schema as the REST API carries it.

use catalog::{Field, FieldType, TableSchema};
use serde_json::{Map, Value, json};

use super::error::ApiError;

/// The settings of a column that are taken as they are.
const KEPT: [&str; 8] =
    ["name", "type", "mode", "description", "maxLength", "precision", "scale", "defaultValueExpression"];
/// The settings of a column that change nothing here.
const IGNORED: [&str; 6] = ["categories", "policyTags", "roundingMode", "collation", "dataPolicies", "nameAlternative"];

/// `{"fields": […]}`.
pub(super) fn parse(schema: &Value) -> Result<TableSchema, ApiError> {
    let fields = match schema.get("fields") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(fields)) => fields.iter().map(field).collect::<Result<_, _>>()?,
        Some(_) => return Err(ApiError::invalid("schema.fields must be an array")),
    };
    Ok(TableSchema { fields })
}

/// The schema as the API shows it: with the legacy type names, and a mode for each column.
pub(super) fn show(schema: &TableSchema) -> Value {
    json!({"fields": schema.fields.iter().map(show_field).collect::<Vec<_>>()})
}

fn field(value: &Value) -> Result<Field, ApiError> {
    let Value::Object(value) = value else { return Err(ApiError::invalid("A field of the schema must be an object")) };
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut kept = Map::new();
    let mut nested = Vec::new();
    for (key, value) in value {
        match (key.as_str(), value) {
            (_, Value::Null) => {}
            ("fields", Value::Array(fields)) => nested = fields.iter().map(field).collect::<Result<Vec<_>, _>>()?,
            ("type" | "mode", Value::String(text)) => drop(kept.insert(key.clone(), json!(text.to_uppercase()))),
            ("maxLength" | "precision" | "scale", Value::Number(number)) => {
                kept.insert(key.clone(), json!(number.to_string()));
            }
            (known, value) if KEPT.contains(&known) => drop(kept.insert(key.clone(), value.clone())),
            (known, _) if IGNORED.contains(&known) => {}
            (other, _) => return Err(ApiError::not_implemented(&format!("{other} of the field {name}"))),
        }
    }
    let mut field: Field = serde_json::from_value(Value::Object(kept))
        .map_err(|error| ApiError::invalid(format!("Invalid field {name:?} in the schema: {error}")))?;
    field.fields = nested;
    Ok(field)
}

fn show_field(field: &Field) -> Value {
    let mut shown = serde_json::to_value(field).unwrap_or_default();
    if field.field_type == FieldType::Record {
        shown["fields"] = field.fields.iter().map(show_field).collect();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_read_leniently_and_shown_alike() {
        let given = json!({"fields": [
            {"name": "n", "type": "numeric", "precision": 10, "scale": "2", "categories": null},
            {"name": "r", "type": "STRUCT", "mode": "repeated", "fields": [{"name": "b", "type": "BOOL"}]},
        ]});
        let shown = show(&parse(&given).expect("a schema"));
        assert_eq!(
            shown,
            json!({"fields": [
                {"name": "n", "type": "NUMERIC", "mode": "NULLABLE", "precision": "10", "scale": "2"},
                {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [
                    {"name": "b", "type": "BOOLEAN", "mode": "NULLABLE"}
                ]},
            ]})
        );
        let error = parse(&json!({"fields": [{"name": "x", "type": "RANGE"}]})).expect_err("not here");
        assert!(error.message.contains("RANGE"), "{}", error.message);
    }
}
