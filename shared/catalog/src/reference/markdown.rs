use std::fmt::Write;

use super::{Key, Kind, Presence, keys};

/// The reference of every key as Markdown: what `docs/catalog.md` holds between its markers.
pub fn markdown() -> String {
    let mut text = String::new();
    for key in keys().filter(|key| !key.path.ends_with("[]")) {
        // Writing to a string does not fail.
        let _ = entry(&mut text, key);
    }
    text
}

fn entry(text: &mut String, key: &Key) -> std::fmt::Result {
    writeln!(text, "### `{}`\n", key.path)?;
    writeln!(text, "{}\n", key.meaning)?;
    let presence = match key.presence {
        Presence::Required if key.path.ends_with('*') => String::new(),
        Presence::Required => "; required".to_owned(),
        Presence::RequiredUnless(other) => format!("; required, but with `{other}: true`"),
        Presence::Default(default) => format!("; default: {default}"),
    };
    writeln!(text, "Value: {}{presence}.", value(key.kind))?;
    if !key.example.is_empty() {
        let name = if key.name() == "*" { "NAME" } else { key.name() };
        writeln!(text, "Example: `{name}: {}`.", key.example)?;
    }
    writeln!(text)
}

fn value(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".to_owned(),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Whole => "a whole number above zero".to_owned(),
        Kind::Share => "a number above 0 and at most 1".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Duration => "a whole number and `s`, `m`, `h` or `d`".to_owned(),
        Kind::Pointer => "a JSON pointer (RFC 6901)".to_owned(),
        Kind::Pointers => "a list of JSON pointers (RFC 6901)".to_owned(),
        Kind::Scalar => "a string, a number or a boolean".to_owned(),
        Kind::Scalars => "a list of strings, numbers or booleans".to_owned(),
        Kind::Any => "any value but null".to_owned(),
        Kind::Columns => "a list of columns".to_owned(),
        Kind::TableName => "`dataset.table`".to_owned(),
        Kind::File => "the path of a file, from the catalog's folder".to_owned(),
        Kind::TextOrTexts => "a text, or a list of texts".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Settings => "a map of the settings below".to_owned(),
        Kind::Map => "a map of names that you give".to_owned(),
        Kind::List => "a list".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(|kind| value(*kind)).collect::<Vec<_>>().join("; or "),
        Kind::Like(path) => format!("the same as `{path}`"),
    }
}
