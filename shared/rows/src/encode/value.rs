//! The value of one column: NULL, an ARRAY, a STRUCT or a scalar.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    plan::{Column, Kind, Plan},
    protobuf::{begin_message, end_message},
    raw,
    record::Record,
    row::{Row, found_string, shortened},
    rules,
    scalar::Scalar,
};

/// The value of a column; answers whether there was one, or null.
pub(super) struct Value<'r, 'a> {
    pub(super) row: &'r mut Row<'a>,
    pub(super) column: &'a Column,
}

impl<'a> DeserializeSeed<'a> for Value<'_, 'a> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { row, column } = self;
        let Some(rules) = &column.rules else { return read(row, column, deserializer) };
        row.is_secret = rules.is_secret;
        let has_value = read(row, column, deserializer)?;
        row.is_secret = false;
        Ok(has_value)
    }
}

fn read<'a, D: Deserializer<'a>>(row: &mut Row<'a>, column: &'a Column, deserializer: D) -> Result<bool, D::Error> {
    if column.is_repeated {
        deserializer.deserialize_any(Array { row, column })
    } else {
        Element { row, column }.deserialize(deserializer)
    }
}

/// One value of a column, by its rules; answers whether there was one, or null.
struct Element<'r, 'a> {
    row: &'r mut Row<'a>,
    column: &'a Column,
}

impl<'a> DeserializeSeed<'a> for Element<'_, 'a> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { row, column } = self;
        match &column.rules {
            None => Typed { row, column }.deserialize(deserializer),
            Some(rules) => rules::write(row, column, rules, <&'a RawValue>::deserialize(deserializer)?.get()),
        }
    }
}

/// One value of a column's type; answers whether there was one, or null.
pub(super) struct Typed<'r, 'a> {
    pub(super) row: &'r mut Row<'a>,
    pub(super) column: &'a Column,
}

impl<'a> DeserializeSeed<'a> for Typed<'_, 'a> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { row, column } = self;
        match &column.kind {
            Kind::Struct(plan) => deserializer.deserialize_any(Struct { row, column, plan }),
            Kind::Numeric(_) | Kind::Timestamp | Kind::Geography | Kind::Json => {
                let json = <&'a RawValue>::deserialize(deserializer)?.get();
                raw::write(row, column, json)
            }
            Kind::String { .. }
            | Kind::Bytes { .. }
            | Kind::Int64
            | Kind::Float64
            | Kind::Bool
            | Kind::Date
            | Kind::Time
            | Kind::Datetime => deserializer.deserialize_any(Scalar { row, column }),
        }
    }
}

struct Struct<'r, 'a> {
    row: &'r mut Row<'a>,
    column: &'a Column,
    plan: &'a Plan,
}

impl<'a> Visitor<'a> for Struct<'_, 'a> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_map<M: MapAccess<'a>>(self, map: M) -> Result<bool, M::Error> {
        let Self { row, column, plan } = self;
        row.enter(column);
        let start = begin_message(&mut row.out, column.tag);
        Record { row, plan, derived: &[] }.visit_map(map)?;
        end_message(&mut row.out, start);
        row.leave_struct();
        Ok(true)
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, _: S) -> Result<bool, S::Error> {
        Err(self.row.mismatch("STRUCT (an object)", "an array"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        Err(self.row.mismatch("STRUCT (an object)", found_string(text)))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        Err(self.row.mismatch("STRUCT (an object)", value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<bool, E> {
        Err(self.row.mismatch("STRUCT (an object)", format_args!("the number {value}")))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<bool, E> {
        Err(self.row.mismatch("STRUCT (an object)", format_args!("the number {value}")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<bool, E> {
        Err(self.row.mismatch("STRUCT (an object)", format_args!("the number {value}")))
    }
}

/// The next element of an array; where every fault is asked for, what is wrong inside it ends only it.
fn next<'a, S: SeqAccess<'a>>(row: &mut Row<'a>, column: &'a Column, seq: &mut S) -> Result<Option<bool>, S::Error> {
    if row.faults.is_none() {
        return seq.next_element_seed(Element { row, column });
    }
    let Some(json) = seq.next_element::<&'a RawValue>()? else { return Ok(None) };
    let at = row.at();
    match (Element { row, column }).deserialize(&mut serde_json::Deserializer::from_str(json.get())) {
        Ok(has_value) => Ok(Some(has_value)),
        Err(error) => row.go_on(at, de::Error::custom(error)).map(|()| Some(true)),
    }
}

struct Array<'r, 'a> {
    row: &'r mut Row<'a>,
    column: &'a Column,
}

impl<'a> Array<'_, 'a> {
    fn mismatch<E: de::Error>(self, found: impl fmt::Display) -> E {
        self.row.mismatch(&format!("an array of {}", self.column.sql_type()), found)
    }
}

impl<'a> Visitor<'a> for Array<'_, 'a> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or null")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<bool, S::Error> {
        let Self { row, column } = self;
        row.enter(column);
        let mut index = 0;
        row.at_element(index);
        while let Some(has_value) = next(row, column, &mut seq)? {
            if !has_value {
                let (at, error) = (row.at(), row.mismatch(column.sql_type(), "null; an ARRAY holds no NULLs"));
                row.go_on(at, error)?;
            }
            index += 1;
            row.at_element(index);
        }
        row.leave_array();
        // Where an element is needed, an empty array is as good as none.
        Ok(index > 0 || !column.rules.as_ref().is_some_and(|rules| rules.required))
    }

    /// NULL and the empty ARRAY are one to BigQuery.
    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<M: MapAccess<'a>>(self, _: M) -> Result<bool, M::Error> {
        Err(self.mismatch("an object"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        Err(self.mismatch(found_string(text)))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        Err(self.mismatch(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<bool, E> {
        Err(self.mismatch(format_args!("the number {value}")))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<bool, E> {
        Err(self.mismatch(format_args!("the number {value}")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<bool, E> {
        Err(self.mismatch(shortened(&format!("the number {value}"))))
    }
}
