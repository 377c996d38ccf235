//! Scalars that the deserializer can hand over as they are: text, numbers and booleans.

use std::fmt;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{self, MapAccess, SeqAccess, Visitor};

use super::{
    civil,
    plan::{Column, Kind},
    protobuf::{put_bytes, put_double, put_int64, put_tag, put_varint},
    row::{Row, found_string, shortened},
};

/// Padding may be there or not; whole bytes must come out.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Integers up to here are exact as f64.
const EXACT_F64: f64 = 9_007_199_254_740_992.0;

/// A scalar; answers whether there was one, or null.
pub(super) struct Scalar<'r, 'a> {
    pub(super) row: &'r mut Row<'a>,
    pub(super) column: &'a Column,
}

impl<'a> Visitor<'a> for Scalar<'_, 'a> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.column.sql_type())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        let Self { row, column } = self;
        let tag = column.tag;
        let packed = match &column.kind {
            Kind::String { max_length } => return string(row, column, *max_length, text),
            Kind::Bytes { max_length } => return bytes(row, column, *max_length, text),
            Kind::Float64 => return float(row, column, text),
            Kind::Int64 => return integer(row, column, text),
            Kind::Bool => boolean(text).map(i64::from),
            Kind::Date => civil::date(text).map(civil::Date::days),
            Kind::Time => civil::time(text).map(civil::Time::packed),
            Kind::Datetime => civil::datetime(text).map(|(date, time)| civil::packed_datetime(date, time)),
            Kind::Numeric(_) | Kind::Timestamp | Kind::Geography | Kind::Json | Kind::Struct(_) => None,
        };
        match packed {
            Some(value) => put_int64(&mut row.out, tag, value),
            None => return Err(row.mismatch(expected(column), found_string(text))),
        }
        Ok(true)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        let Self { row, column } = self;
        match &column.kind {
            Kind::Bool => put_int64(&mut row.out, column.tag, i64::from(value)),
            Kind::String { max_length } => {
                return string(row, column, *max_length, if value { "true" } else { "false" });
            }
            _ => return Err(row.mismatch(expected(column), value)),
        }
        Ok(true)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<bool, E> {
        let Self { row, column } = self;
        match &column.kind {
            Kind::Int64 => put_int64(&mut row.out, column.tag, value),
            Kind::Float64 => put_double(&mut row.out, column.tag, value as f64),
            Kind::String { max_length } => return string(row, column, *max_length, &value.to_string()),
            _ => return Err(row.mismatch(expected(column), format_args!("the number {value}"))),
        }
        Ok(true)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<bool, E> {
        let Self { row, column } = self;
        match (&column.kind, i64::try_from(value)) {
            (_, Ok(value)) => Scalar { row, column }.visit_i64(value),
            (Kind::Float64, Err(_)) => {
                put_double(&mut row.out, column.tag, value as f64);
                Ok(true)
            }
            (Kind::Int64, Err(_)) => Err(beyond_int64(row, &value.to_string())),
            (Kind::String { max_length }, Err(_)) => string(row, column, *max_length, &value.to_string()),
            (_, Err(_)) => Err(row.mismatch(expected(column), format_args!("the number {value}"))),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<bool, E> {
        let Self { row, column } = self;
        match &column.kind {
            Kind::Float64 => {
                put_double(&mut row.out, column.tag, value);
                Ok(true)
            }
            Kind::Int64 if value.fract() == 0.0 && value.abs() <= EXACT_F64 => {
                put_int64(&mut row.out, column.tag, value as i64);
                Ok(true)
            }
            Kind::Int64 if value.abs() > EXACT_F64 => Err(beyond_int64(row, &value.to_string())),
            Kind::String { max_length } if value.abs() <= EXACT_F64 => {
                string(row, column, *max_length, &value.to_string())
            }
            Kind::String { .. } => Err(row
                .mismatch("STRING", format_args!("the number {value:e}, whose digits are exact only inside a string"))),
            _ => Err(row.mismatch(expected(column), format_args!("the number {value}"))),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, _: S) -> Result<bool, S::Error> {
        Err(self.row.mismatch(expected(self.column), "an array"))
    }

    fn visit_map<M: MapAccess<'a>>(self, _: M) -> Result<bool, M::Error> {
        Err(self.row.mismatch(expected(self.column), "an object"))
    }
}

/// The type and, where that helps, its forms.
pub(super) fn expected(column: &Column) -> &'static str {
    match &column.kind {
        Kind::Bytes { .. } => "BYTES (base64)",
        Kind::Date => "DATE (`YYYY-MM-DD`)",
        Kind::Time => "TIME (`HH:MM:SS[.ffffff]`)",
        Kind::Datetime => "DATETIME (`YYYY-MM-DDTHH:MM:SS[.ffffff]`)",
        Kind::Timestamp => "TIMESTAMP (RFC 3339, `YYYY-MM-DD HH:MM:SS[.ffffff] [zone]` or seconds of the Unix epoch)",
        Kind::Geography => "GEOGRAPHY (WKT or GeoJSON)",
        _ => column.sql_type(),
    }
}

pub(super) fn string<E: de::Error>(
    row: &mut Row<'_>,
    column: &Column,
    max_length: Option<usize>,
    text: &str,
) -> Result<bool, E> {
    if let Some(max) = max_length.filter(|max| text.len() > *max) {
        let chars = text.chars().count();
        if chars > max {
            return Err(row.out_of_range(format!("STRING({max}) takes no string of {chars} characters")));
        }
    }
    put_bytes(&mut row.out, column.tag, text.as_bytes());
    Ok(true)
}

fn bytes<E: de::Error>(row: &mut Row<'_>, column: &Column, max_length: Option<usize>, text: &str) -> Result<bool, E> {
    let engine = if text.contains(['-', '_']) { BASE64_URL } else { BASE64 };
    // The decoded length is known beforehand, so the bytes are decoded where they belong.
    let length = text.trim_end_matches('=').len() * 3 / 4;
    if let Some(max) = max_length.filter(|max| length > *max) {
        return Err(row.out_of_range(format!("BYTES({max}) takes no {length} bytes")));
    }
    let start = row.out.len();
    put_tag(&mut row.out, column.tag);
    put_varint(&mut row.out, length as u64);
    let data = row.out.len();
    row.out.resize(data + length, 0);
    match engine.decode_slice(text, &mut row.out[data..]) {
        Ok(decoded) if decoded == length => Ok(true),
        _ => {
            row.out.truncate(start);
            Err(row.mismatch(expected(column), found_string(text)))
        }
    }
}

/// A number, or one of the words that JSON has no number for.
fn float<E: de::Error>(row: &mut Row<'_>, column: &Column, text: &str) -> Result<bool, E> {
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && text.contains(|char: char| char.is_ascii_digit()) => {
            Err(row.out_of_range(format!("FLOAT64 cannot hold {}", shortened(text))))
        }
        Ok(value) => {
            put_double(&mut row.out, column.tag, value);
            Ok(true)
        }
        Err(_) => Err(row.mismatch("FLOAT64", found_string(text))),
    }
}

fn integer<E: de::Error>(row: &mut Row<'_>, column: &Column, text: &str) -> Result<bool, E> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    match text.parse::<i64>() {
        Ok(value) => {
            put_int64(&mut row.out, column.tag, value);
            Ok(true)
        }
        Err(_) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(beyond_int64(row, text))
        }
        Err(_) => Err(row.mismatch("INT64", found_string(text))),
    }
}

fn beyond_int64<E: de::Error>(row: &mut Row<'_>, value: &str) -> E {
    row.out_of_range(format!("INT64 cannot hold {}", shortened(value)))
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
