//! A JSON object as the fields of a table's row or of a STRUCT.

use std::{borrow::Cow, collections::HashSet, fmt};

use catalog::UnknownFields;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    plan::{Column, Plan},
    row::Row,
    rules::Derived,
    value::Value,
};

/// Writes the fields of one object into [`Row::out`], without the length that goes before a nested message.
pub(super) struct Record<'r, 'a> {
    pub(super) row: &'r mut Row<'a>,
    pub(super) plan: &'a Plan,
    /// The columns that are made of other values: a table's alone.
    pub(super) derived: &'a [Derived<'a>],
}

impl<'a> DeserializeSeed<'a> for Record<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Record<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let Self { row, plan, derived } = self;
        let mut seen = Seen::new(plan.columns.len());
        let mut unknown = HashSet::new();
        let mut guess = 0;
        for derived in derived {
            if derived.write(row, plan)? {
                seen.put(derived.index);
            }
        }
        while let Some(found) = map.next_key_seed(Key { row, plan, guess, unknown: &mut unknown })? {
            let Some(index) = found else {
                unknown_value(row, &mut map)?;
                continue;
            };
            guess = index + 1;
            let column = &plan.columns[index];
            if column.is_derived {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if seen.put(index) {
                let (at, error) = (row.at(), row.given_twice(column));
                row.go_on(at, error)?;
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let at = row.at();
            let is_null = if row.faults.is_some() {
                !each(row, column, map.next_value::<&'a RawValue>()?.get())?
            } else {
                !map.next_value_seed(Value { row, column })?
            };
            if is_null && plan.needs(index) {
                row.go_back(at);
                let error = row.null(column);
                row.go_on(at, error)?;
            }
        }
        for index in seen.missing(&plan.required) {
            let (at, error) = (row.at(), row.missing(&plan.columns[index]));
            row.go_on(at, error)?;
        }
        Ok(())
    }
}

/// The value of one column, where every fault is asked for: what is wrong inside it ends only it. A value at fault counts
/// as one.
fn each<'a, E: de::Error>(row: &mut Row<'a>, column: &'a Column, json: &'a str) -> Result<bool, E> {
    let at = row.at();
    let value = Value { row, column }.deserialize(&mut serde_json::Deserializer::from_str(json));
    match value {
        Ok(has_value) => Ok(has_value),
        Err(error) => row.go_on(at, E::custom(error)).map(|()| true),
    }
}

fn unknown_value<'a, M: MapAccess<'a>>(row: &mut Row<'a>, map: &mut M) -> Result<(), M::Error> {
    match row.unknown {
        UnknownFields::Capture => {
            let raw = map.next_value::<&'a RawValue>()?.get();
            let at = row.at();
            if let Err(error) = row.check_unknown(raw) {
                row.go_on(at, error)?;
            }
            row.unknown_value(raw)?;
        }
        UnknownFields::Ignore | UnknownFields::Reject => {
            map.next_value::<IgnoredAny>()?;
        }
    }
    Ok(())
}

/// A field's name: the index of its column, or `None` where the schema does not know it.
struct Key<'r, 'a> {
    row: &'r mut Row<'a>,
    plan: &'a Plan,
    guess: usize,
    /// The fields of this object that the schema does not know.
    unknown: &'r mut HashSet<Cow<'a, str>>,
}

impl<'a> Key<'_, 'a> {
    fn unknown<E: de::Error>(&mut self, key: Cow<'a, str>) -> Result<(), E> {
        let at = self.row.at();
        if let Err(error) = self.row.unknown_field(&key) {
            return self.row.go_on(at, error);
        }
        // What is not kept can be given as often as one likes.
        if self.row.unknown == UnknownFields::Capture && !self.unknown.insert(key.clone()) {
            let error = self.row.unknown_given_twice(&key);
            return self.row.go_on(at, error);
        }
        Ok(())
    }
}

impl<'a> DeserializeSeed<'a> for Key<'_, 'a> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key<'_, 'a> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: de::Error>(mut self, key: &'a str) -> Result<Self::Value, E> {
        let found = self.plan.find(key, self.guess);
        match found {
            Some(_) => self.row.at_field(key),
            None => self.unknown(Cow::Borrowed(key))?,
        }
        Ok(found)
    }

    /// A name with escapes in it, which does not outlive this call.
    fn visit_str<E: de::Error>(mut self, key: &str) -> Result<Self::Value, E> {
        let found = self.plan.find(key, self.guess);
        match found {
            Some(index) => self.row.at_field(&self.plan.columns[index].name),
            None => self.unknown(Cow::Owned(key.to_owned()))?,
        }
        Ok(found)
    }
}

/// The columns met so far. Tables of up to 256 columns need no allocation.
enum Seen {
    Few([u64; 4]),
    Many(Vec<u64>),
}

impl Seen {
    fn new(columns: usize) -> Self {
        if columns <= 256 { Self::Few([0; 4]) } else { Self::Many(vec![0; columns.div_ceil(64)]) }
    }

    /// Puts a column in, and says whether it was there.
    fn put(&mut self, index: usize) -> bool {
        let words: &mut [u64] = match self {
            Self::Few(words) => words,
            Self::Many(words) => words,
        };
        let bit = 1 << (index % 64);
        let was_there = words[index / 64] & bit != 0;
        words[index / 64] |= bit;
        was_there
    }

    /// Those of the `required` columns that were not met.
    fn missing(&self, required: &[u64]) -> impl Iterator<Item = usize> {
        let words: &[u64] = match self {
            Self::Few(words) => words,
            Self::Many(words) => words,
        };
        let missing = required.iter().zip(words).map(|(required, seen)| required & !seen);
        missing
            .enumerate()
            .filter(|(_, bits)| *bits != 0)
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit))
    }
}
