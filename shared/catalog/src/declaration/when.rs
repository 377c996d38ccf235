use std::collections::BTreeMap;

use super::cursor::Cursor;
use crate::{JsonPointer, When};

const POINTER: &str = "a JSON pointer (RFC 6901) to a value inside the event, e.g. `/metadata/source`";

/// Reads a JSON pointer.
pub(super) fn pointer(at: &Cursor<'_>) -> Option<JsonPointer> {
    at.parse(POINTER, JsonPointer::parse)
}

/// How deep rules are nested at most.
const MAX_DEPTH: usize = 32;

/// Reads `when`. `None`: there is a problem.
pub(super) fn read(at: &Cursor<'_>) -> Option<When> {
    rule(at, 0)
}

fn rule(at: &Cursor<'_>, depth: usize) -> Option<When> {
    const NAMES: &str = "`has`, `lacks`, `equals`, `attribute`, `all`, `any` and `not`";
    if depth > MAX_DEPTH {
        at.problem(format!("rules are nested at most {MAX_DEPTH} deep"));
        return None;
    }
    let mut settings = at.settings(&format!("a rule: a map with one of {NAMES} at least"))?;
    let (has, lacks) = (settings.optional("has"), settings.optional("lacks"));
    let (equals, attribute) = (settings.optional("equals"), settings.optional("attribute"));
    let (all, any, not) = (settings.optional("all"), settings.optional("any"), settings.optional("not"));
    let mut parts = Vec::new();
    parts.extend(has.map(|has| pointers(&has).map(When::Has)));
    parts.extend(lacks.map(|lacks| pointers(&lacks).map(When::Lacks)));
    parts.extend(equals.map(|equals| scalars(&equals).map(When::Equals)));
    parts.extend(attribute.map(|attribute| attributes(&attribute).map(When::Attribute)));
    parts.extend(all.map(|all| rules(&all, depth).map(When::All)));
    parts.extend(any.map(|any| rules(&any, depth).map(When::Any)));
    parts.extend(not.map(|not| rule(&not, depth + 1).map(|not| When::Not(Box::new(not)))));
    settings.finish();
    if parts.is_empty() {
        at.problem(format!("expected at least one of {NAMES}; leave `when` out to take every event"));
        return None;
    }
    let mut parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
    if parts.len() == 1 { parts.pop() } else { Some(When::All(parts)) }
}

fn rules(at: &Cursor<'_>, depth: usize) -> Option<Vec<When>> {
    const EXPECTED: &str = "a list of at least one rule";
    let items = at.list(EXPECTED)?;
    if items.is_empty() {
        at.problem(format!("expected {EXPECTED}, found an empty one"));
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| rule(item, depth + 1)).collect();
    read.into_iter().collect()
}

/// Reads a list of at least one JSON pointer.
pub(super) fn pointers(at: &Cursor<'_>) -> Option<Vec<JsonPointer>> {
    const EXPECTED: &str = "a list of at least one JSON pointer, e.g. `[/orderId]`";
    let items = at.list(EXPECTED)?;
    if items.is_empty() {
        at.problem(format!("expected {EXPECTED}, found an empty one"));
    }
    // Each item is read before any is given up, so that all problems are told.
    let pointers: Vec<_> = items.iter().map(pointer).collect();
    pointers.into_iter().collect::<Option<Vec<_>>>().filter(|pointers| !pointers.is_empty())
}

fn scalars(at: &Cursor<'_>) -> Option<BTreeMap<JsonPointer, serde_json::Value>> {
    pairs(at, "a map of at least one JSON pointer to a value, e.g. `{ /type: order }`", |key, value| {
        let pointer = JsonPointer::parse(key);
        if pointer.is_none() {
            value.problem(format!("expected {POINTER}, found `{key}`"));
        }
        let scalar = value.scalar("a string, a number or a boolean")?;
        Some((pointer?, scalar.clone()))
    })
}

fn attributes(at: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    pairs(at, "a map of at least one attribute name to its value, e.g. `{ type: order }`", |key, value| {
        let text = value.text("a string, in quotes where it looks like something else (attributes are strings)")?;
        Some((key.to_owned(), text.to_owned()))
    })
}

fn pairs<K: Ord, V>(
    at: &Cursor<'_>,
    expected: &str,
    pair: impl Fn(&str, &Cursor<'_>) -> Option<(K, V)>,
) -> Option<BTreeMap<K, V>> {
    let entries = at.entries(expected)?;
    if entries.is_empty() {
        at.problem(format!("expected {expected}, found an empty one"));
    }
    let pairs: Vec<_> = entries.iter().map(|(key, value)| pair(key, value)).collect();
    pairs.into_iter().collect::<Option<BTreeMap<_, _>>>().filter(|pairs| !pairs.is_empty())
}
