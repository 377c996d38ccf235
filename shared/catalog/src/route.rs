//! The rules that route an event to a table.

use std::collections::BTreeMap;

use crate::{JsonPointer, Probed, Stream, Table, number::Number};

/// A rule over an event.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Holds for every event.
    Always,
    /// Every pointer finds a value that is not null.
    Has(Vec<JsonPointer>),
    /// No pointer finds a value, or only null.
    Lacks(Vec<JsonPointer>),
    /// Every pointer finds this scalar: strings as they are, numbers by value (1 is 1.0).
    Equals(BTreeMap<JsonPointer, serde_json::Value>),
    /// Every attribute of the message has this value.
    Attribute(BTreeMap<String, String>),
    /// Every rule holds.
    All(Vec<When>),
}

impl When {
    /// Whether the rule holds for an event and the attributes of its message. The event was scanned by the stream's probe.
    pub fn holds(&self, event: &Probed<'_>, attributes: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Always => true,
            Self::Has(pointers) => pointers.iter().all(|pointer| event.has(pointer)),
            Self::Lacks(pointers) => !pointers.iter().any(|pointer| event.has(pointer)),
            Self::Equals(expected) => expected.iter().all(|(pointer, scalar)| equals(event, pointer, scalar)),
            Self::Attribute(expected) => expected.iter().all(|(name, value)| attributes.get(name) == Some(value)),
            Self::All(rules) => rules.iter().all(|rule| rule.holds(event, attributes)),
        }
    }
}

impl Probed<'_> {
    /// The first table of `stream` whose rule holds.
    pub fn route<'stream>(
        &self,
        stream: &'stream Stream,
        attributes: &BTreeMap<String, String>,
    ) -> Option<&'stream Table> {
        stream.tables.iter().find(|table| table.when.holds(self, attributes))
    }
}

fn equals(event: &Probed<'_>, pointer: &JsonPointer, scalar: &serde_json::Value) -> bool {
    use serde_json::Value;
    let Some(raw) = event.raw(pointer) else {
        return false;
    };
    match (scalar, raw.as_bytes().first()) {
        (Value::Null, Some(b'n')) => true,
        (Value::Bool(expected), Some(b't' | b'f')) => raw == if *expected { "true" } else { "false" },
        (Value::String(expected), Some(b'"')) => event.text(pointer).is_some_and(|text| text == *expected),
        (Value::Number(expected), Some(b'-' | b'0'..=b'9')) => {
            let expected = expected.to_string();
            raw == expected || Number::parse(raw).is_some_and(|found| Number::parse(&expected) == Some(found))
        }
        _ => false,
    }
}
