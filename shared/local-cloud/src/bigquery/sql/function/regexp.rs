//! Regular expressions: RE2's, read by the `regex` crate.

use hashbrown::HashMap;
use parking_lot::Mutex;
use regex::Regex;

use super::{Bound, Call, SqlError, Type, Value};
use crate::bigquery::sql::scalar::Scalar;

const S: Type = Type::String;
const I: Type = Type::Int64;

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    if !call.name.starts_with("REGEXP_") {
        return None;
    }
    if call.starts_with(&Type::Bytes) {
        return Some(Err(SqlError::not_implemented(format_args!("FUNCTION {} of BYTES", call.name))));
    }
    if let Some(Err(message)) = call.text(1).map(|pattern| compile(&pattern)) {
        return Some(Err(SqlError::invalid(message)));
    }
    let types = [S, S, I, I];
    let given = &types[..call.args.len().min(4)];
    Some(match (call.name.as_str(), call.args.len()) {
        ("REGEXP_CONTAINS", 2) => {
            let cache = Cache::default();
            let function = Scalar::new(call.name.clone(), vec![S, S], Type::Bool, move |args| {
                Ok(Value::Bool(cache.of(args[1].str())?.is_match(args[0].str())))
            });
            // A literal was compiled above.
            let function = if call.text(1).is_some() { function.total() } else { function };
            call.apply(function, &[S, S], Type::Bool)
        }
        ("REGEXP_EXTRACT" | "REGEXP_SUBSTR", 2..=4) => {
            let cache = Cache::default();
            call.strict(given, S, move |args| {
                let regex = cache.of(args[1].str())?;
                let group = group(&regex)?;
                let Some(start) = start(args)? else { return Ok(Value::Null) };
                let found = regex.captures_iter(&args[0].str()[start..]).nth(occurrence(args)?);
                let found = found.and_then(|captures| captures.get(group).map(|m| m.as_str().to_owned()));
                Ok(found.map_or(Value::Null, Value::string))
            })
        }
        ("REGEXP_EXTRACT_ALL", 2) => {
            let cache = Cache::default();
            call.strict(&[S, S], S.array(), move |args| {
                let regex = cache.of(args[1].str())?;
                let group = group(&regex)?;
                let found = regex.captures_iter(args[0].str());
                Ok(Value::Array(found.map(|c| Value::string(c.get(group).map_or("", |m| m.as_str()))).collect()))
            })
        }
        ("REGEXP_INSTR", 2..=4) => {
            let cache = Cache::default();
            call.strict(given, I, move |args| {
                let regex = cache.of(args[1].str())?;
                let group = group(&regex)?;
                let Some(start) = start(args)? else { return Ok(Value::Int(0)) };
                let text = args[0].str();
                let found = regex.captures_iter(&text[start..]).nth(occurrence(args)?);
                let at = found.and_then(|captures| captures.get(group).map(|m| m.start() + start));
                let position = at.map_or(0, |at| text[..at].chars().count() + 1);
                Ok(Value::Int(i64::try_from(position).unwrap_or(i64::MAX)))
            })
        }
        ("REGEXP_REPLACE", 3) => {
            let cache = Cache::default();
            call.strict(&[S, S, S], S, move |args| {
                let regex = cache.of(args[1].str())?;
                let replacement = replacement(args[2].str(), &regex)?;
                Ok(Value::string(regex.replace_all(args[0].str(), replacement.as_str())))
            })
        }
        _ => return None,
    })
}

/// The expressions that were compiled.
#[derive(Default)]
struct Cache(Mutex<HashMap<String, Regex>>);

impl Cache {
    fn of(&self, pattern: &str) -> Result<Regex, String> {
        let mut known = self.0.lock();
        if let Some(regex) = known.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = compile(pattern)?;
        if known.len() > 100 {
            known.clear();
        }
        known.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&ascii_classes(pattern)).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("Cannot parse regular expression: {last}: {pattern}")
    })
}

/// In RE2 `\d`, `\s`, `\w` and `\b` know ASCII alone, and a bracket inside brackets is a character.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('s') => out.push_str(r"[\t\n\f\r ]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
                Some('B') if !in_class => out.push_str(r"(?-u:\B)"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if chars.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str(r"\["),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// The group that is extracted: the only one, or the whole match.
fn group(regex: &Regex) -> Result<usize, String> {
    match regex.captures_len() {
        1 => Ok(0),
        2 => Ok(1),
        _ => Err(format!(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group: {}",
            regex.as_str()
        )),
    }
}

/// Where the search starts, in bytes; `None` past the end.
fn start(args: &[Value<'_>]) -> Result<Option<usize>, String> {
    let position = args.get(2).map_or(1, Value::int);
    if position < 1 {
        return Err(format!("Invalid position: {position}; it must be positive"));
    }
    let text = args[0].str();
    let skip = usize::try_from(position - 1).unwrap_or(usize::MAX);
    Ok(text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(skip))
}

fn occurrence(args: &[Value<'_>]) -> Result<usize, String> {
    let occurrence = args.get(3).map_or(1, Value::int);
    usize::try_from(occurrence - 1).map_err(|_| format!("Invalid occurrence: {occurrence}; it must be positive"))
}

/// `\1` of GoogleSQL as `${1}` of the crate.
fn replacement(text: &str, regex: &Regex) -> Result<String, String> {
    let (mut out, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some(digit @ '0'..='9') => {
                    let number = usize::from(u8::try_from(digit).unwrap_or(b'0') - b'0');
                    if number >= regex.captures_len() {
                        return Err(format!("Invalid REGEXP_REPLACE pattern: it refers to group {number}"));
                    }
                    out.push_str(&format!("${{{number}}}"));
                }
                _ => {
                    return Err(
                        "Invalid REGEXP_REPLACE pattern: a backslash must be followed by a digit or a backslash".into(),
                    );
                }
            },
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii() {
        assert_eq!(ascii_classes(r"\d+[\d.[x]\b"), r"[0-9]+[[0-9].\[x](?-u:\b)");
        assert!(!compile(r"^\d$").expect("compiles").is_match("٣"));
        assert!(compile(r"^[[:alpha:]_]+$").expect("compiles").is_match("ab_"));
        assert!(compile("(").is_err());
    }
}
