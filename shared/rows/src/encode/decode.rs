//! Rows back to JSON, for people: each column as BigQuery would show it.

use base64::{Engine, engine::general_purpose::STANDARD};
use event::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::plan::{Column, Kind, Plan};

/// The columns that have a value, by their names. Bytes that no encoder made end the object where they stop making sense.
pub(super) fn object(plan: &Plan, row: &[u8]) -> Value {
    let mut object = Map::new();
    let mut wire = Wire(row);
    while let Some((tag, datum)) = wire.field() {
        let Some(column) = plan.columns.iter().find(|column| u64::from(column.tag) == tag) else { continue };
        let value = value(column, datum);
        if column.is_repeated {
            match object.entry(column.name.clone()).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(values) => values.push(value),
                other => *other = value,
            }
        } else {
            object.insert(column.name.clone(), value);
        }
    }
    Value::Object(object)
}

/// A field of a message.
enum Datum<'a> {
    Number(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn field(&mut self) -> Option<(u64, Datum<'a>)> {
        let tag = self.varint()?;
        let datum = match tag & 7 {
            0 => Datum::Number(self.varint()?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Datum::Double(f64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Datum::Bytes(bytes)
            }
            _ => return None,
        };
        Some((tag, datum))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

fn value(column: &Column, datum: Datum<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (&column.kind, datum) {
        (Kind::Struct(plan), Datum::Bytes(bytes)) => object(plan, bytes),
        (Kind::Bytes { .. }, Datum::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Json, Datum::Bytes(bytes)) => serde_json::from_slice(bytes).unwrap_or_else(|_| text(bytes).into()),
        (_, Datum::Bytes(bytes)) => text(bytes).into(),
        (_, Datum::Double(number)) if number.is_finite() => number.into(),
        (_, Datum::Double(number)) => number.to_string().into(),
        (Kind::Bool, Datum::Number(number)) => (number != 0).into(),
        (Kind::Date, Datum::Number(days)) => date(days as i64).into(),
        (Kind::Time, Datum::Number(packed)) => time(packed).into(),
        (Kind::Datetime, Datum::Number(packed)) => datetime(packed).into(),
        (Kind::Timestamp, Datum::Number(micros)) => timestamp(micros as i64).into(),
        (_, Datum::Number(number)) => (number as i64).into(),
    }
}

fn date(days: i64) -> String {
    let date = jiff::Span::new().try_days(days).and_then(|span| Date::constant(1970, 1, 1).checked_add(span));
    date.map_or_else(|_| days.to_string(), |date| date.to_string())
}

/// As `CivilTimeEncoder` packs it.
fn time(packed: u64) -> String {
    let part = |shift: u32, bits: u32| (packed >> shift) & ((1 << bits) - 1);
    let (hour, minute, second, micros) = (part(32, 5), part(26, 6), part(20, 6), part(0, 20));
    if micros == 0 {
        format!("{hour:02}:{minute:02}:{second:02}")
    } else {
        format!("{hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}

fn datetime(packed: u64) -> String {
    let part = |shift: u32, bits: u32| (packed >> shift) & ((1 << bits) - 1);
    format!("{:04}-{:02}-{:02}T{}", part(46, 14), part(42, 4), part(37, 5), time(packed & ((1 << 37) - 1)))
}

fn timestamp(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string())
}
