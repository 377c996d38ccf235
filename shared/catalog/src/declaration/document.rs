use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// A value of a YAML or JSON document, with the line that it stands on.
#[derive(Debug)]
pub(crate) struct Node {
    /// From 1; `None` where the parser tells none.
    pub(crate) line: Option<u64>,
    pub(crate) content: Content,
}

/// What stands at a [`Node`]. Maps keep their order.
#[derive(Debug)]
pub(crate) enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of a map's entry.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) line: Option<u64>,
}

/// Why a document cannot be read at all.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) line: Option<u64>,
    pub(crate) detail: String,
}

impl Node {
    pub(crate) fn from_yaml(text: &str) -> Result<Self, SyntaxError> {
        use serde_saphyr::{Error as YamlError, options::DuplicateKeyPolicy};
        let parse = |duplicate_keys: DuplicateKeyPolicy| -> Result<Self, YamlError> {
            let options = serde_saphyr::options! {
                strict_booleans: true,
                reject_unsupported_tags: true,
                with_snippet: false,
                duplicate_keys: duplicate_keys,
            };
            serde_saphyr::from_str_with_options(text, options)
        };
        let refused = |error: &YamlError| {
            let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
            let detail = match error {
                YamlError::DuplicateMappingKey { key: Some(key), .. } => {
                    format!("the key `{key}` stands twice in one map")
                }
                _ => format!("no valid YAML: {error}"),
            };
            SyntaxError { line, detail }
        };
        match parse(DuplicateKeyPolicy::Error) {
            // One that ends the reading would hide what else is wrong, so keys that stand twice are kept and reported later.
            Err(error @ YamlError::DuplicateMappingKey { .. }) => {
                let node = parse(DuplicateKeyPolicy::LastWins).map_err(|error| refused(&error))?;
                if node.has_twins() { Ok(node) } else { Err(refused(&error)) }
            }
            parsed => parsed.map_err(|error| refused(&error)),
        }
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, SyntaxError> {
        serde_json::from_str::<Value>(text).map(Self::from_value).map_err(|error| {
            let line = u64::try_from(error.line()).ok().filter(|line| *line > 0);
            SyntaxError { line, detail: format!("no valid JSON: {error}") }
        })
    }

    fn from_value(value: Value) -> Self {
        let content = match value {
            Value::Array(values) => Content::List(values.into_iter().map(Self::from_value).collect()),
            Value::Object(entries) => {
                let entry = |(name, value)| (Key { name, line: None }, Self::from_value(value));
                Content::Map(entries.into_iter().map(entry).collect())
            }
            scalar => Content::Scalar(scalar),
        };
        Self { line: None, content }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }

    fn has_twins(&self) -> bool {
        match &self.content {
            Content::Scalar(_) => false,
            Content::List(items) => items.iter().any(Self::has_twins),
            Content::Map(entries) => {
                twins(entries).next().is_some() || entries.iter().any(|(_, node)| node.has_twins())
            }
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(scalar) => scalar.clone(),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), node.to_value())).collect())
            }
        }
    }

    /// What stands here, as a message says it.
    pub(crate) fn found(&self) -> String {
        match &self.content {
            Content::Scalar(Value::Null) => "nothing".into(),
            Content::Scalar(Value::String(text)) if text.is_empty() => "an empty string".into(),
            Content::Scalar(Value::String(text)) => format!("`{text}`"),
            Content::Scalar(scalar) => {
                format!("{} {scalar}", if scalar.is_boolean() { "the boolean" } else { "the number" })
            }
            Content::List(_) => "a list".into(),
            Content::Map(_) => "a map".into(),
        }
    }
}

/// The entries whose key stands earlier in the same map already.
pub(crate) fn twins(entries: &[(Key, Node)]) -> impl Iterator<Item = &(Key, Node)> {
    let is_twin = |at: usize| entries[..at].iter().any(|(earlier, _)| earlier.name == entries[at].0.name);
    (0..entries.len()).filter(move |at| is_twin(*at)).map(|at| &entries[at])
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = <serde_saphyr::Spanned<Content>>::deserialize(deserializer)?;
        Ok(Self { line: known_line(&spanned), content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a map")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Content, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<serde_saphyr::Spanned<String>>()? {
            let line = known_line(&key);
            entries.push((Key { name: key.value, line }, access.next_value()?));
        }
        Ok(Content::Map(entries))
    }
}

fn known_line<T>(spanned: &serde_saphyr::Spanned<T>) -> Option<u64> {
    Some(spanned.referenced.line()).filter(|line| *line > 0)
}
