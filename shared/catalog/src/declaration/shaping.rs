use std::collections::BTreeMap;

use super::{cursor::Cursor, file::Folder, lookup, when};
use crate::{Carry, Flatten, Lookup, Shaping, StarPointer, Step, When};

const FLATTEN: &str = "how a document is cut into events: a map with `at`, or a list of such maps";
const STAR_POINTER: &str = "a JSON pointer in which `*` stands for every element, e.g. `/entity/*/trip_update`";

/// What a stream declares of the shape of its events.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) flatten: Option<Cursor<'a>>,
    pub(super) lookup: Option<Cursor<'a>>,
    pub(super) filter: Option<Cursor<'a>>,
}

/// Reads `flatten`, `lookup` and `filter`. `None`: there is a problem.
pub(super) fn read(folder: &Folder<'_>, declared: &Declared<'_>) -> Option<Shaping> {
    let flatten = declared.flatten.as_ref().map_or(Some(Vec::new()), flatten);
    let lookups = declared.lookup.as_ref().map_or(Some(Vec::new()), |at| lookups(folder, at));
    let filter: Option<Option<When>> = declared.filter.as_ref().map_or(Some(None), |at| when::read(at).map(Some));
    Some(Shaping { flatten: flatten?, lookups: lookups?, filter: filter? })
}

fn lookups(folder: &Folder<'_>, at: &Cursor<'_>) -> Option<Vec<Lookup>> {
    let entries = at.entries("a map of lookups by name")?;
    let lookups: Vec<_> = entries.iter().map(|(name, at)| lookup::read(folder, name, at)).collect();
    lookups.into_iter().collect()
}

fn flatten(at: &Cursor<'_>) -> Option<Vec<Flatten>> {
    let rules = if at.is_list() { at.list(FLATTEN)? } else { vec![at.clone()] };
    if rules.is_empty() {
        at.problem(format!("expected {FLATTEN}, found an empty list"));
    }
    let rules: Vec<_> = rules.iter().map(rule).collect();
    rules.into_iter().collect()
}

fn rule(at: &Cursor<'_>) -> Option<Flatten> {
    const OWN: [(&str, bool); 2] = [("keep", true), ("drop", false)];
    let mut settings = at.settings(FLATTEN)?;
    let pointer = settings.required("at", STAR_POINTER).and_then(|at| at.parse(STAR_POINTER, StarPointer::parse));
    let carry = settings.optional("carry");
    let keeps_own = settings.optional("own").map_or(Some(true), |at| at.choice("treatment of own fields", &OWN));
    settings.finish();
    let pointer = pointer?;
    let carry = match carry {
        Some(at) => carried(&at, &pointer)?,
        None => Vec::new(),
    };
    if carry.is_empty() && keeps_own == Some(false) {
        at.problem("with `own: drop` and nothing in `carry` the events would be empty");
    }
    Some(Flatten { at: pointer, carry, keeps_own: keeps_own? })
}

fn carried(at: &Cursor<'_>, events: &StarPointer) -> Option<Vec<Carry>> {
    let entries =
        at.entries("a map of field names to JSON pointers in the document, e.g. `{ trip_id: /entity/*/trip/id }`")?;
    let mut carried = Vec::new();
    for (field, at) in entries.iter() {
        let pointers = if at.is_list() {
            at.list("a list of JSON pointers, of which the first that finds a value counts")?
        } else {
            vec![at.clone()]
        };
        if pointers.is_empty() {
            at.problem("expected at least one JSON pointer, found an empty list");
        }
        carried.extend(pointers.iter().map(|at| {
            let pointer = at.parse(STAR_POINTER, StarPointer::parse)?;
            let carry = carry(field, &pointer, events);
            if carry.is_none() {
                at.problem(format!(
                    "up to its last `*` the pointer must be the beginning of `at`, `{}`: which of the elements would it be?",
                    events.as_str()
                ));
            }
            carry
        }));
    }
    carried.into_iter().collect()
}

/// `None`: the pointer's stars are not those of `events`.
fn carry(field: &str, pointer: &StarPointer, events: &StarPointer) -> Option<Carry> {
    let depth = pointer.steps.iter().zip(&events.steps).take_while(|(own, theirs)| own == theirs).count();
    let rest = pointer.steps[depth..].iter().map(|step| match step {
        Step::Name(name) => Some(name.clone()),
        Step::Every => None,
    });
    Some(Carry { field: field.to_owned(), depth, rest: rest.collect::<Option<_>>()? })
}

/// The names that `fields` give twice; a JSON object must not.
pub(super) fn twice<'n>(names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
    names.into_iter().find(|name| seen.insert(name, ()).is_some())
}
