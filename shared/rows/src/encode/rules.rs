//! A table's rules, made ready: columns that are derived, checks of the event, values that are masked.

use std::borrow::Cow;

use catalog::{Check, JsonPointer, Mask, Place, Probed, Rules, Source, Test};
use event::{Reason, Rejection};
use serde::de::{self, DeserializeSeed};
use serde_json::Deserializer;

use super::{
    plan::{Column, ColumnRules, Kind, Plan},
    protobuf::put_bytes,
    row::{NOT_SHOWN, Row, found_json},
    scalar::{self, expected},
    value::{Typed, Value},
};
use crate::{
    mask::{self, MaskKey, Masked},
    payload::PayloadMask,
};

/// The rules that look at the event, beside those of each column.
#[derive(Debug)]
pub(super) struct EventRules {
    derive: Vec<DerivedColumn>,
    checks: Vec<PointerCheck>,
    /// What unknown fields are masked by.
    pub(super) payload: Option<PayloadMask>,
    key: MaskKey,
}

#[derive(Debug)]
struct DerivedColumn {
    index: usize,
    source: Source,
    is_secret: bool,
}

#[derive(Debug)]
struct PointerCheck {
    at: JsonPointer,
    test: Test,
    is_secret: bool,
}

/// A derived column's value, as JSON.
#[derive(Debug)]
pub(super) struct Derived<'a> {
    pub(super) index: usize,
    source: Option<&'a str>,
    json: Cow<'a, str>,
}

impl EventRules {
    /// The rules of a table with these columns.
    pub(super) fn new(rules: &Rules, plan: &Plan, key: &MaskKey) -> Self {
        let masked = &rules.payload_mask;
        let covers = |at: &JsonPointer| masked.covers(at.tokens());
        let derive = rules.derive.iter().filter_map(|derive| {
            let index = plan.find(&derive.column, 0)?;
            let is_secret = plan.columns[index].rules.as_ref().is_some_and(|rules| rules.is_secret)
                || derive.source.pointer().is_some_and(covers);
            Some(DerivedColumn { index, source: derive.source.clone(), is_secret })
        });
        let checks = rules.checks.iter().filter_map(|Check { place, test }| match place {
            Place::Pointer(at) => Some(PointerCheck { at: at.clone(), test: test.clone(), is_secret: covers(at) }),
            Place::Column(_) => None,
        });
        Self {
            derive: derive.collect(),
            checks: checks.collect(),
            payload: PayloadMask::new(std::sync::Arc::clone(masked), key),
            key: key.clone(),
        }
    }

    /// The derived columns that have a value.
    pub(super) fn derive<'a>(&'a self, event: &'a Probed<'_>) -> Result<Vec<Derived<'a>>, Rejection> {
        let mut made = Vec::with_capacity(self.derive.len());
        let mut fault = None;
        self.derive_each(event, |found| match found {
            Ok(derived) => made.push(derived),
            Err(rejection) => fault = fault.take().or(Some(rejection)),
        });
        fault.map_or(Ok(made), Err)
    }

    /// Hands each derived column that has a value to `take`, or what is wrong with what it is made of.
    pub(super) fn derive_each<'a>(
        &'a self,
        event: &'a Probed<'_>,
        mut take: impl FnMut(Result<Derived<'a>, Rejection>),
    ) {
        for column in &self.derive {
            if let Some(made) = column.make(event).transpose() {
                take(made);
            }
        }
    }

    /// Checks the event as it was received.
    pub(super) fn check(&self, event: &Probed<'_>) -> Result<(), Rejection> {
        let mut fault = None;
        self.check_each(event, |rejection| fault = fault.take().or(Some(rejection)));
        fault.map_or(Ok(()), Err)
    }

    /// Hands each violation to `take`.
    pub(super) fn check_each(&self, event: &Probed<'_>, mut take: impl FnMut(Rejection)) {
        for PointerCheck { at, test, is_secret } in &self.checks {
            let raw = event.raw(at);
            let violated = match raw {
                None | Some("null") => test.required.then(|| "a value".to_owned()),
                Some(raw) => test.violated(raw),
            };
            if let Some(expected) = violated {
                let found = match raw {
                    None => "nothing".to_owned(),
                    Some(_) if *is_secret => NOT_SHOWN.to_owned(),
                    Some(raw) => found_json(raw),
                };
                take(Rejection::at(Reason::CheckFailed, at.as_str(), format!("expected {expected}, found {found}")));
            }
        }
    }
}

