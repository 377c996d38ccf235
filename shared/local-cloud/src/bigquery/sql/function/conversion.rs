//! Conversions by the name of the result: STRING(x), INT64(json) and their kin.

use super::{Bound, Call, SqlError, Type, Value, part::zone_of};
use crate::bigquery::sql::{cast, json::Json, text};

const S: Type = Type::String;

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    let name = call.name.as_str();
    Some(match (name, call.args.as_slice()) {
        ("STRING", [value]) if value.ty == Type::Json => of_json(call, S, false),
        ("STRING", [value]) if matches!(value.ty, Type::Date | Type::Datetime | Type::Time) => {
            let ty = value.ty.clone();
            call.strict(std::slice::from_ref(&value.ty), S, move |args| {
                text::of_value(&args[0], &ty).map(Value::string)
            })
        }
        ("STRING", [_] | [_, _]) => {
            let types = [Type::Timestamp, S];
            call.strict(&types[..call.args.len()], S, |args| {
                Ok(Value::string(text::timestamp(args[0].int(), zone_of(args.get(1))?)))
            })
        }
        ("INT64", [_]) => of_json(call, Type::Int64, false),
        ("FLOAT64", [_]) => of_json(call, Type::Float64, false),
        ("BOOL", [_]) => of_json(call, Type::Bool, false),
        ("LAX_STRING", [_]) => of_json(call, S, true),
        ("LAX_INT64", [_]) => of_json(call, Type::Int64, true),
        ("LAX_FLOAT64", [_]) => of_json(call, Type::Float64, true),
        ("LAX_BOOL", [_]) => of_json(call, Type::Bool, true),
        ("JSON_TYPE", [_]) => call.strict(&[Type::Json], S, |args| {
            Ok(Value::string(match Json::parse(args[0].str()).ok_or("Invalid JSON")? {
                Json::Null => "null",
                Json::Bool(_) => "boolean",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                Json::Object(_) => "object",
            }))
        }),
        ("PARSE_NUMERIC", [_]) => parse_decimal(call, Type::Numeric),
        ("PARSE_BIGNUMERIC", [_]) => parse_decimal(call, Type::BigNumeric),
        ("MAKE_INTERVAL" | "JUSTIFY_HOURS" | "JUSTIFY_DAYS", _) => Err(SqlError::no_function(name)),
        _ => return None,
    })
}

/// The scalar of a JSON value: of its own kind alone, or as well as can be where `lax`.
fn of_json(call: &Call, ty: Type, lax: bool) -> Result<Bound, SqlError> {
    let target = ty.clone();
    call.strict(&[Type::Json], ty, move |args| {
        let json = Json::parse(args[0].str()).ok_or("Invalid JSON")?;
        if lax {
            return Ok(lenient(&json, &target));
        }
        let mismatch = || format!("The provided JSON input is not {}: {}", article(&target), json.text());
        match (&target, &json) {
            (Type::String, Json::String(text)) => Ok(Value::string(text.as_str())),
            (Type::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (Type::Int64, Json::Number(digits)) => integer(digits).map(Value::Int).ok_or_else(mismatch),
            (Type::Float64, Json::Number(digits)) => digits.parse().map(Value::Float).map_err(|_| mismatch()),
            _ => Err(mismatch()),
        }
    })
}

fn article(ty: &Type) -> &'static str {
    match ty {
        Type::String => "a string",
        Type::Bool => "a boolean",
        Type::Int64 => "an integer",
        _ => "a number",
    }
}

/// The digits as an integer: `1.0` is one, `1.5` is none.
fn integer(digits: &str) -> Option<i64> {
    if let Ok(value) = digits.parse() {
        return Some(value);
    }
    let value: f64 = digits.parse().ok()?;
    (value.fract() == 0.0).then(|| cast::round_to_int(value).ok()).flatten()
}

fn lenient<'a>(json: &Json, ty: &Type) -> Value<'a> {
    let text = match json {
        Json::Null | Json::Array(_) | Json::Object(_) => return Value::Null,
        Json::Bool(value) => match ty {
            Type::Bool => return Value::Bool(*value),
            Type::Int64 => return Value::Int((*value).into()),
            Type::Float64 => return Value::Null,
            _ => value.to_string(),
        },
        Json::Number(text) | Json::String(text) => text.clone(),
    };
    let number = text.trim().parse::<f64>().ok();
    match ty {
        Type::Int64 => match text.trim().parse() {
            Ok(value) => Value::Int(value),
            Err(_) => number.and_then(|v| cast::round_to_int(v).ok()).map_or(Value::Null, Value::Int),
        },
        Type::Float64 => number.map_or(Value::Null, Value::Float),
        Type::Bool => match (json, number) {
            (Json::Number(_), Some(number)) => Value::Bool(number != 0.0),
            _ if text.eq_ignore_ascii_case("true") => Value::Bool(true),
            _ if text.eq_ignore_ascii_case("false") => Value::Bool(false),
            _ => Value::Null,
        },
        _ => Value::string(text),
    }
}

fn parse_decimal(call: &Call, ty: Type) -> Result<Bound, SqlError> {
    let target = ty.clone();
    call.strict(&[S], ty, move |args| {
        let plain: String = args[0].str().chars().filter(|c| *c != ',').collect();
        text::to_value(&plain, &target)
    })
}
