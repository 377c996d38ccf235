use std::collections::BTreeMap;

use crate::{JsonPointer, When};

/// What is done to a document that comes in, before it is events: `flatten`, then `lookup`, then `filter`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shaping {
    /// Which parts of a document are its events; empty: the document is one.
    pub flatten: Vec<Flatten>,
    /// What is added to each event from tables.
    pub lookups: Vec<Lookup>,
    /// Which events are kept; `None`: all.
    pub filter: Option<When>,
}

impl Shaping {
    /// Whether documents are events as they are.
    pub fn is_none(&self) -> bool {
        self.flatten.is_empty() && self.lookups.is_empty() && self.filter.is_none()
    }
}

/// One document, n events: each value that `at` leads to is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flatten {
    /// Where the events stand.
    pub at: StarPointer,
    /// What each event takes along: fields by name, from the document. Of those of one name, which stand together, the first that
    /// finds a value.
    pub carry: Vec<Carry>,
    /// Whether the event keeps its own fields beside them.
    pub keeps_own: bool,
}

/// A field that an event takes along from the document around it, or from deeper inside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carry {
    /// The field's name in the event. It stands in place of an own one of that name.
    pub field: String,
    /// How many tokens of [`Flatten::at`] lead to the value in which `rest` begins.
    pub depth: usize,
    /// The tokens from there; none: that value itself.
    pub rest: Vec<String>,
}

/// A JSON pointer in which `*` stands for every element of an array, or every value of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StarPointer {
    text: String,
    /// The tokens.
    pub steps: Vec<Step>,
}

/// One token of a [`StarPointer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The field of that name, or the element of that index.
    Name(String),
    /// All of them.
    Every,
}

impl StarPointer {
    /// Parses a pointer such as `/entity/*/trip_update`; `None` where it is no pointer.
    pub fn parse(text: &str) -> Option<Self> {
        let pointer = JsonPointer::parse(text)?;
        let step = |token: &String| if token == "*" { Step::Every } else { Step::Name(token.clone()) };
        Some(Self { text: text.to_owned(), steps: pointer.tokens().iter().map(step).collect() })
    }

    /// The pointer as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Adds columns of a table to each event, found by a value of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The lookup's name.
    pub name: String,
    /// Where the value stands in the event.
    pub from: JsonPointer,
    /// How the value is sought, in this order.
    pub matches: Vec<Match>,
    /// The letters that [`Match::Suffix`] strips, as they are in upper case; empty: any.
    pub suffixes: String,
    /// The event's field that the value's last letter becomes, where it is one of `suffixes`.
    pub suffix_to: Option<String>,
    /// The columns that are added: the field's name, and its place in [`Lookup::rows`]' rows.
    pub fields: Vec<String>,
    /// By key, the values of `fields`; an empty one is not added.
    pub rows: BTreeMap<String, Vec<String>>,
    /// Whether an event whose value is not found is kept.
    pub keeps_missing: bool,
}

/// One way of seeking a value among a table's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// As it is.
    Exact,
    /// In upper case.
    Upper,
    /// Without its last letter, as it is and then, where [`Match::Upper`] is declared too, in upper case.
    Suffix,
}

impl Lookup {
    /// The row for `value`.
    pub fn find(&self, value: &str) -> Option<&[String]> {
        let upper = || value.to_uppercase();
        let also_upper = self.matches.contains(&Match::Upper);
        let found = self.matches.iter().find_map(|rule| match rule {
            Match::Exact => self.rows.get(value),
            Match::Upper => self.rows.get(&upper()),
            Match::Suffix => {
                let (stem, _) = self.split_suffix(value)?;
                self.rows.get(stem).or_else(|| also_upper.then(|| self.rows.get(&stem.to_uppercase())).flatten())
            }
        });
        found.map(Vec::as_slice)
    }

    /// `value`'s last letter, in upper case, where it is a suffix: the last one alone, wherever else the letter stands.
    pub fn suffix(&self, value: &str) -> Option<char> {
        self.split_suffix(value).map(|(_, suffix)| suffix)
    }

    fn split_suffix<'v>(&self, value: &'v str) -> Option<(&'v str, char)> {
        let last = value.chars().next_back().filter(char::is_ascii_alphabetic)?;
        let (stem, suffix) = (&value[..value.len() - 1], last.to_ascii_uppercase());
        let is_suffix = self.suffixes.is_empty() || self.suffixes.contains(suffix);
        (is_suffix && !stem.is_empty()).then_some((stem, suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(matches: &[Match]) -> Lookup {
        Lookup {
            name: "stops".into(),
            from: JsonPointer::parse("/stop_id").expect("a pointer"),
            matches: matches.to_vec(),
            suffixes: "NS".into(),
            suffix_to: Some("direction".into()),
            fields: vec!["name".into()],
            rows: BTreeMap::from([("S12".into(), vec!["Pine".into()]), ("R20S".into(), vec!["Own platform".into()])]),
            keeps_missing: true,
        }
    }

    fn name<'a>(lookup: &'a Lookup, value: &str) -> Option<&'a str> {
        lookup.find(value).map(|row| row[0].as_str())
    }

    #[test]
    fn the_ways_are_tried_in_turn() {
        let all = lookup(&[Match::Exact, Match::Upper, Match::Suffix]);
        for (value, found) in [
            ("S12", Some("Pine")),
            ("s12", Some("Pine")),
            ("S12N", Some("Pine")),
            ("s12s", Some("Pine")),
            ("R20S", Some("Own platform")),
            ("R20N", None),
            ("S12E", None),
            ("N", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(name(&all, value), found, "{value}");
        }
        let exact = lookup(&[Match::Exact]);
        assert_eq!((name(&exact, "S12"), name(&exact, "s12"), name(&exact, "S12N")), (Some("Pine"), None, None));
        let suffix = lookup(&[Match::Exact, Match::Suffix]);
        assert_eq!((name(&suffix, "S12N"), name(&suffix, "s12N")), (Some("Pine"), None));
    }

    #[test]
    fn a_suffix_is_the_last_letter_and_no_other() {
        let lookup = lookup(&[Match::Exact]);
        for (value, suffix) in
            [("S12N", Some('N')), ("S12s", Some('S')), ("S12", None), ("NS1", None), ("S12E", None), ("S", None)]
        {
            assert_eq!(lookup.suffix(value), suffix, "{value}");
        }
    }
}
