//! JSON Patch (RFC 6902).

use anyhow::{Context, bail, ensure};
use jaq_json::{Map, Rc, Val};

/// One operation of a patch.
pub(super) struct Operation {
    number: usize,
    kind: Kind,
    path: Vec<String>,
}

enum Kind {
    Add(Val),
    Remove,
    Replace(Val),
    Move(Vec<String>),
    Copy(Vec<String>),
    Test(Val),
}

/// Reads a patch.
pub(super) fn read(patch: &[Val]) -> anyhow::Result<Vec<Operation>> {
    let operation = |(at, value): (usize, &Val)| {
        let number = at + 1;
        operation(number, value).with_context(|| format!("operation {number}"))
    };
    patch.iter().enumerate().map(operation).collect()
}

fn operation(number: usize, value: &Val) -> anyhow::Result<Operation> {
    let Val::Obj(members) = value else { bail!("expected an object with `op` and `path`, found {value}") };
    let member = |name: &str| members.get(&key(name));
    let text = |name: &str| match member(name) {
        Some(value) => text_of(value).with_context(|| format!("`{name}`: expected a string, found {value}")),
        None => bail!("`{name}` is missing"),
    };
    let path = |name: &str| pointer(&text(name)?).with_context(|| format!("`{name}`"));
    let value = || member("value").cloned().context("`value` is missing");
    let kind = match text("op")?.as_str() {
        "add" => Kind::Add(value()?),
        "remove" => Kind::Remove,
        "replace" => Kind::Replace(value()?),
        "move" => Kind::Move(path("from")?),
        "copy" => Kind::Copy(path("from")?),
        "test" => Kind::Test(value()?),
        other => bail!("`op`: expected add, remove, replace, move, copy or test, found {other}"),
    };
    Ok(Operation { number, kind, path: path("path")? })
}

impl Operation {
    /// The document after the operation.
    pub(super) fn apply(&self, document: Val) -> anyhow::Result<Val> {
        self.applied(document).with_context(|| format!("operation {}", self.number))
    }

    fn applied(&self, mut document: Val) -> anyhow::Result<Val> {
        match &self.kind {
            Kind::Add(value) => add(&mut document, &self.path, value.clone())?,
            Kind::Remove => drop(remove(&mut document, &self.path)?),
            Kind::Replace(value) => *find_mut(&mut document, &self.path)? = value.clone(),
            Kind::Copy(from) => {
                let value = find_mut(&mut document, from)?.clone();
                add(&mut document, &self.path, value)?;
            }
            Kind::Move(from) => {
                let is_inside = self.path.len() > from.len() && self.path.starts_with(from);
                ensure!(!is_inside, "a value cannot be moved into itself");
                let value = remove(&mut document, from)?;
                add(&mut document, &self.path, value)?;
            }
            Kind::Test(value) => {
                let found = find_mut(&mut document, &self.path)?;
                ensure!(found == value, "expected {value} at {}, found {found}", shown(&self.path));
            }
        }
        Ok(document)
    }
}

fn add(document: &mut Val, path: &[String], value: Val) -> anyhow::Result<()> {
    let Some((last, parent)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match find_mut(document, parent)? {
        Val::Obj(members) => drop(Rc::make_mut(members).insert(key(last), value)),
        Val::Arr(items) => {
            let items = Rc::make_mut(items);
            let at = if last == "-" { items.len() } else { index(last, items.len() + 1, path)? };
            items.insert(at, value);
        }
        _ => bail!("there is no object or array at {}", shown(parent)),
    }
    Ok(())
}

fn remove(document: &mut Val, path: &[String]) -> anyhow::Result<Val> {
    let Some((last, parent)) = path.split_last() else { return Ok(std::mem::take(document)) };
    match find_mut(document, parent)? {
        Val::Obj(members) => {
            let members: &mut Map = Rc::make_mut(members);
            members.shift_remove(&key(last)).with_context(|| nothing(path))
        }
        Val::Arr(items) => {
            let items = Rc::make_mut(items);
            let at = index(last, items.len(), path)?;
            Ok(items.remove(at))
        }
        _ => bail!("{}", nothing(path)),
    }
}

fn find_mut<'a>(document: &'a mut Val, path: &[String]) -> anyhow::Result<&'a mut Val> {
    let mut found = document;
    for (depth, token) in path.iter().enumerate() {
        let here = &path[..=depth];
        found = match found {
            Val::Obj(members) => Rc::make_mut(members).get_mut(&key(token)).with_context(|| nothing(here))?,
            Val::Arr(items) => {
                let items = Rc::make_mut(items);
                let at = index(token, items.len(), here)?;
                items.get_mut(at).with_context(|| nothing(here))?
            }
            _ => bail!("{}", nothing(here)),
        };
    }
    Ok(found)
}

