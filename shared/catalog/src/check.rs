//! What a value must be beyond its column's type.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use crate::{JsonPointer, number::Number};

/// A test of one place of a table's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is looked at.
    pub place: Place,
    /// What must hold there.
    pub test: Test,
}

/// A place that a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A column by the names from the root down; in arrays each element is looked at.
    Column(Vec<String>),
    /// A value of the event as it was received.
    Pointer(JsonPointer),
}

/// What must hold for a value; what is not set holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Test {
    /// The value is one of these scalars; a number may be written as a text, as it may in a column of numbers. Empty: any.
    pub one_of: Vec<Value>,
    /// The value is a number of at least this much.
    pub min: Option<serde_json::Number>,
    /// The value is a number of at most this much.
    pub max: Option<serde_json::Number>,
    /// The value is a text in which this is found.
    pub pattern: Option<Pattern>,
    /// There is a value, and it is not null. In an ARRAY column there is an element.
    pub required: bool,
}

/// A regular expression, by its text.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Parses a regular expression of the crate `regex`: it takes time linear in the text that it is looked for in.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The text and a marker under it come first; what is wrong is said last.
        let said = |error: regex::Error| {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        };
        Regex::new(text).map(Self).map_err(said)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Test {
    /// What was expected of the JSON value `raw`, which is not null; `None`: the test holds. [`Test::required`] is not looked at.
    pub fn violated(&self, raw: &str) -> Option<String> {
        if !self.one_of.is_empty() && !self.one_of.iter().any(|scalar| is_it(raw, scalar)) {
            let listed = self.one_of.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
            return Some(format!("one of {listed}"));
        }
        if (self.min.is_some() || self.max.is_some()) && !self.is_within(raw) {
            return Some(self.range());
        }
        match &self.pattern {
            Some(pattern) if !text(raw).is_some_and(|text| pattern.0.is_match(&text)) => {
                Some(format!("a text that matches `{}`", pattern.as_str()))
            }
            _ => None,
        }
    }

    fn is_within(&self, raw: &str) -> bool {
        let Some(number) = text(raw).and_then(|text| Number::parse(&text)) else { return false };
        let bound = |bound: &serde_json::Number| Number::parse(&bound.to_string());
        let at_least = |min| bound(min).is_none_or(|min| number.order(&min) != Ordering::Less);
        let at_most = |max| bound(max).is_none_or(|max| number.order(&max) != Ordering::Greater);
        self.min.as_ref().is_none_or(at_least) && self.max.as_ref().is_none_or(at_most)
    }

    fn range(&self) -> String {
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!("a number from {min} to {max}"),
            (Some(min), None) => format!("a number of at least {min}"),
            (None, Some(max)) => format!("a number of at most {max}"),
            (None, None) => "a number".to_owned(),
        }
    }
}

/// Whether the JSON value `raw` is `scalar`, or a text that says the same number.
fn is_it(raw: &str, scalar: &Value) -> bool {
    let says = |number: &serde_json::Number| {
        let said = text(raw).and_then(|text| Number::parse(&text));
        said.is_some_and(|said| Number::parse(&number.to_string()) == Some(said))
    };
    equals(raw, scalar) || matches!(scalar, Value::Number(number) if says(number))
}

/// Whether the JSON value `raw` is `scalar`: strings as they are, numbers by value.
pub(crate) fn equals(raw: &str, scalar: &Value) -> bool {
    match (scalar, raw.as_bytes().first()) {
        (Value::Null, Some(b'n')) => true,
        (Value::Bool(expected), Some(b't' | b'f')) => raw == if *expected { "true" } else { "false" },
        (Value::String(expected), Some(b'"')) => text(raw).is_some_and(|text| text == *expected),
        (Value::Number(expected), Some(b'-' | b'0'..=b'9')) => {
            let expected = expected.to_string();
            raw == expected || Number::parse(raw).is_some_and(|found| Number::parse(&expected) == Some(found))
        }
        _ => false,
    }
}

/// A scalar as text: strings unquoted, the rest as written; `None`: null, or no scalar.
pub(crate) fn text(raw: &str) -> Option<std::borrow::Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => crate::probe::string(raw),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(value: Value) -> Option<serde_json::Number> {
        serde_json::from_value(value).ok()
    }

    #[test]
    fn each_test_says_what_it_expected() {
        let one_of = Test { one_of: vec![json!("web"), json!(2), json!(true)], ..Test::default() };
        for good in [r#""web""#, r#""w\u0065b""#, "2", "2.0", r#""2""#, r#""2.0""#, "true"] {
            assert_eq!(one_of.violated(good), None, "{good}");
        }
        for bad in [r#""Web""#, r#""3""#, "3", r#""true""#, "[2]"] {
            assert_eq!(one_of.violated(bad).as_deref(), Some(r#"one of "web", 2, true"#), "{bad}");
        }

        let range = Test { min: number(json!(-100)), max: number(json!(0.5)), ..Test::default() };
        for good in ["-100", "0.50", "5e-1", r#""-1""#] {
            assert_eq!(range.violated(good), None, "{good}");
        }
        for bad in ["-100.0000000000000000000001", "0.51", r#""x""#, "[]", "true"] {
            assert_eq!(range.violated(bad).as_deref(), Some("a number from -100 to 0.5"), "{bad}");
        }

        let pattern = Pattern::parse("^[A-Z]-[0-9]+$").expect("a pattern");
        let pattern = Test { pattern: Some(pattern), ..Test::default() };
        assert_eq!(pattern.violated(r#""A-12""#), None);
        assert!(pattern.violated(r#""A-""#).is_some() && pattern.violated("{}").is_some());
    }
}
