//! Query parameters, as the REST API carries them.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    SqlError,
    binder::{Binder, Bound, Kind},
    data_type::{StructField, Type},
    json::Json,
    text,
    value::Value as Cell,
};

/// The values of `@name` and `?` in a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct QueryParameters {
    /// By lower-case name.
    pub(super) named: BTreeMap<String, Parameter>,
    /// In order of appearance.
    pub(super) positional: Vec<Parameter>,
}

/// One parameter: `parameterType` and `parameterValue` of the REST API.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    pub(super) parameter_type: Value,
    pub(super) parameter_value: Value,
}

impl QueryParameters {
    /// The `queryParameters` of a query request.
    pub(crate) fn from_json(query_parameters: &[Value]) -> Result<Self, SqlError> {
        let mut parameters = Self::default();
        for parameter in query_parameters {
            let parameter_type = parameter.get("parameterType").cloned().unwrap_or_default();
            if !parameter_type.is_object() {
                return Err(SqlError::invalid("Missing type of a query parameter"));
            }
            let parameter_value = parameter.get("parameterValue").cloned().unwrap_or_default();
            let value = Parameter { parameter_type, parameter_value };
            match parameter.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                Some(name) => drop(parameters.named.insert(name.to_lowercase(), value)),
                None => parameters.positional.push(value),
            }
        }
        if !parameters.named.is_empty() && !parameters.positional.is_empty() {
            return Err(SqlError::invalid("Named and positional query parameters cannot be mixed"));
        }
        Ok(parameters)
    }
}

/// The type of a `parameterType`.
fn type_of(json: &Value) -> Result<Type, SqlError> {
    let unknown = || SqlError::invalid(format!("Invalid type of a query parameter: {json}"));
    let name = json.get("type").and_then(Value::as_str).ok_or_else(unknown)?.to_uppercase();
    Ok(match name.as_str() {
        "STRING" => Type::String,
        "INT64" | "INTEGER" => Type::Int64,
        "FLOAT64" | "FLOAT" => Type::Float64,
        "BOOL" | "BOOLEAN" => Type::Bool,
        "BYTES" => Type::Bytes,
        "NUMERIC" | "DECIMAL" => Type::Numeric,
        "BIGNUMERIC" | "BIGDECIMAL" => Type::BigNumeric,
        "DATE" => Type::Date,
        "TIME" => Type::Time,
        "DATETIME" => Type::Datetime,
        "TIMESTAMP" => Type::Timestamp,
        "JSON" => Type::Json,
        "GEOGRAPHY" => Type::Geography,
        "ARRAY" => type_of(json.get("arrayType").ok_or_else(unknown)?)?.array(),
        "STRUCT" | "RECORD" => {
            let fields = json.get("structTypes").and_then(Value::as_array).ok_or_else(unknown)?;
            let fields = fields.iter().map(|field| {
                let name = field.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok(StructField { name, ty: type_of(field.get("type").ok_or_else(unknown)?)? })
            });
            Type::Struct(fields.collect::<Result<_, SqlError>>()?)
        }
        _ => return Err(SqlError::not_implemented(format_args!("A query parameter of type {name}"))),
    })
}

/// The value of a `parameterValue`; absent and null are NULL.
fn value_of(json: &Value, ty: &Type, name: &str) -> Result<Cell<'static>, SqlError> {
    let invalid = |detail: String| SqlError::invalid(format!("Invalid value of query parameter {name}: {detail}"));
    match ty {
        Type::Array(element) => match json.get("arrayValues").and_then(Value::as_array) {
            Some(items) => {
                let items = items.iter().map(|item| value_of(item, element, name));
                Ok(Cell::Array(items.collect::<Result<_, _>>()?))
            }
            None => Ok(Cell::Array(Vec::new())),
        },
        Type::Struct(fields) => match json.get("structValues").and_then(Value::as_object) {
            Some(values) => {
                let items = fields
                    .iter()
                    .map(|f| values.get(&f.name).map_or(Ok(Cell::Null), |value| value_of(value, &f.ty, name)));
                Ok(Cell::Struct(items.collect::<Result<_, SqlError>>()?))
            }
            None => Ok(Cell::Null),
        },
        _ => {
            let text = match json.get("value") {
                None | Some(Value::Null) => return Ok(Cell::Null),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            match ty {
                Type::Bytes => {
                    STANDARD.decode(&text).map(|b| Cell::Bytes(b.into())).map_err(|e| invalid(e.to_string()))
                }
                Type::Json => {
                    let json = Json::parse(&text).ok_or_else(|| invalid(format!("{text} is no JSON")))?;
                    Ok(Cell::string(json.sorted().text()))
                }
                ty => text::to_value(&text, ty).map_err(invalid),
            }
        }
    }
}

impl Binder<'_> {
    /// `@name`, or the positional parameter `?n`.
    pub(super) fn parameter(&mut self, written: &str) -> Result<Bound, SqlError> {
        if written.starts_with("@@") {
            return Err(SqlError::not_implemented(format_args!("System variable {written}")));
        }
        let (parameter, name) = match written.strip_prefix('@') {
            Some(name) => {
                let found = self.parameters().named.get(&name.to_lowercase());
                (found.ok_or_else(|| SqlError::invalid(format!("Query parameter '{name}' not found")))?, name)
            }
            None => {
                let number = written.strip_prefix('?').and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
                let found = self.parameters().positional.get(number.wrapping_sub(1));
                (
                    found.ok_or_else(|| {
                        SqlError::invalid("Query parameter number exceeds the number of parameters given")
                    })?,
                    "?",
                )
            }
        };
        let ty = type_of(&parameter.parameter_type)?;
        let value = value_of(&parameter.parameter_value, &ty, name)?;
        Ok(Bound { kind: Kind::Parameter, ..Bound::literal(value, ty)? })
    }
}
