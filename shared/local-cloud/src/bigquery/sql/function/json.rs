//! JSON.

use super::{Bound, Call, SqlError, Type, Value};
use crate::bigquery::sql::{
    cast,
    json::{Json, Step, path},
    scalar::Scalar,
};

const S: Type = Type::String;

/// What a path function answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The scalar, as STRING.
    Scalar,
    /// The value, as JSON, or as STRING where the input is one.
    Value,
    /// The elements of an array, as scalars.
    Scalars,
    /// The elements of an array, as values.
    Values,
}

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    let wanted = |wanted, legacy| find(call, wanted, legacy);
    Some(match (call.name.as_str(), call.args.len()) {
        ("JSON_VALUE", 1 | 2) => wanted(Wanted::Scalar, false),
        ("JSON_QUERY", 1 | 2) => wanted(Wanted::Value, false),
        ("JSON_VALUE_ARRAY", 1 | 2) => wanted(Wanted::Scalars, false),
        ("JSON_QUERY_ARRAY", 1 | 2) => wanted(Wanted::Values, false),
        ("JSON_EXTRACT_SCALAR", 1 | 2) => wanted(Wanted::Scalar, true),
        ("JSON_EXTRACT", 1 | 2) => wanted(Wanted::Value, true),
        ("JSON_EXTRACT_ARRAY", 1 | 2) => wanted(Wanted::Values, true),
        ("JSON_EXTRACT_STRING_ARRAY", 1 | 2) => wanted(Wanted::Scalars, true),
        ("PARSE_JSON", 1) => call.strict(&[S], Type::Json, |args| {
            let json =
                Json::parse(args[0].str()).ok_or_else(|| format!("Invalid input to PARSE_JSON: {}", args[0].str()))?;
            Ok(Value::string(json.sorted().text()))
        }),
        ("TO_JSON_STRING", 1) => to_json(call, S),
        ("TO_JSON", 1) => to_json(call, Type::Json),
        ("JSON_KEYS", 1) => keys(call),
        ("JSON_ARRAY", _) => {
            let types: Vec<Type> = call.args.iter().map(|arg| arg.ty.clone()).collect();
            let of = types.clone();
            let function = Scalar::new("JSON_ARRAY", types.clone(), Type::Json, move |args| {
                let items = args.iter().zip(&of).map(|(arg, ty)| cast::to_json(arg, ty, false).map(Json::sorted));
                Ok(Value::string(Json::Array(items.collect::<Result<_, _>>()?).text()))
            });
            call.apply(function.with_nulls(), &types, Type::Json)
        }
        ("JSON_OBJECT", n) if n > 0 && n % 2 == 0 => object(call),
        _ => return None,
    })
}

/// The value at a path, which must be a literal or parameter.
fn find(call: &Call, wanted: Wanted, legacy: bool) -> Result<Bound, SqlError> {
    let of_json = call.starts_with(&Type::Json);
    let steps: Vec<Step> = match (call.args.len(), call.text(1)) {
        (1, _) => Vec::new(),
        (_, Some(text)) => path(&text, legacy).map_err(SqlError::invalid)?,
        (_, None) => {
            let message = format!("JSONPath of {} must be a string literal or query parameter", call.name);
            return Err(SqlError::invalid(message));
        }
    };
    let element = match wanted {
        Wanted::Scalar | Wanted::Scalars => S,
        Wanted::Value | Wanted::Values if of_json => Type::Json,
        Wanted::Value | Wanted::Values => S,
    };
    let result = match wanted {
        Wanted::Scalar | Wanted::Value => element,
        Wanted::Scalars | Wanted::Values => element.array(),
    };
    let input = if of_json { Type::Json } else { S };
    let mut types = vec![input];
    if call.args.len() == 2 {
        types.push(S);
    }
    let name = format!("{} {steps:?}", call.name);
    let function = Scalar::new(name, types.clone(), result.clone(), move |args| {
        let Some(json) = Json::parse(args[0].str()) else { return Ok(Value::Null) };
        let json = if of_json { json.sorted() } else { json };
        let Some(found) = json.at(&steps) else { return Ok(Value::Null) };
        let scalar = |value: &Json| value.scalar().map_or(Value::Null, Value::string);
        Ok(match (wanted, found) {
            (Wanted::Scalar, value) => scalar(value),
            (Wanted::Value, Json::Null) if !of_json => Value::Null,
            (Wanted::Value, value) => Value::string(value.text()),
            (Wanted::Values, Json::Array(items)) => {
                Value::Array(items.iter().map(|v| Value::string(v.text())).collect())
            }
            (Wanted::Scalars, Json::Array(items)) => {
                if items.iter().any(|item| matches!(item, Json::Array(_) | Json::Object(_))) {
                    return Ok(Value::Null);
                }
                Value::Array(items.iter().map(scalar).collect())
            }
            (Wanted::Values | Wanted::Scalars, _) => Value::Null,
        })
    });
    call.apply(function, &types, result)
}

fn to_json(call: &Call, result: Type) -> Result<Bound, SqlError> {
    let ty = call.args[0].ty.clone();
    if ty == Type::Interval {
        return Err(SqlError::not_implemented(format_args!("FUNCTION {} of INTERVAL", call.name)));
    }
    let (of, sorted) = (ty.clone(), result == Type::Json);
    let function = Scalar::new(call.name.clone(), vec![ty.clone()], result.clone(), move |args| {
        let json = cast::to_json(&args[0], &of, !sorted)?;
        Ok(Value::string(if sorted { json.sorted() } else { json }.text()))
    });
    call.apply(function.with_nulls(), &[ty], result)
}

/// The member names of all objects inside, with their paths.
fn keys(call: &Call) -> Result<Bound, SqlError> {
    fn collect(json: &Json, prefix: &str, keys: &mut Vec<String>) {
        let Json::Object(members) = json else { return };
        for (name, value) in members {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let name = if plain { name.clone() } else { format!("\"{name}\"") };
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            keys.push(key.clone());
            collect(value, &key, keys);
        }
    }
    call.strict(&[Type::Json], S.array(), |args| {
        let json = Json::parse(args[0].str()).ok_or("Invalid JSON")?;
        let mut keys = Vec::new();
        collect(&json, "", &mut keys);
        keys.sort();
        keys.dedup();
        Ok(Value::Array(keys.into_iter().map(Value::string).collect()))
    })
}

fn object(call: &Call) -> Result<Bound, SqlError> {
    let mut types = Vec::with_capacity(call.args.len());
    for (i, arg) in call.args.iter().enumerate() {
        if i % 2 == 0 && !arg.fits(&S) {
            return Err(call.no_match());
        }
        types.push(if i % 2 == 0 { S } else { arg.ty.clone() });
    }
    let of = types.clone();
    let function = Scalar::new("JSON_OBJECT", types.clone(), Type::Json, move |args| {
        let mut members = Vec::with_capacity(args.len() / 2);
        for (pair, ty) in args.chunks(2).zip(of.chunks(2)) {
            let [Value::Str(name), value] = pair else { return Err("A key of JSON_OBJECT must not be NULL".into()) };
            members.push((name.to_string(), cast::to_json(value, &ty[1], false)?));
        }
        Ok(Value::string(Json::Object(members).sorted().text()))
    });
    call.apply(function.with_nulls(), &types, Type::Json)
}
