use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::document::{Content, Key, Node, SyntaxError, twins};
use crate::Problem;

/// Gathers the problems of every file of a catalog.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: RefCell<Vec<Problem>>,
    /// The settings that were asked for, by their places: see [`Cursor::place`].
    asked: RefCell<BTreeSet<String>>,
}

impl Report {
    pub(crate) fn add(&self, file: &Path, line: Option<u64>, path: &str, detail: impl Into<String>) {
        let problem = Problem { file: file.to_owned(), line, path: path.to_owned(), detail: detail.into() };
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn syntax(&self, file: &Path, error: SyntaxError) {
        self.add(file, error.line, "", error.detail);
    }

    /// The settings of `pipas.yaml` that were asked for.
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    /// The problems, in the order of files and of lines in them.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let mut files: Vec<PathBuf> = Vec::new();
        for problem in &problems {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        problems.sort_by_key(|problem| (files.iter().position(|file| *file == problem.file), problem.line));
        problems
    }
}

/// A place in a document: the value there, and how to say where it is.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    report: &'a Report,
    file: &'a Path,
    style: PathStyle,
    path: String,
    /// The path with `*` for names that the user gives and `[]` for items of lists: `streams.*.tables`.
    place: String,
    line: Option<u64>,
    node: &'a Node,
}

/// How a place in a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathStyle {
    /// `streams.events.tables`
    Dotted,
    /// `/3/fields/0` (RFC 6901)
    Pointer,
}

impl<'a> Cursor<'a> {
    pub(crate) fn root(report: &'a Report, file: &'a Path, style: PathStyle, node: &'a Node) -> Self {
        Self { report, file, style, path: String::new(), place: String::new(), line: node.line, node }
    }

    fn child(&self, path: String, place: String, line: Option<u64>, node: &'a Node) -> Self {
        Self { report: self.report, file: self.file, style: self.style, path, place, line, node }
    }

    pub(crate) fn report(&self) -> &'a Report {
        self.report
    }

    pub(crate) fn line(&self) -> Option<u64> {
        self.line
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn problem(&self, detail: impl Into<String>) {
        self.report.add(self.file, self.line, &self.path, detail);
    }

    fn unexpected(&self, expected: &str) {
        self.problem(format!("expected {expected}, found {}", self.node.found()));
    }

    pub(crate) fn is_null(&self) -> bool {
        self.node.is_null()
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.content, Content::List(_))
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.content, Content::Map(_))
    }

    /// The boolean here; anything else is a problem.
    pub(crate) fn boolean(&self, expected: &str) -> Option<bool> {
        match &self.node.content {
            Content::Scalar(Value::Bool(value)) => Some(*value),
            _ => {
                self.unexpected(expected);
                None
            }
        }
    }

    /// The string here; anything else is a problem.
    pub(crate) fn text(&self, expected: &str) -> Option<&'a str> {
        match &self.node.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => {
                self.unexpected(expected);
                None
            }
        }
    }

    /// What `parse` makes of the string here; what it makes nothing of is a problem.
    pub(crate) fn parse<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let parsed = parse(self.text(expected)?);
        if parsed.is_none() {
            self.unexpected(expected);
        }
        parsed
    }

    /// The value that `choices` names as the string here does; a near name is suggested.
    pub(crate) fn choice<T: Copy>(&self, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let text = self.text(&format!("{what}: one of {}", listed(names())))?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if chosen.is_none() {
            self.problem(unknown(&format!("{what} `{text}`"), text, names()));
        }
        chosen
    }

    /// The positive integer here, also where it stands in a string, as BigQuery writes its numbers.
    pub(crate) fn positive(&self, expected: &str) -> Option<u64> {
        let number = self.number().filter(|number| *number > 0);
        if number.is_none() {
            self.unexpected(expected);
        }
        number
    }

    /// The integer here, zero or positive, also where it stands in a string.
    pub(crate) fn whole(&self, expected: &str) -> Option<u64> {
        let number = self.number();
        if number.is_none() {
            self.unexpected(expected);
        }
        number
    }

    fn number(&self) -> Option<u64> {
        match &self.node.content {
            Content::Scalar(Value::Number(number)) => number.as_u64(),
            Content::Scalar(Value::String(text)) => text.parse().ok(),
            _ => None,
        }
    }

    /// The number here, above 0 and at most 1.
    pub(crate) fn share(&self, expected: &str) -> Option<f64> {
        let number = match &self.node.content {
            Content::Scalar(Value::Number(number)) => number.as_f64(),
            _ => None,
        };
        let share = number.filter(|share| *share > 0.0 && *share <= 1.0);
        if share.is_none() {
            self.unexpected(expected);
        }
        share
    }

    /// The number here.
    pub(crate) fn decimal(&self, expected: &str) -> Option<serde_json::Number> {
        match &self.node.content {
            Content::Scalar(Value::Number(number)) => Some(number.clone()),
            _ => {
                self.unexpected(expected);
                None
            }
        }
    }

    /// Whatever stands here.
    pub(crate) fn to_json(&self) -> Value {
        self.node.to_value()
    }

    /// The string, number or boolean here.
    pub(crate) fn scalar(&self, expected: &str) -> Option<&'a Value> {
        match &self.node.content {
            Content::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            _ => {
                self.unexpected(expected);
                None
            }
        }
    }

    /// The items of the list here.
    pub(crate) fn list(&self, expected: &str) -> Option<Vec<Cursor<'a>>> {
        match &self.node.content {
            Content::List(items) => {
                let item = |(at, node): (usize, &'a Node)| {
                    let path = match self.style {
                        PathStyle::Dotted => format!("{}[{at}]", self.path),
                        PathStyle::Pointer => format!("{}/{at}", self.path),
                    };
                    self.child(path, format!("{}[]", self.place), node.line, node)
                };
                Some(items.iter().enumerate().map(item).collect())
            }
            _ => {
                self.unexpected(expected);
                None
            }
        }
    }

    /// The entries of the map here, whose keys are names that the user gives.
    pub(crate) fn entries(&self, expected: &str) -> Option<Vec<(&'a str, Cursor<'a>)>> {
        let entry = |(key, node): &'a (Key, Node)| (key.name.as_str(), self.entry(key, "*", node));
        Some(self.map(expected)?.iter().map(entry).collect())
    }

    /// The map here, whose keys are settings.
    pub(crate) fn settings(&self, expected: &str) -> Option<Settings<'a>> {
        Some(Settings { at: self.clone(), entries: self.map(expected)?, known: BTreeSet::new() })
    }

    /// Whether a map stands here that sets `name`.
    pub(crate) fn sets(&self, name: &str) -> bool {
        match &self.node.content {
            Content::Map(entries) => entries.iter().any(|(key, node)| key.name == name && !node.is_null()),
            Content::Scalar(_) | Content::List(_) => false,
        }
    }

    fn map(&self, expected: &str) -> Option<&'a [(Key, Node)]> {
        match &self.node.content {
            Content::Map(entries) => {
                for (key, node) in twins(entries) {
                    self.entry(key, "*", node).problem("the key stands in this map already");
                }
                Some(entries)
            }
            Content::Scalar(_) | Content::List(_) => {
                self.unexpected(expected);
                None
            }
        }
    }

    fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// The place of an entry is its key's line.
    fn entry(&self, key: &'a Key, name: &str, node: &'a Node) -> Self {
        let path = match self.style {
            PathStyle::Dotted if self.path.is_empty() => key.name.clone(),
            PathStyle::Dotted => format!("{}.{}", self.path, key.name),
            PathStyle::Pointer => format!("{}/{}", self.path, key.name.replace('~', "~0").replace('/', "~1")),
        };
        self.child(path, self.place_of(name), key.line.or(node.line), node)
    }
}