impl DerivedColumn {
    /// The column's value; `None`: there is none.
    fn make<'a>(&'a self, event: &'a Probed<'_>) -> Result<Option<Derived<'a>>, Rejection> {
        let made = |source, json| Ok(Some(Derived { index: self.index, source, json }));
        let pointer = match &self.source {
            Source::Constant(json) => return made(None, Cow::Borrowed(json.as_str())),
            Source::Copy(at) | Source::Uppercase(at) | Source::Lowercase(at) => at,
            Source::Time(time) => &time.at,
        };
        let Some(raw) = event.raw(pointer).filter(|raw| *raw != "null") else { return Ok(None) };
        let at = Some(pointer.as_str());
        let refused = |expected: &str| {
            let found = if self.is_secret { NOT_SHOWN.to_owned() } else { found_json(raw) };
            Rejection::at(Reason::TypeMismatch, pointer.as_str(), format!("expected {expected}, found {found}"))
        };
        let text = |expected: &str| match raw.as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9') => event.text(pointer).ok_or_else(|| refused(expected)),
            _ => Err(refused(expected)),
        };
        let json = match &self.source {
            Source::Constant(_) | Source::Copy(_) => Cow::Borrowed(raw),
            Source::Uppercase(_) => Cow::Owned(quoted(&text("a text")?.to_uppercase())),
            Source::Lowercase(_) => Cow::Owned(quoted(&text("a text")?.to_lowercase())),
            Source::Time(time) => {
                const EXPECTED: &str = "a time as a `format` of the catalog writes it";
                Cow::Owned(quoted(&time.read(&text(EXPECTED)?).ok_or_else(|| refused(EXPECTED))?))
            }
        };
        made(at, json)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'a> Derived<'a> {
    /// Writes the column; answers whether it has a value.
    pub(super) fn write<E: de::Error>(&'a self, row: &mut Row<'a>, plan: &'a Plan) -> Result<bool, E> {
        let column = &plan.columns[self.index];
        // The fields of what is copied are known, or not, where they stand.
        let unknown = std::mem::replace(&mut row.unknown, catalog::UnknownFields::Ignore);
        let at = row.at();
        row.at_derived(&column.name, self.source);
        let written = Value { row, column }.deserialize(&mut Deserializer::from_str(&self.json));
        let written = match written {
            Ok(has_value) => Ok(has_value),
            Err(error) => row.go_on(at, E::custom(error)).map(|()| true),
        };
        // The pointer of a fault that ends the reading is made by now, or made of what stays.
        if written.is_ok() {
            row.unknown = unknown;
            row.at_derived("", None);
        }
        written
    }
}

/// Writes the value `json` of a column that has rules; answers whether there was one, or null.
pub(super) fn write<'a, E: de::Error>(
    row: &mut Row<'a>,
    column: &'a Column,
    rules: &'a ColumnRules,
    json: &'a str,
) -> Result<bool, E> {
    if json == "null" {
        return Ok(false);
    }
    // The fields of a STRUCT have rules of their own.
    row.is_secret = rules.is_secret && !(matches!(column.kind, Kind::Struct(_)) && json.starts_with('{'));
    let has_value = match rules.mask {
        Some(Mask::Drop) => true,
        Some(mask) => masked(row, column, mask, json)?,
        None if !rules.inside.is_empty() => masked_inside(row, column, rules, json)?,
        None => Typed { row, column }.deserialize(&mut Deserializer::from_str(json)).map_err(E::custom)?,
    };
    row.is_secret = rules.is_secret;
    match rules.tests.iter().find_map(|test| test.violated(json)) {
        Some(expected) => Err(row.check_failed(&expected, json)),
        None => Ok(has_value),
    }
}

fn masked<E: de::Error>(row: &mut Row<'_>, column: &Column, mask: Mask, json: &str) -> Result<bool, E> {
    let text: Cow<'_, str> = match json.as_bytes() {
        [b'"', ..] => match serde_json::from_str::<String>(json) {
            Ok(text) => Cow::Owned(text),
            Err(_) => return Err(row.mismatch(expected(column), NOT_SHOWN)),
        },
        [b'{' | b'[', ..] => return Err(row.mismatch(expected(column), NOT_SHOWN)),
        _ => Cow::Borrowed(json),
    };
    let (Some(rules), Kind::String { max_length }) = (row.rules, &column.kind) else {
        // The real table's column is not what the catalog says; nothing of the value is shown.
        return Err(row.mismatch("STRING, of which a mask is made", NOT_SHOWN));
    };
    match mask::apply(mask, &text, &rules.key, row.is_masked) {
        Masked::Text(text) => scalar::string(row, column, *max_length, &text),
        Masked::Null => Ok(true),
        Masked::Unfit => Err(row.mismatch("an IP address", NOT_SHOWN)),
    }
}

fn masked_inside<E: de::Error>(row: &mut Row<'_>, column: &Column, rules: &ColumnRules, json: &str) -> Result<bool, E> {
    row.check_unknown(json)?;
    let payload = row.rules.and_then(|rules| rules.payload.as_ref());
    let (Some(payload), Kind::Json | Kind::String { .. }) = (payload, &column.kind) else {
        // The real table's column is not what the catalog says; nothing of the value is shown.
        return Err(row.mismatch("JSON, a part of which is masked", NOT_SHOWN));
    };
    let mut masked = Vec::with_capacity(json.len());
    payload.write(&rules.inside, json, row.is_masked, &mut masked).map_err(E::custom)?;
    put_bytes(&mut row.out, column.tag, &masked);
    Ok(true)
}

impl Row<'_> {
    /// Keeps the value `json` of the unknown field that was begun last, masked where a table of the stream masks it.
    pub(super) fn unknown_value<E: de::Error>(&mut self, json: &str) -> Result<(), E> {
        match (self.extra_mask.take(), self.rules.and_then(|rules| rules.payload.as_ref())) {
            (Some(node), Some(payload)) => {
                let mut masked = Vec::with_capacity(json.len());
                payload.write(node, json, self.is_masked, &mut masked).map_err(E::custom)?;
                self.extra.value_bytes(&masked);
            }
            _ => self.extra.value(json),
        }
        Ok(())
    }
}