/// The index that a token names, below `end`.
fn index(token: &str, end: usize, path: &[String]) -> anyhow::Result<usize> {
    let is_index = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    let at = token.parse().ok().filter(|at: &usize| is_index && *at < end);
    at.with_context(|| nothing(path))
}

/// The tokens of a JSON pointer (RFC 6901).
fn pointer(text: &str) -> anyhow::Result<Vec<String>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let tokens = text.strip_prefix('/').with_context(|| format!("expected a JSON pointer, found {text}"))?;
    Ok(tokens.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

fn shown(path: &[String]) -> String {
    match path {
        [] => "the top".to_owned(),
        _ => path.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1"))).collect(),
    }
}

fn nothing(path: &[String]) -> String {
    format!("there is nothing at {}", shown(path))
}

fn key(name: &str) -> Val {
    Val::utf8_str(name.to_owned())
}

fn text_of(value: &Val) -> Option<String> {
    match value {
        Val::TStr(text) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jaq_json::read::parse_single;

    use super::*;

    fn patched(document: &str, patch: &str) -> Result<String, String> {
        let Ok(Val::Arr(patch)) = parse_single(patch.as_bytes()) else { panic!("an array: {patch}") };
        let document = parse_single(document.as_bytes()).expect("JSON");
        let applied = read(&patch).and_then(|patch| patch.iter().try_fold(document, |each, step| step.apply(each)));
        applied.map(|value| value.to_string()).map_err(|error| format!("{error:#}"))
    }

    /// The examples of RFC 6902, appendix A.
    #[test]
    fn the_examples_of_the_standard() {
        for (document, patch, expected) in [
            (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz","value":"qux"}]"#, r#"{"foo":"bar","baz":"qux"}"#),
            (
                r#"{"foo":["bar","baz"]}"#,
                r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
                r#"{"foo":["bar","qux","baz"]}"#,
            ),
            (r#"{"baz":"qux","foo":"bar"}"#, r#"[{"op":"remove","path":"/baz"}]"#, r#"{"foo":"bar"}"#),
            (r#"{"foo":["bar","qux","baz"]}"#, r#"[{"op":"remove","path":"/foo/1"}]"#, r#"{"foo":["bar","baz"]}"#),
            (
                r#"{"baz":"qux","foo":"bar"}"#,
                r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
                r#"{"baz":"boo","foo":"bar"}"#,
            ),
            (
                r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
                r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
                r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
            ),
            (
                r#"{"foo":["all","grass","cows","eat"]}"#,
                r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
                r#"{"foo":["all","cows","eat","grass"]}"#,
            ),
            (
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
                r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            ),
            (
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
                r#"{"foo":"bar","child":{"grandchild":{}}}"#,
            ),
            (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":10}]"#, r#"{"/":9,"~1":10}"#),
            (
                r#"{"foo":["bar"]}"#,
                r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
                r#"{"foo":["bar",["abc","def"]]}"#,
            ),
            (r#"{"a":1}"#, r#"[{"op":"copy","from":"/a","path":"/b"}]"#, r#"{"a":1,"b":1}"#),
        ] {
            assert_eq!(patched(document, patch).as_deref(), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_told_with_its_place() {
        for (document, patch, said) in [
            (
                r#"{"baz":"qux"}"#,
                r#"[{"op":"test","path":"/baz","value":"bar"}]"#,
                r#"expected "bar" at /baz, found "qux""#,
            ),
            (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz/bat","value":1}]"#, "there is nothing at /baz"),
            (r#"{"foo":[1]}"#, r#"[{"op":"remove","path":"/foo/1"}]"#, "there is nothing at /foo/1"),
            (r#"{"foo":[1]}"#, r#"[{"op":"replace","path":"/foo/00","value":1}]"#, "there is nothing at /foo/00"),
            (r#"{"a":{}}"#, r#"[{"op":"move","from":"/a","path":"/a/b"}]"#, "a value cannot be moved into itself"),
            ("{}", r#"[{"op":"spam","path":""}]"#, "operation 1: `op`: expected add"),
            ("{}", r#"[{"op":"add","path":"a","value":1}]"#, "`path`: expected a JSON pointer, found a"),
            ("{}", r#"[{"op":"add","path":"/a"}]"#, "`value` is missing"),
            ("{}", "[7]", "expected an object with `op` and `path`, found 7"),
        ] {
            let error = patched(document, patch).expect_err(patch);
            assert!(error.contains(said), "{patch}: {error}");
        }
    }
}
