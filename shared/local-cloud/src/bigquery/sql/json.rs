//! JSON as GoogleSQL sees it: numbers keep their digits, members keep their order where the text is a STRING.

use std::fmt::Write;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// The number as written.
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a whole text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text.as_bytes(), text };
        let value = parser.value(0)?;
        parser.space();
        parser.rest.is_empty().then_some(value)
    }

    /// The text, without white space.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(digits),
            Self::String(text) => write_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_string(out, name);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The value as the JSON type keeps it: members in the order of their names, the first of each name.
    pub(super) fn sorted(self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.into_iter().map(Self::sorted).collect()),
            Self::Object(members) => {
                let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, value.sorted())).collect();
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                members.dedup_by(|(a, _), (b, _)| a == b);
                Self::Object(members)
            }
            other => other,
        }
    }

    /// The member of this name.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value at a path.
    pub(super) fn at(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |value, step| match step {
            Step::Member(name) => value.member(name),
            Step::Index(index) => match value {
                Self::Array(items) => items.get(*index),
                _ => None,
            },
        })
    }

    /// The scalar as text: strings unquoted; `None` for null, arrays and objects.
    pub(super) fn scalar(&self) -> Option<String> {
        match self {
            Self::String(text) | Self::Number(text) => Some(text.clone()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }
}

/// Writes a JSON string.
pub(super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// One step of a JSONPath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Index(usize),
}

/// The steps of a JSONPath such as `$.a.b[0]."c d"`; `legacy` paths write `['c d']` for names that need quotes.
pub(super) fn path(text: &str, legacy: bool) -> Result<Vec<Step>, String> {
    let invalid = || format!("Invalid token in JSONPath: {text}");
    let mut rest = text.strip_prefix('$').ok_or_else(|| format!("JSONPath must start with '$': {text}"))?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            if !legacy && let Some(quoted) = after.strip_prefix('"') {
                let end = quoted.find('"').ok_or_else(invalid)?;
                steps.push(Step::Member(quoted[..end].to_owned()));
                rest = &quoted[end + 1..];
                continue;
            }
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            if name.is_empty() || name.contains(['*', '"', '\'', ']', '?', '(']) {
                return Err(invalid());
            }
            steps.push(Step::Member(name.to_owned()));
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            if let Some(quoted) = after.strip_prefix('\'') {
                if !legacy {
                    return Err(invalid());
                }
                let end = quoted.find("']").ok_or_else(invalid)?;
                steps.push(Step::Member(quoted[..end].to_owned()));
                rest = &quoted[end + 2..];
                continue;
            }
            let end = after.find(']').ok_or_else(invalid)?;
            steps.push(Step::Index(after[..end].trim().parse().map_err(|_| invalid())?));
            rest = &after[end + 1..];
        } else {
            return Err(invalid());
        }
    }
    Ok(steps)
}

/// Deeper values are refused rather than overflowing the stack.
const DEEPEST: usize = 500;

struct Parser<'a> {
    rest: &'a [u8],
    text: &'a str,
}

impl Parser<'_> {
    fn space(&mut self) {
        let count = self.rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.rest = &self.rest[count..];
    }

    fn eat(&mut self, token: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > DEEPEST {
            return None;
        }
        self.space();
        match self.rest.first()? {
            b'n' => self.eat(b"null").map(|()| Json::Null),
            b't' => self.eat(b"true").map(|()| Json::Bool(true)),
            b'f' => self.eat(b"false").map(|()| Json::Bool(false)),
            b'"' => self.string().map(Json::String),
            b'[' => {
                self.eat(b"[")?;
                let mut items = Vec::new();
                self.space();
                if self.eat(b"]").is_some() {
                    return Some(Json::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    self.space();
                    if self.eat(b",").is_none() {
                        return self.eat(b"]").map(|()| Json::Array(items));
                    }
                }
            }
            b'{' => {
                self.eat(b"{")?;
                let mut members = Vec::new();
                self.space();
                if self.eat(b"}").is_some() {
                    return Some(Json::Object(members));
                }
                loop {
                    self.space();
                    let name = self.string()?;
                    self.space();
                    self.eat(b":")?;
                    members.push((name, self.value(depth + 1)?));
                    self.space();
                    if self.eat(b",").is_none() {
                        return self.eat(b"}").map(|()| Json::Object(members));
                    }
                }
            }
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Json> {
        let count =
            self.rest.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
        let start = self.text.len() - self.rest.len();
        let digits = self.text.get(start..start + count)?;
        serde_json::from_str::<serde_json::Number>(digits).ok()?;
        self.rest = &self.rest[count..];
        Some(Json::Number(digits.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        let start = self.text.len() - self.rest.len();
        self.eat(b"\"")?;
        loop {
            let stop = self.rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
            let escape = self.rest[stop] == b'\\';
            self.rest = self.rest.get(stop + if escape { 2 } else { 1 }..)?;
            if !escape {
                let end = self.text.len() - self.rest.len();
                return serde_json::from_str(self.text.get(start..end)?).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_as_they_are() {
        let text = r#"{"b":1.50,"a":[null,true,"x\"\né"],"c":{}}"#;
        let json = Json::parse(&text.replace(',', " , ")).expect("JSON");
        assert_eq!(json.text(), text);
        assert_eq!(json.sorted().text(), r#"{"a":[null,true,"x\"\né"],"b":1.50,"c":{}}"#);
        for bad in ["", "{", "[1,]", "01", "{\"a\":1}x", "nul", "\"\\x\""] {
            assert_eq!(Json::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn paths_find_values() {
        let json = Json::parse(r#"{"a":{"b c":[1,{"d":"x"}]}}"#).expect("JSON");
        let find = |text: &str, legacy| json.at(&path(text, legacy).expect("a path")).map(Json::text);
        assert_eq!(find("$.a.\"b c\"[1].d", false).as_deref(), Some("\"x\""));
        assert_eq!(find("$.a['b c'][0]", true).as_deref(), Some("1"));
        assert_eq!(find("$.a.x", false), None);
        assert!(path("a", false).is_err());
        assert!(path("$.a[*]", false).is_err());
    }
}
