//! The filter language of subscriptions, over a message's attributes.
//!
//! `attributes:key`, `attributes.key = "v"`, `attributes.key != "v"`, `hasPrefix(attributes.key, "v")`, `NOT`, `-`,
//! `AND`, `OR`, parentheses; keys that are no plain words are quoted. As in the service, `AND` and `OR` do not mix
//! without parentheses.

use std::collections::HashMap;

/// The longest filter, in bytes.
const LONGEST: usize = 256;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Has(String),
    Equals(String, String),
    HasPrefix(String, String),
    Not(Box<Filter>),
    All(Vec<Filter>),
    Any(Vec<Filter>),
}

/// Where and why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of the filter")]
pub(super) struct FilterError {
    at: usize,
    what: String,
}

impl Filter {
    /// Parses a filter; an empty one is `None`.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, FilterError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        if text.len() > LONGEST {
            return Err(FilterError { at: LONGEST, what: format!("more than {LONGEST} bytes") });
        }
        let mut parser = Parser { text, at: 0, depth: 0 };
        let filter = parser.expression()?;
        parser.space();
        if parser.at < text.len() { Err(parser.expected("AND, OR or the end")) } else { Ok(Some(filter)) }
    }

    /// Whether a message of these attributes passes. An attribute that is missing is unequal to every value.
    pub(super) fn passes(&self, attributes: &HashMap<String, String>) -> bool {
        match self {
            Self::Has(key) => attributes.contains_key(key),
            Self::Equals(key, value) => attributes.get(key).is_some_and(|found| found == value),
            Self::HasPrefix(key, prefix) => attributes.get(key).is_some_and(|found| found.starts_with(prefix.as_str())),
            Self::Not(filter) => !filter.passes(attributes),
            Self::All(filters) => filters.iter().all(|filter| filter.passes(attributes)),
            Self::Any(filters) => filters.iter().any(|filter| filter.passes(attributes)),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn expression(&mut self) -> Result<Filter, FilterError> {
        let first = self.factor()?;
        let Some(operator) = self.operator() else { return Ok(first) };
        let mut filters = vec![first, self.factor()?];
        loop {
            let before = self.at;
            match self.operator() {
                Some(next) if next == operator => filters.push(self.factor()?),
                Some(_) => {
                    self.at = before;
                    return Err(self.expected("parentheses, since AND and OR do not mix without them,"));
                }
                None => break,
            }
        }
        Ok(if operator == "AND" { Filter::All(filters) } else { Filter::Any(filters) })
    }

    fn factor(&mut self) -> Result<Filter, FilterError> {
        self.depth += 1;
        if self.depth > 64 {
            return Err(self.expected("less nesting"));
        }
        let filter = self.bare_factor();
        self.depth -= 1;
        filter
    }

    fn bare_factor(&mut self) -> Result<Filter, FilterError> {
        if self.word("NOT") || self.symbol("-") {
            return Ok(Filter::Not(Box::new(self.factor()?)));
        }
        if self.symbol("(") {
            let filter = self.expression()?;
            self.require(")")?;
            return Ok(filter);
        }
        if self.word("hasPrefix") {
            self.require("(")?;
            self.attributes()?;
            self.require(".")?;
            let key = self.key()?;
            self.require(",")?;
            let prefix = self.quoted()?;
            self.require(")")?;
            return Ok(Filter::HasPrefix(key, prefix));
        }
        self.attributes()?;
        if self.symbol(":") {
            return Ok(Filter::Has(self.key()?));
        }
        self.require(".")?;
        let key = self.key()?;
        if self.symbol("!=") {
            return Ok(Filter::Not(Box::new(Filter::Equals(key, self.quoted()?))));
        }
        self.require("=")?;
        Ok(Filter::Equals(key, self.quoted()?))
    }

    fn attributes(&mut self) -> Result<(), FilterError> {
        if self.word("attributes") { Ok(()) } else { Err(self.expected("`attributes`, `hasPrefix`, NOT or (")) }
    }

    fn key(&mut self) -> Result<String, FilterError> {
        self.space();
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let end = self.rest().find(|c: char| !is_word(c)).unwrap_or(self.rest().len());
        if end == 0 {
            return Err(self.expected("an attribute's key"));
        }
        let key = self.rest()[..end].to_owned();
        self.at += end;
        Ok(key)
    }

    fn quoted(&mut self) -> Result<String, FilterError> {
        self.space();
        let mut chars = self.rest().char_indices();
        if chars.next().map(|(_, c)| c) != Some('"') {
            return Err(self.expected("a quoted string"));
        }
        let mut value = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    _ => return Err(self.expected("a string whose only escapes are \\\" and \\\\")),
                },
                c => value.push(c),
            }
        }
        Err(self.expected("a closing quote"))
    }

    fn operator(&mut self) -> Option<&'static str> {
        ["AND", "OR"].into_iter().find(|operator| self.word(operator))
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        let found = self.rest().strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_word));
        if found {
            self.at += word.len();
        }
        found
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn require(&mut self, symbol: &str) -> Result<(), FilterError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> FilterError {
        FilterError { at: self.at, what: format!("{what} expected") }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filter: &str, attributes: &[(&str, &str)]) -> bool {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Filter::parse(filter).expect("parses").expect("is not empty").passes(&attributes)
    }

    #[test]
    fn filters_decide_as_written() {
        let de = [("lang", "de"), ("ce-type", "order.created")];
        for (filter, expected) in [
            ("attributes:lang", true),
            ("attributes:other", false),
            (r#"attributes.lang = "de""#, true),
            (r#"attributes.lang="en""#, false),
            (r#"attributes.lang != "en""#, true),
            (r#"attributes.other != "en""#, true),
            (r#"hasPrefix(attributes.ce-type, "order.")"#, true),
            (r#"attributes."ce-type" = "order.created""#, true),
            (r#"NOT attributes:lang"#, false),
            (r#"attributes:lang AND NOT hasPrefix(attributes.lang, "e")"#, true),
            (r#"attributes:other OR (attributes:lang AND attributes.lang = "de")"#, true),
            (r#"-attributes:other AND attributes:lang"#, true),
        ] {
            assert_eq!(passes(filter, &de), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert_eq!(Filter::parse("  "), Ok(None));
        for (text, complaint) in [
            ("attributes", "`.` expected at byte 10 of the filter"),
            ("attributes.lang = de", "a quoted string expected at byte 18 of the filter"),
            ("data = \"x\"", "`attributes`, `hasPrefix`, NOT or ( expected at byte 0 of the filter"),
            ("attributes:a attributes:b", "AND, OR or the end expected at byte 13 of the filter"),
            (
                "attributes:a AND attributes:b OR attributes:c",
                "parentheses, since AND and OR do not mix without them, expected at byte 29 of the filter",
            ),
            ("attributes.a = \"x", "a closing quote expected at byte 15 of the filter"),
        ] {
            assert_eq!(Filter::parse(text).expect_err("is no filter").to_string(), complaint, "{text}");
        }
        assert!(Filter::parse(&"(".repeat(200)).is_err());
        assert!(Filter::parse(&format!("attributes:{}", "é".repeat(200))).is_err());
    }
}