/// A map of settings. The known ones are those that are asked for; [`Settings::finish`] reports the rest.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    at: Cursor<'a>,
    entries: &'a [(Key, Node)],
    known: BTreeSet<&'static str>,
}

impl<'a> Settings<'a> {
    /// The setting, also where it is null.
    pub(crate) fn nullable(&mut self, name: &'static str) -> Option<Cursor<'a>> {
        self.known.insert(name);
        if self.at.style == PathStyle::Dotted {
            self.at.report.asked.borrow_mut().insert(self.at.place_of(name));
        }
        let (key, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        Some(self.at.entry(key, name, node))
    }

    /// The setting, where it is there and not null.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Cursor<'a>> {
        self.nullable(name).filter(|setting| !setting.is_null())
    }

    /// The setting; its absence is a problem.
    pub(crate) fn required(&mut self, name: &'static str, expected: &str) -> Option<Cursor<'a>> {
        let setting = self.optional(name);
        if setting.is_none() {
            self.at.problem(format!("`{name}` is missing: expected {expected}"));
        }
        setting
    }

    /// Reports each key that was never asked for.
    pub(crate) fn finish(self) {
        for (key, node) in self.entries {
            if !self.known.contains(key.name.as_str()) {
                self.at.entry(key, "*", node).problem(unknown("key", &key.name, self.known.iter().copied()));
            }
        }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// That `what` is unknown, the name it may have been meant for, and those that exist.
fn unknown<'n>(what: &str, found: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    let known = listed(names.clone());
    match nearest(found, names) {
        Some(near) => format!("unknown {what}, did you mean `{near}`? Expected one of {known}"),
        None => format!("unknown {what}; expected one of {known}"),
    }
}

/// The one of `names` that `found` was probably meant to be.
fn nearest<'n>(found: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let found = found.to_lowercase();
    let (distance, name) = names.map(|name| (distance(&found, &name.to_lowercase()), name)).min()?;
    (distance <= name.chars().count().max(3) / 3).then_some(name)
}

/// The optimal string alignment distance: how many insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let names = || ["table", "schema", "dedupe_window"].into_iter();
        assert_eq!(nearest("shcema", names()), Some("schema"));
        assert_eq!(nearest("DedupWindow", names()), Some("dedupe_window"));
        assert_eq!(nearest("colour", names()), None);
        assert_eq!(nearest("colour", std::iter::empty()), None);
    }
}
