//! What stands directly inside a JSON object or array, each value as it is written.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of the object `json`, in its own order. `Err` says what is wrong; a field that is given twice is.
pub fn members(json: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, String> {
    let Members(members) = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(format!("expected the field `{}` once, found it twice", twice[0])),
        None => Ok(members),
    }
}

/// The elements of the array `json`.
pub fn elements(json: &str) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

struct Members<'json>(Vec<(Cow<'json, str>, &'json RawValue)>);

/// A key that is borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Name<'json>(#[serde(borrow)] Cow<'json, str>);

impl<'json> Deserialize<'json> for Members<'json> {
    fn deserialize<D: Deserializer<'json>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'json> Visitor<'json> for Fields {
            type Value = Members<'json>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'json>>(self, mut access: A) -> Result<Members<'json>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = access.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_are_written() {
        let found = members(r#" {"b": 1.50, "a\u0062": {"x" : [1, 2]}} "#).expect("an object");
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_ref(), value.get())).collect();
        assert_eq!(found, [("b", "1.50"), ("ab", r#"{"x" : [1, 2]}"#)]);
        assert_eq!(
            elements("[1,  {}]").expect("an array").iter().map(|raw| raw.get()).collect::<Vec<_>>(),
            ["1", "{}"]
        );
    }

    #[test]
    fn a_field_that_is_given_twice_is_named() {
        assert_eq!(
            members(r#"{"a":1,"b":2,"\u0061":3}"#).expect_err("twice"),
            "expected the field `a` once, found it twice"
        );
        assert!(members("[]").is_err() && elements("{}").is_err() && members("{").is_err());
    }
}
