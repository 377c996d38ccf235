//! A JSON object as the fields of a table's row or of a STRUCT.

use std::{borrow::Cow, collections::HashSet, fmt};

use catalog::UnknownFields;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{plan::Plan, row::Row, value::Value};

/// Writes the fields of one object into [`Row::out`], without the length that goes before a nested message.
pub(super) struct Record<'r, 'a> {
    pub(super) row: &'r mut Row<'a>,
    pub(super) plan: &'a Plan,
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
        let Self { row, plan } = self;
        let mut seen = Seen::new(plan.columns.len());
        let mut unknown = HashSet::new();
        let mut guess = 0;
        while let Some(found) = map.next_key_seed(Key { row, plan, guess, unknown: &mut unknown })? {
            let Some(index) = found else {
                unknown_value(row, &mut map)?;
                continue;
            };
            guess = index + 1;
            let column = &plan.columns[index];
            if seen.put(index) {
                return Err(row.given_twice(column));
            }
            let is_null = !map.next_value_seed(Value { row, column })?;
            if is_null && column.is_required {
                return Err(row.null(column));
            }
        }
        match seen.first_missing(&plan.required) {
            Some(index) => Err(row.missing(&plan.columns[index])),
            None => Ok(()),
        }
    }
}

fn unknown_value<'a, M: MapAccess<'a>>(row: &mut Row<'a>, map: &mut M) -> Result<(), M::Error> {
    match row.unknown {
        UnknownFields::Capture => {
            let raw = map.next_value::<&'a RawValue>()?.get();
            row.check_unknown(raw)?;
            row.extra.value(raw);
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
        self.row.unknown_field(&key)?;
        // What is not kept can be given as often as one likes.
        if self.row.unknown == UnknownFields::Capture && !self.unknown.insert(key.clone()) {
            return Err(self.row.unknown_given_twice(&key));
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

    fn first_missing(&self, required: &[u64]) -> Option<usize> {
        let words: &[u64] = match self {
            Self::Few(words) => words,
            Self::Many(words) => words,
        };
        let missing = required.iter().zip(words).map(|(required, seen)| required & !seen);
        missing.enumerate().find(|(_, bits)| *bits != 0).map(|(word, bits)| word * 64 + bits.trailing_zeros() as usize)
    }
}
