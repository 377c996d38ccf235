//! One document, n events.

use std::borrow::Cow;

use catalog::{Flatten, Step, elements, members};
use event::{Reason, Rejection};

use crate::{
    fields::{Fields, value_at},
    shape::too_large,
};

/// The events of `document`, a JSON text, in its order, at most `room`. Where a step of the pointer finds nothing, or null, there are none.
pub(crate) fn flatten<'json>(
    rule: &Flatten,
    document: &'json str,
    room: usize,
) -> Result<Vec<Fields<'json>>, Rejection> {
    let mut walk = Walk { rule, carried: vec![None; rule.carry.len()], path: String::new(), events: Vec::new(), room };
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
}

impl<'json> Walk<'_, 'json> {
    /// Goes on at `json`, to which the first `depth` steps have led.
    fn at(&mut self, json: &'json str, depth: usize) -> Result<(), Rejection> {
        for (place, carry) in self.rule.carry.iter().enumerate() {
            if carry.depth == depth {
                self.carried[place] = value_at(json, &carry.rest).filter(|value| *value != "null");
            }
        }
        let Some(step) = self.rule.at.steps.get(depth) else { return self.event(json) };
        match (json.as_bytes().first(), step) {
            (Some(b'n'), _) => Ok(()),
            (Some(b'{'), step) => {
                for (name, value) in members(json).map_err(|detail| self.fault(detail))? {
                    if matches!(step, Step::Every) || matches!(step, Step::Name(wanted) if *wanted == name) {
                        self.inside(&name.replace('~', "~0").replace('/', "~1"), value.get(), depth)?;
                    }
                }
                Ok(())
            }
            (Some(b'['), step) => {
                for (index, value) in elements(json).map_err(|detail| self.fault(detail))?.into_iter().enumerate() {
                    let index = index.to_string();
                    if matches!(step, Step::Every) || matches!(step, Step::Name(wanted) if *wanted == index) {
                        self.inside(&index, value.get(), depth)?;
                    }
                }
                Ok(())
            }
            (_, Step::Every) => Err(self.fault(format!("expected an array or an object, found {}", shown(json)))),
            (_, Step::Name(name)) => {
                Err(self.fault(format!("expected an object with the field `{name}`, found {}", shown(json))))
            }
        }
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
        let mut fields = own.map_err(|detail| self.fault(detail))?;
        for (carry, value) in self.rule.carry.iter().zip(&self.carried) {
            if let Some(value) = value {
                fields.set(carry.field.clone(), Cow::Borrowed(*value));
            }
        }
        self.events.push(fields);
        Ok(())
    }

    fn fault(&self, detail: String) -> Rejection {
        match self.path.as_str() {
            "" => Rejection::new(Reason::MalformedJson, detail),
            path => Rejection::at(Reason::MalformedJson, path, detail),
        }
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
