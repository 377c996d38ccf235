//! The state of one row while its JSON is read.

use std::fmt::Write;

use catalog::UnknownFields;
use event::{Reason, Rejection};
use serde::de;

use super::{extra::Extra, plan::Column};

/// How much of a value at fault is told.
const FOUND_CHARS: usize = 64;

/// One step from the root to the value that is being read.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// Into the column `column`, which the event spells `key`.
    Field { key: &'a str, column: &'a str, is_repeated: bool },
    /// Into an element of an array.
    Element(u32),
}

/// The state of one row while its JSON is read.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) out: Vec<u8>,
    pub(super) unknown: UnknownFields,
    pub(super) extra: Extra,
    /// The STRUCTs and arrays that are being read, the outermost first.
    path: Vec<Step<'a>>,
    /// The field that is being read; `None` where the last step is the value itself.
    key: Option<&'a str>,
    fault: Option<Rejection>,
}

impl<'a> Row<'a> {
    pub(super) fn new(out: Vec<u8>, unknown: UnknownFields) -> Self {
        Self { out, unknown, extra: Extra::default(), path: Vec::new(), key: None, fault: None }
    }

    /// The next value is that of the field that the event spells `key`.
    pub(super) fn at_field(&mut self, key: &'a str) {
        self.key = Some(key);
    }

    /// The next value is the element `index` of the array that was entered last.
    pub(super) fn at_element(&mut self, index: u32) {
        self.key = None;
        match self.path.last_mut() {
            Some(Step::Element(at)) => *at = index,
            _ => self.path.push(Step::Element(index)),
        }
    }

    /// Goes into the field that is being read, a STRUCT or an array.
    pub(super) fn enter(&mut self, column: &'a Column) {
        if let Some(key) = self.key.take() {
            self.path.push(Step::Field { key, column: &column.name, is_repeated: column.is_repeated });
        }
    }

    /// Leaves the STRUCT that is the last step, which stays where it is an element.
    pub(super) fn leave_struct(&mut self) {
        self.extra.leave(&self.path);
        self.key = None;
        if matches!(self.path.last(), Some(Step::Field { .. })) {
            self.path.pop();
        }
    }

    /// Leaves the array that was entered last.
    pub(super) fn leave_array(&mut self) {
        if matches!(self.path.last(), Some(Step::Element(_))) {
            self.path.pop();
        }
        self.extra.leave(&self.path);
        self.path.pop();
        self.key = None;
    }

    /// The unknown field `key` of the STRUCT that is being read; says whether its value must be kept.
    pub(super) fn unknown_field<E: de::Error>(&mut self, key: &str) -> Result<(), E> {
        match self.unknown {
            UnknownFields::Capture => self.extra.begin_member(&self.path, key),
            UnknownFields::Ignore => {}
            UnknownFields::Reject => {
                let pointer = self.pointer(Some(key));
                let detail = format!("the schema has no field `{}`", shortened(key));
                return Err(self.reject(Rejection::at(Reason::UnknownField, pointer, detail)));
            }
        }
        Ok(())
    }

    /// The value that is being read is not of its column's type.
    pub(super) fn mismatch<E: de::Error>(&mut self, expected: &str, found: impl std::fmt::Display) -> E {
        self.fault(Reason::TypeMismatch, format!("expected {expected}, found {found}"))
    }

    /// The value that is being read is of its column's type, but the column cannot hold it.
    pub(super) fn out_of_range<E: de::Error>(&mut self, detail: String) -> E {
        self.fault(Reason::OutOfRange, detail)
    }

    /// The column `column` of the STRUCT that is being read has no value.
    pub(super) fn missing<E: de::Error>(&mut self, column: &Column) -> E {
        let pointer = self.pointer(Some(&column.name));
        let detail = format!("the REQUIRED {} column `{}` has no value", column.sql_type(), column.name);
        self.reject(Rejection::at(Reason::MissingRequired, pointer, detail))
    }

    /// The REQUIRED column that is being read is null.
    pub(super) fn null<E: de::Error>(&mut self, column: &Column) -> E {
        let detail = format!("the REQUIRED {} column `{}` is null", column.sql_type(), column.name);
        self.fault(Reason::MissingRequired, detail)
    }

    /// The column that is being read had a value already, perhaps in another case. Which of the two counts is not ours to
    /// say: BigQuery's JSON keeps the first, other readers the last.
    pub(super) fn given_twice<E: de::Error>(&mut self, column: &Column) -> E {
        self.fault(Reason::MalformedJson, format!("expected the column `{}` once, found it twice", column.name))
    }

    /// The same of the field `key` of the STRUCT that is being read, which the schema does not know.
    pub(super) fn unknown_given_twice<E: de::Error>(&mut self, key: &str) -> E {
        let pointer = self.pointer(Some(key));
        let detail = format!("expected the field `{}` once, found it twice", shortened(key));
        self.reject(Rejection::at(Reason::MalformedJson, pointer, detail))
    }

    fn fault<E: de::Error>(&mut self, reason: Reason, detail: String) -> E {
        let pointer = self.pointer(self.key);
        self.reject(Rejection::at(reason, pointer, detail))
    }

    fn reject<E: de::Error>(&mut self, rejection: Rejection) -> E {
        self.fault = Some(rejection);
        E::custom("rejected")
    }

    /// What became of the row, the deserializer having answered `result`.
    pub(super) fn finish(&mut self, result: serde_json::Result<()>) -> Result<(), Rejection> {
        let Err(error) = result else { return Ok(()) };
        if let Some(rejection) = self.fault.take() {
            return Err(rejection);
        }
        let message = error.to_string();
        // serde_json tells a number beyond f64 from broken syntax by its message alone.
        if message.starts_with("number out of range") {
            let pointer = self.pointer(self.key);
            return Err(Rejection::at(Reason::OutOfRange, pointer, message));
        }
        Err(Rejection::new(Reason::MalformedJson, message))
    }

    /// The JSON pointer (RFC 6901) of the value that is being read.
    fn pointer(&self, key: Option<&str>) -> String {
        let mut pointer = String::new();
        let mut token = |text: &str| {
            pointer.push('/');
            text.chars().for_each(|char| match char {
                '~' => pointer.push_str("~0"),
                '/' => pointer.push_str("~1"),
                char => pointer.push(char),
            });
        };
        for step in &self.path {
            match step {
                Step::Field { key, .. } => token(key),
                Step::Element(index) => token(&index.to_string()),
            }
        }
        if let Some(key) = key {
            token(key);
        }
        pointer
    }
}

/// A string as errors tell it: quoted, and cut where it is long.
pub(super) fn found_string(text: &str) -> String {
    let mut told = String::from("the string ");
    // Writing into memory cannot fail.
    let _ = write!(told, "{:?}", shortened(text));
    told
}

/// A number or other JSON text as errors tell it.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(FOUND_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
