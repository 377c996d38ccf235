use serde_json::{Map, Value, json};

use super::{Key, Kind, Presence, key, keys};

/// The JSON Schema (draft 2020-12) of `pipas.yaml`, for editors. An unknown key does not validate.
pub fn json_schema() -> Value {
    let mut schema = settings("");
    let mut definitions = Map::new();
    for target in keys().filter_map(|key| if let Kind::Like(path) = key.kind { Some(path) } else { None }) {
        if let Some(key) = key(target) {
            definitions.insert(definition(target), value(key));
        }
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Pipas catalog".into();
    schema["description"] = "Streams, tables, views and settings of a deployment of Pipas".into();
    schema["$defs"] = Value::Object(definitions);
    schema
}

/// The name of a definition: the last name of its path.
fn definition(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

/// The schema of the map at `path`.
fn settings(path: &str) -> Value {
    let mut properties = Map::new();
    let (mut required, mut unless) = (Vec::new(), Vec::new());
    for key in keys().filter(|key| key.is_setting_of(path)) {
        properties.insert(key.name().to_owned(), described(key));
        match key.presence {
            Presence::Required => required.push(key.name()),
            Presence::RequiredUnless(other) => unless.push(json!({ "anyOf": [
                { "required": [key.name()] },
                { "required": [other], "properties": { other: { "const": true } } },
            ]})),
            Presence::Default(_) => {}
        }
    }
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if !unless.is_empty() {
        schema["allOf"] = unless.into();
    }
    schema
}

/// A key's schema, with what people are shown. A key that need not be there may be null, which is as if it were not.
fn described(key: &Key) -> Value {
    let own = match key.kind {
        Kind::Like(path) => json!({ "$ref": format!("#/$defs/{}", definition(path)) }),
        _ => value(key),
    };
    let mut schema = match key.presence {
        Presence::Default(_) | Presence::RequiredUnless(_) => json!({ "anyOf": [own, { "type": "null" }] }),
        Presence::Required => own,
    };
    let default =
        if let Presence::Default(default) = key.presence { format!(" Default: {default}.") } else { String::new() };
    schema["description"] = format!("{}{default}", key.meaning).into();
    schema
}

fn value(key: &Key) -> Value {
    of_kind(key.kind, key.path)
}

/// The schema of a value of `kind` at `path`.
fn of_kind(kind: Kind, path: &str) -> Value {
    const POINTER: &str = "^/([^~]|~[01])*$";
    let pointer = json!({ "type": "string", "pattern": POINTER });
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Whole => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "^[0-9]+$" }] })
        }
        Kind::Share => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Duration => json!({ "type": "string", "pattern": "^[0-9]+[smhd]$" }),
        Kind::Pointer => pointer,
        Kind::Pointers => json!({ "type": "array", "minItems": 1, "items": pointer }),
        Kind::Scalar => scalar,
        Kind::Scalars => json!({ "type": "array", "minItems": 1, "items": scalar }),
        Kind::Any => json!({ "not": { "type": "null" } }),
        Kind::Columns => json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }),
        Kind::TableName => json!({ "type": "string", "pattern": "^[A-Za-z0-9_]+\\.[^.]+$" }),
        Kind::File => json!({ "type": "string", "minLength": 1 }),
        Kind::TextOrTexts => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "minItems": 1, "items": { "type": "string" } },
        ]}),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Settings => settings(path),
        Kind::Map => json!({ "type": "object", "additionalProperties": inner(&format!("{path}.*")) }),
        Kind::List => json!({ "type": "array", "minItems": 1, "items": inner(&format!("{path}[]")) }),
        Kind::Either(kinds) => {
            json!({ "anyOf": kinds.iter().map(|kind| of_kind(*kind, path)).collect::<Vec<_>>() })
        }
        Kind::Like(same) => json!({ "$ref": format!("#/$defs/{}", definition(same)) }),
    }
}

fn inner(path: &str) -> Value {
    key(path).map(described).unwrap_or_default()
}
