//! JSON Schema as far as the catalog's own uses it. A word that is not known here fails the test: a validator proper would
//! bring dependencies that change the features of half the workspace.

use serde_json::Value;

/// Adds what `value` at `at` has against `schema` to `faults`.
pub(crate) fn validate(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (word, rule) in schema.as_object().expect("a schema is an object") {
        if let Some(fault) = fault(root, schema, (word, rule), value, at, faults) {
            faults.push(format!("{at}: {fault}"));
        }
    }
}

fn holds(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut faults = Vec::new();
    validate(root, schema, value, "", &mut faults);
    faults.is_empty()
}

fn fault(
    root: &Value,
    schema: &Value,
    (word, rule): (&str, &Value),
    value: &Value,
    at: &str,
    faults: &mut Vec<String>,
) -> Option<String> {
    let number =
        |holds: fn(f64, f64) -> bool| value.as_f64().is_none_or(|found| holds(found, rule.as_f64().expect(word)));
    let rules = || rule.as_array().expect(word).iter();
    let good = match word {
        "$schema" | "$defs" | "title" | "description" => true,
        "type" => match rule {
            Value::String(name) => is_of_type(value, name),
            names => names.as_array().expect(word).iter().any(|name| is_of_type(value, name.as_str().expect(word))),
        },
        "enum" => rules().any(|one| one == value),
        "const" => rule == value,
        "not" => !holds(root, rule, value),
        "anyOf" => rules().any(|one| holds(root, one, value)),
        "allOf" => rules().all(|one| holds(root, one, value)),
        "$ref" => {
            let pointer = rule.as_str().and_then(|target| target.strip_prefix('#')).expect(word);
            validate(root, root.pointer(pointer).expect(pointer), value, at, faults);
            true
        }
        "minimum" => number(|found, bound| found >= bound),
        "maximum" => number(|found, bound| found <= bound),
        "exclusiveMinimum" => number(|found, bound| found > bound),
        "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().expect(word)),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().expect(word)),
        "pattern" => {
            let pattern = catalog::Pattern::parse(rule.as_str().expect(word)).expect(word);
            let test = catalog::Test { pattern: Some(pattern), ..Default::default() };
            !value.is_string() || test.violated(&value.to_string()).is_none()
        }
        "items" => {
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                validate(root, rule, item, &format!("{at}/{index}"), faults);
            }
            true
        }
        "required" => {
            value.as_object().is_none_or(|object| rules().all(|name| object.contains_key(name.as_str().expect(word))))
        }
        "properties" => {
            for (name, value) in value.as_object().into_iter().flatten() {
                if let Some(schema) = rule.get(name) {
                    validate(root, schema, value, &format!("{at}/{name}"), faults);
                }
            }
            true
        }
        "additionalProperties" => {
            let known = schema.get("properties");
            for (name, value) in value.as_object().into_iter().flatten() {
                match rule {
                    _ if known.is_some_and(|known| known.get(name).is_some()) => {}
                    Value::Bool(false) => faults.push(format!("{at}: the key `{name}` is not known")),
                    schema => validate(root, schema, value, &format!("{at}/{name}"), faults),
                }
            }
            true
        }
        other => panic!("the validator does not know `{other}`"),
    };
    (!good).then(|| format!("`{word}` {rule} does not hold for {value}"))
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the validator does not know the type `{other}`"),
    }
}
