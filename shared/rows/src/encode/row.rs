//! The state of one row while its JSON is read.

use std::fmt::Write;

use catalog::{MaskTree, UnknownFields};
use event::{Reason, Rejection};
use serde::de;

use super::{extra::Extra, plan::Column, rules::EventRules};

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
    /// The table's rules, where it has any.
    pub(super) rules: Option<&'a EventRules>,
    /// The event was perhaps masked before.
    pub(super) is_masked: bool,
    /// The value that is being read is not to be told.
    pub(super) is_secret: bool,
    /// Where a derived value was taken from, in place of its column.
    source: Option<&'a str>,
    /// How the value of the unknown field that was begun last is masked.
    pub(super) extra_mask: Option<&'a MaskTree>,
    /// Every fault so far, where all are asked for.
    pub(super) faults: Option<Vec<Rejection>>,
}

/// A place in an event, to go back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    depth: usize,
    key: Option<&'a str>,
    bytes: usize,
}

impl<'a> Row<'a> {
    pub(super) fn new(out: Vec<u8>, unknown: UnknownFields) -> Self {
        Self {
            out,
            unknown,
            extra: Extra::default(),
            path: Vec::new(),
            key: None,
            fault: None,
            rules: None,
            is_masked: false,
            is_secret: false,
            source: None,
            extra_mask: None,
            faults: None,
        }
    }

    /// The next value is that of the derived column `name`, taken from `source`.
    pub(super) fn at_derived(&mut self, name: &'a str, source: Option<&'a str>) {
        self.key = Some(name);
        self.source = source;
    }

    /// The place that is being read.
    pub(super) fn at(&self) -> At<'a> {
        At { depth: self.path.len(), key: self.key, bytes: self.out.len() }
    }

    /// Goes back to a place: an array that was read through is left behind.
    pub(super) fn go_back(&mut self, at: At<'a>) {
        self.path.truncate(at.depth);
        self.key = at.key;
    }

    /// Notes what is wrong with the value that was begun `at`, and goes on behind it. Where not all faults are asked for,
    /// the first one ends the reading.
    pub(super) fn go_on<E: de::Error>(&mut self, at: At<'a>, error: E) -> Result<(), E> {
        if self.faults.is_none() {
            return Err(error);
        }
        let fault = self.fault.take().unwrap_or_else(|| self.number_out_of_range(&error.to_string()));
        self.faults.get_or_insert_default().push(fault);
        self.go_back(at);
        self.is_secret = false;
        self.out.truncate(at.bytes);
        Ok(())
    }

    fn number_out_of_range(&self, message: &str) -> Rejection {
        Rejection::at(Reason::OutOfRange, self.pointer(self.key), message)
    }

    /// How the unknown field `key` of the STRUCT that is being read is masked.
    fn unknown_mask(&self, key: &str) -> Option<&'a MaskTree> {
        let mut node = self.rules?.payload.as_ref()?.tree();
        for step in &self.path {
            if let Step::Field { column, .. } = step {
                node = node.child(column)?;
                if node.action().is_some() {
                    // A table of the stream hides the whole of it.
                    return Some(node);
                }
            }
        }
        node.child(key)
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
            UnknownFields::Capture => {
                self.extra_mask = self.unknown_mask(key);
                self.extra.begin_member(&self.path, key);
            }
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
        if self.is_secret {
            return self.fault(Reason::TypeMismatch, format!("expected {expected}, found {NOT_SHOWN}"));
        }
        self.fault(Reason::TypeMismatch, format!("expected {expected}, found {found}"))
    }

    /// The value that is being read is of its column's type, but the column cannot hold it.
    pub(super) fn out_of_range<E: de::Error>(&mut self, detail: String) -> E {
        if self.is_secret {
            return self.fault(Reason::OutOfRange, format!("the column cannot hold {NOT_SHOWN}"));
        }
        self.fault(Reason::OutOfRange, detail)
    }

    /// The value that is being read, `json`, is not what a check of its column expects.
    pub(super) fn check_failed<E: de::Error>(&mut self, expected: &str, json: &str) -> E {
        let found = if self.is_secret { NOT_SHOWN.to_owned() } else { found_json(json) };
        self.fault(Reason::CheckFailed, format!("expected {expected}, found {found}"))
    }

    /// The column `column` of the STRUCT that is being read has no value.
    pub(super) fn missing<E: de::Error>(&mut self, column: &Column) -> E {
        let pointer = self.pointer(Some(&column.name));
        if !column.is_required {
            let detail = format!("expected a value in the column `{}`, found none", column.name);
            return self.reject(Rejection::at(Reason::CheckFailed, pointer, detail));
        }
        let detail = format!("the REQUIRED {} column `{}` has no value", column.sql_type(), column.name);
        self.reject(Rejection::at(Reason::MissingRequired, pointer, detail))
    }

    /// The REQUIRED column that is being read is null.
    pub(super) fn null<E: de::Error>(&mut self, column: &Column) -> E {
        if !column.is_required {
            return self
                .fault(Reason::CheckFailed, format!("expected a value in the column `{}`, found none", column.name));
        }
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
            return Err(self.number_out_of_range(&message));
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
        // The first step of a derived value is its column.
        let taken_from = usize::from(self.source.is_some());
        let key = key.filter(|_| taken_from == 0 || !self.path.is_empty());
        for step in self.path.iter().skip(taken_from) {
            match step {
                Step::Field { key, .. } => token(key),
                Step::Element(index) => token(&index.to_string()),
            }
        }
        if let Some(key) = key {
            token(key);
        }
        match self.source {
            Some(source) => source.to_owned() + &pointer,
            None => pointer,
        }
    }
}

/// What is told in place of a masked value.
pub(super) const NOT_SHOWN: &str = "a value that is not shown, as it is masked";

/// A JSON value as errors tell it.
pub(super) fn found_json(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(text) => found_string(&text),
            Err(_) => "a string that is no Unicode text".to_owned(),
        },
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        Some(b'-' | b'0'..=b'9') => format!("the number {}", shortened(json)),
        _ => shortened(json),
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
