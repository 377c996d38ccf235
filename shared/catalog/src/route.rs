//! The rules that route an event to a table.

use std::collections::BTreeMap;

use crate::{JsonPointer, Probed, Stream, Table, check};

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
    /// One rule at least holds.
    Any(Vec<When>),
    /// The rule does not hold.
    Not(Box<When>),
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
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(event, attributes)),
            Self::Not(rule) => !rule.holds(event, attributes),
        }
    }
}

impl Probed<'_> {
    /// The first table of `stream` whose rule holds. Raw tables have none: they take every event beside it.
    pub fn route<'stream>(
        &self,
        stream: &'stream Stream,
        attributes: &BTreeMap<String, String>,
    ) -> Option<&'stream Table> {
        stream.tables.iter().filter(|table| !table.is_raw).find(|table| table.when.holds(self, attributes))
    }
}

fn equals(event: &Probed<'_>, pointer: &JsonPointer, scalar: &serde_json::Value) -> bool {
    event.raw(pointer).is_some_and(|raw| check::equals(raw, scalar))
}
