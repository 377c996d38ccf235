//! Every key of `pipas.yaml`, described once: [`keys`]. `docs/catalog.md` and the JSON Schema for editors are made of it, and
//! a test compares it with what the code that reads a catalog asks for.

mod json_schema;
mod keys;
mod markdown;

pub use json_schema::json_schema;
pub use keys::keys;
pub use markdown::markdown;

use std::{collections::BTreeSet, path::Path};

/// A key of `pipas.yaml`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Where it stands: `*` for a name that the user gives, `[]` for an item of a list.
    pub path: &'static str,
    /// What stands there.
    pub kind: Kind,
    /// Whether it must be there, and what counts where it is not.
    pub presence: Presence,
    /// What it means.
    pub meaning: &'static str,
    /// An example, as YAML, without the key.
    pub example: &'static str,
}

/// What stands at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number above zero.
    Whole,
    /// A number above 0 and at most 1.
    Share,
    /// Any number.
    Number,
    /// A time such as `24h`.
    Duration,
    /// A JSON pointer to a value of an event.
    Pointer,
    /// A list of JSON pointers.
    Pointers,
    /// A string, a number or a boolean.
    Scalar,
    /// A list of those.
    Scalars,
    /// Any value.
    Any,
    /// A list of columns.
    Columns,
    /// `dataset.table`.
    TableName,
    /// The path of a file, from the catalog's folder.
    File,
    /// A text, or a list of texts.
    TextOrTexts,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A map of the settings whose paths continue this one.
    Settings,
    /// A map whose keys are names that the user gives; the values are described at the path's `.*`.
    Map,
    /// A list; the items are described at the path's `[]`.
    List,
    /// One of these.
    Either(&'static [Kind]),
    /// The same as at that path.
    Like(&'static str),
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It must, unless this other setting says `true`.
    RequiredUnless(&'static str),
    /// It need not; this counts where it is not.
    Default(&'static str),
}

impl Key {
    /// The last name of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Whether this is a setting of the map at `parent`.
    fn is_setting_of(&self, parent: &str) -> bool {
        let inside = if parent.is_empty() {
            Some(self.path)
        } else {
            self.path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('.'))
        };
        inside.is_some_and(|name| !name.contains('.') && !name.ends_with("[]") && name != "*")
    }
}

/// The paths of settings that reading the catalog in `file` asks for, whether it is good or not.
pub fn asked(file: &Path) -> BTreeSet<String> {
    crate::declaration::asked(file)
}

/// The path in [`keys`] of a place of a catalog: what is the same as at another path is described there.
pub fn described_at(place: &str) -> String {
    let mut parts = place.split('.').peekable();
    let mut path = String::new();
    while let Some(part) = parts.next() {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(part);
        if let Some(Key { kind: Kind::Like(same), .. }) = key(&path)
            && parts.peek().is_some()
        {
            path = (*same).to_owned();
        }
    }
    path
}

fn key(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.path == path)
}
