//! Values that are taken by their JSON text: decimals, points in time, geographies, JSON.

use std::{borrow::Cow, fmt};

use serde::de;

use super::{
    civil::{self, TimeFault},
    decimal::{self, DecimalFault, DecimalRule},
    json_text::{self, JsonTextFault, MAX_NESTING},
    plan::{Column, Kind},
    protobuf::{begin_message, end_message, put_bytes, put_int64},
    row::{Row, found_string, shortened},
    scalar::expected,
};

/// Writes the value `json` of `column`; answers whether there was one, or null.
pub(super) fn write<'a, E: de::Error>(row: &mut Row<'a>, column: &Column, json: &'a str) -> Result<bool, E> {
    if json == "null" {
        return Ok(false);
    }
    match &column.kind {
        Kind::Json => {
            row.check_unknown(json)?;
            put_bytes(&mut row.out, column.tag, json.as_bytes());
        }
        Kind::Geography => geography(row, column, json)?,
        Kind::Numeric(rule) => numeric(row, column, *rule, json)?,
        _ => timestamp(row, column, json)?,
    }
    Ok(true)
}

impl Row<'_> {
    /// Refuses JSON that parses, yet that BigQuery's JSON type does not take.
    pub(super) fn check_unknown<E: de::Error>(&mut self, json: &str) -> Result<(), E> {
        json_text::check(json).map_err(|fault| match fault {
            JsonTextFault::TooDeep => self.out_of_range(format!("JSON holds no more than {MAX_NESTING} levels")),
            JsonTextFault::LoneSurrogate => self.mismatch("JSON", "a \\u escape that stands for half a character"),
        })
    }
}

fn geography<E: de::Error>(row: &mut Row<'_>, column: &Column, json: &str) -> Result<(), E> {
    match Text::of(json) {
        Text::String(text) => put_bytes(&mut row.out, column.tag, text.as_bytes()),
        Text::Other if json.starts_with('{') => put_bytes(&mut row.out, column.tag, json.as_bytes()),
        other => return Err(row.mismatch(expected(column), other.found(json))),
    }
    Ok(())
}

fn numeric<E: de::Error>(row: &mut Row<'_>, column: &Column, rule: DecimalRule, json: &str) -> Result<(), E> {
    let parsed = Text::of(json);
    let text = match &parsed {
        Text::String(text) => text.as_ref(),
        Text::Number => json,
        Text::Other => return Err(row.mismatch(expected(column), parsed.found(json))),
    };
    let start = begin_message(&mut row.out, column.tag);
    match decimal::write_decimal(text, rule, &mut row.out) {
        Ok(()) => end_message(&mut row.out, start),
        Err(DecimalFault::Malformed) => return Err(row.mismatch(expected(column), parsed.found(json))),
        Err(DecimalFault::OutOfRange) => {
            let limits = format!("{}({}, {})", column.sql_type(), rule.precision, rule.scale);
            return Err(row.out_of_range(format!("{limits} cannot hold {}", shortened(text))));
        }
    }
    Ok(())
}

fn timestamp<E: de::Error>(row: &mut Row<'_>, column: &Column, json: &str) -> Result<(), E> {
    let parsed = Text::of(json);
    let seconds = |text: &str| match decimal::microseconds(text) {
        Ok(micros) => civil::in_range(micros),
        Err(DecimalFault::OutOfRange) => Err(TimeFault::OutOfRange),
        Err(DecimalFault::Malformed) => Err(TimeFault::Malformed),
    };
    let micros = match &parsed {
        Text::Number => seconds(json),
        Text::String(text) => match civil::timestamp(text) {
            Err(TimeFault::Malformed) => seconds(text),
            other => other,
        },
        Text::Other => Err(TimeFault::Malformed),
    };
    match micros {
        Ok(micros) => put_int64(&mut row.out, column.tag, micros),
        Err(TimeFault::Malformed) => return Err(row.mismatch(expected(column), parsed.found(json))),
        Err(TimeFault::UnknownZone) => {
            return Err(row.mismatch("TIMESTAMP with a time zone of the tz database", parsed.found(json)));
        }
        Err(TimeFault::OutOfRange) => {
            let found = parsed.found(json);
            let detail = format!("TIMESTAMP holds the years 1 to 9999 (a number counts seconds), found {found}");
            return Err(row.out_of_range(detail));
        }
    }
    Ok(())
}

/// What a scalar's JSON text is.
enum Text<'a> {
    String(Cow<'a, str>),
    Number,
    Other,
}

impl<'a> Text<'a> {
    fn of(json: &'a str) -> Self {
        match json.as_bytes() {
            [b'"', .., b'"'] if !json.contains('\\') => Self::String(Cow::Borrowed(&json[1..json.len() - 1])),
            [b'"', ..] => match serde_json::from_str::<String>(json) {
                Ok(text) => Self::String(Cow::Owned(text)),
                Err(_) => Self::Other,
            },
            [b'-' | b'0'..=b'9', ..] => Self::Number,
            _ => Self::Other,
        }
    }

    fn found(&self, json: &str) -> impl fmt::Display + use<> {
        match self {
            Self::String(text) => found_string(text),
            Self::Number => format!("the number {}", shortened(json)),
            Self::Other if json.starts_with('[') => "an array".to_owned(),
            Self::Other if json.starts_with('{') => "an object".to_owned(),
            Self::Other => shortened(json),
        }
    }
}
