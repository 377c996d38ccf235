//! One document, n events.

use std::borrow::Cow;

use catalog::{Flatten, Step, elements, members};
use event::{Reason, Rejection};

use crate::{
    faults::Faults,
    fields::{Fields, value_at},
    shape::too_large,
};

/// The events of `document`, a JSON text, in its order, at most `room`. Where a step of the pointer finds nothing, or null, there are
/// none; where it finds what it cannot go into, that branch is a fault, and the others are walked.
pub(crate) fn flatten<'json>(
    rule: &Flatten,
    document: &'json str,
    room: usize,
    faults: &mut Faults,
) -> Result<Vec<Fields<'json>>, Rejection> {
    let (carried, path, events) = (vec![None; rule.carry.len()], String::new(), Vec::new());
    let mut walk = Walk { rule, carried, path, events, room, faults };
    walk.at(document, 0)?;
    Ok(walk.events)
}

/// The way down one pointer.
struct Walk<'rule, 'json> {
    rule: &'rule Flatten,
    /// What the event takes along, as far as it is known up here; by the rule's order.
    carried: Vec<Option<&'json str>>,
    /// Where the walk is, as a JSON pointer.
    path: String,
    events: Vec<Fields<'json>>,
    room: usize,
    faults: &'rule mut Faults,
}

impl<'json> Walk<'_, 'json> {
    /// Goes on at `json`, to which the first `depth` steps have led. An error is one of the whole document.
    fn at(&mut self, json: &'json str, depth: usize) -> Result<(), Rejection> {
        for (place, carry) in self.rule.carry.iter().enumerate() {
            if carry.depth == depth {
                self.carried[place] = value_at(json, &carry.rest).filter(|value| *value != "null");
            }
        }
        let Some(step) = self.rule.at.steps.get(depth) else { return self.event(json) };
        let leads_to =
            |token: &str| matches!(step, Step::Every) || matches!(step, Step::Name(wanted) if wanted == token);
        match (json.as_bytes().first(), step) {
            (Some(b'n'), _) => {}
            (Some(b'{'), _) => match members(json) {
                Ok(members) => {
                    for (name, value) in members.into_iter().filter(|(name, _)| leads_to(name)) {
                        self.inside(&name.replace('~', "~0").replace('/', "~1"), value.get(), depth)?;
                    }
                }
                Err(detail) => self.fault(|| detail),
            },
            (Some(b'['), _) => match elements(json) {
                Ok(elements) => {
                    for (index, value) in elements.into_iter().enumerate() {
                        let index = index.to_string();
                        if leads_to(&index) {
                            self.inside(&index, value.get(), depth)?;
                        }
                    }
                }
                Err(detail) => self.fault(|| detail),
            },
            (_, Step::Every) => self.fault(|| format!("expected an array or an object, found {}", shown(json))),
            (_, Step::Name(name)) => {
                self.fault(|| format!("expected an object with the field `{name}`, found {}", shown(json)));
            }
        }
        Ok(())
    }

    fn inside(&mut self, token: &str, json: &'json str, depth: usize) -> Result<(), Rejection> {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(token);
        let walked = self.at(json, depth + 1);
        self.path.truncate(length);
        walked
    }

    fn event(&mut self, json: &'json str) -> Result<(), Rejection> {
        if json == "null" {
            return Ok(());
        }
        if self.events.len() >= self.room {
            return Err(too_large("a document holds too many events".to_owned()));
        }
        let own = match json.as_bytes().first() {
            _ if !self.rule.keeps_own => Ok(Fields::default()),
            Some(b'{') => Fields::of(json),
            _ => Err(format!("expected an object as an event, found {}", shown(json))),
        };
        let mut fields = match own {
            Ok(fields) => fields,
            Err(detail) => {
                self.fault(|| detail);
                return Ok(());
            }
        };
        let mut carried = "";
        for (carry, value) in self.rule.carry.iter().zip(&self.carried) {
            if let Some(value) = value
                && carried != carry.field
            {
                fields.set(carry.field.clone(), Cow::Borrowed(*value));
                carried = &carry.field;
            }
        }
        self.events.push(fields);
        Ok(())
    }

    fn fault(&mut self, detail: impl FnOnce() -> String) {
        let path = &self.path;
        self.faults.add(|| match path.as_str() {
            "" => Rejection::new(Reason::MalformedJson, detail()),
            path => Rejection::at(Reason::MalformedJson, path, detail()),
        });
    }
}

fn shown(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}
