//! An event's JSON with what its stream masks masked in it: for `extra`, raw tables and dead letters.

use std::{borrow::Cow, fmt, sync::Arc};

use catalog::{MaskTree, Stream};
use event::Message;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::mask::{self, MaskKey, Masked};

/// Masks payloads of one stream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PayloadMask {
    tree: Arc<MaskTree>,
    key: MaskKey,
}

impl PayloadMask {
    /// The attribute of a message whose payload was masked: a dead letter's, that is sent again.
    pub const ATTRIBUTE: &'static str = "pipas-masked";

    /// Whether the payload of a message was perhaps masked before.
    pub fn is_on(message: &Message) -> bool {
        message.attribute(Self::ATTRIBUTE) == Some("true")
    }

    /// What the tables of `stream` mask together; `None`: nothing, and payloads are kept as they were received.
    pub fn of(stream: &Stream, key: &MaskKey) -> Option<Self> {
        Self::new(stream.payload_mask(), key)
    }

    pub(crate) fn new(tree: Arc<MaskTree>, key: &MaskKey) -> Option<Self> {
        (!tree.is_empty()).then(|| Self { tree, key: key.clone() })
    }

    pub(crate) fn tree(&self) -> &MaskTree {
        &self.tree
    }

    /// The event `json` with its masked values masked; the rest is as it is written, but for white space. What is no JSON
    /// cannot be masked, and nothing of it is kept.
    pub fn payload(&self, json: &[u8], is_masked: bool) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(json) else { return Vec::new() };
        let mut out = Vec::with_capacity(json.len());
        if self.write(&self.tree, text, is_masked, &mut out).is_err() {
            out.clear();
        }
        out
    }

    /// Appends the value `json`, which stands at `node`.
    pub(crate) fn write(
        &self,
        node: &MaskTree,
        json: &str,
        is_masked: bool,
        out: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Place { mask: self, node, is_masked, arrays: 0, out }.deserialize(&mut deserializer)?;
        deserializer.end()
    }
}

/// Copies one value, masked by its node of the tree.
struct Place<'m, 'o> {
    mask: &'m PayloadMask,
    node: &'m MaskTree,
    is_masked: bool,
    /// Arrays around the value since the last name.
    arrays: usize,
    out: &'o mut Vec<u8>,
}

/// Arrays inside arrays at most: deeper ones are masked as a whole.
const MAX_ARRAYS: usize = 16;

impl Place<'_, '_> {
    fn inner<'s>(&'s mut self, node: &'s MaskTree) -> Place<'s, 's> {
        Place { mask: self.mask, node, is_masked: self.is_masked, arrays: 0, out: self.out }
    }

    fn null(self) {
        self.out.extend_from_slice(b"null");
    }

    /// A scalar. Where parts of a value are masked, and it has no parts, it may be any of them.
    fn scalar(self, text: &str) {
        let Some(action) = self.node.action() else { return self.null() };
        match mask::apply(action, text, &self.mask.key, self.is_masked) {
            Masked::Text(text) => put_string(self.out, &text),
            Masked::Null | Masked::Unfit => self.null(),
        }
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
        match json.as_bytes().first() {
            Some(b'{' | b'[') => {
                serde_json::Deserializer::from_str(json).deserialize_any(self).map_err(D::Error::custom)
            }
            Some(b'"') => {
                let text: Cow<'_, str> = match json.contains('\\') {
                    false => Cow::Borrowed(&json[1..json.len() - 1]),
                    // Half a character is no text; it is not kept.
                    true => match serde_json::from_str::<String>(json) {
                        Ok(text) => Cow::Owned(text),
                        Err(_) => {
                            self.null();
                            return Ok(());
                        }
                    },
                };
                self.scalar(&text);
                Ok(())
            }
            Some(b'n') | None => {
                self.null();
                Ok(())
            }
            Some(_) => {
                self.scalar(json);
                Ok(())
            }
        }
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        if self.node.action().is_some() {
            // A whole object has no text to hash.
            while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            self.null();
            return Ok(());
        }
        let node = self.node;
        self.out.push(b'{');
        let mut is_first = true;
        while let Some(key) = access.next_key::<Cow<'de, str>>()? {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            put_string(self.out, &key);
            self.out.push(b':');
            match node.child(&key) {
                Some(child) => access.next_value_seed(self.inner(child))?,
                None => self.out.extend_from_slice(access.next_value::<&'de RawValue>()?.get().as_bytes()),
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        let (node, arrays) = (self.node, self.arrays + 1);
        if arrays > MAX_ARRAYS {
            while access.next_element::<IgnoredAny>()?.is_some() {}
            self.null();
            return Ok(());
        }
        self.out.push(b'[');
        let mut is_first = true;
        while let Some(element) = access.next_element::<&'de RawValue>()? {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            let mut deserializer = serde_json::Deserializer::from_str(element.get());
            let mut inner = self.inner(node);
            inner.arrays = arrays;
            inner.deserialize(&mut deserializer).map_err(A::Error::custom)?;
        }
        self.out.push(b']');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use catalog::Mask;
    use proptest::prelude::*;

    use super::*;

    fn mask() -> PayloadMask {
        let mut tree = MaskTree::default();
        for (path, mask) in [
            (&["user", "email"][..], Mask::Hash),
            (&["user", "ip"], Mask::TruncateIp),
            (&["items", "note"], Mask::Drop),
            (&["name"], Mask::Hash),
        ] {
            tree.insert(&path.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), mask);
        }
        PayloadMask::new(Arc::new(tree), &MaskKey::none()).expect("a mask")
    }

    fn masked(json: &str) -> String {
        String::from_utf8(mask().payload(json.as_bytes(), false)).expect("UTF-8")
    }

    #[test]
    fn masked_values_are_masked_wherever_they_stand() {
        let zeros = "0".repeat(64);
        for (json, expected) in [
            (r#" {"a" : 1.0e2, "b": [ 1,2 ] } "#, r#"{"a":1.0e2,"b":[ 1,2 ]}"#.to_owned()),
            (
                r#"{"name": "Bob", "NAME": 7, "Name": null}"#,
                format!(r#"{{"name":"{zeros}","NAME":"{zeros}","Name":null}}"#),
            ),
            (
                r#"{"user": {"em\u0061il": "b@x", "ip": "10.1.2.3"}}"#,
                format!(r#"{{"user":{{"email":"{zeros}","ip":"10.1.2.0"}}}}"#),
            ),
            (r#"{"user": [{"ip": "nowhere"}, {"x": 1}]}"#, r#"{"user":[{"ip":null},{"x":1}]}"#.to_owned()),
            (r#"{"items": [{"note": {"deep": "secret"}}]}"#, r#"{"items":[{"note":null}]}"#.to_owned()),
            (
                &format!(r#"{{"user": {}"b@x"{}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
                format!(r#"{{"user":{}null{}}}"#, "[".repeat(16), "]".repeat(16)),
            ),
            // A text where an object was expected may be what is masked.
            (r#"{"user": "b@x"}"#, r#"{"user":null}"#.to_owned()),
            (r#"{"name": {"first": "Bob"}}"#, r#"{"name":null}"#.to_owned()),
        ] {
            assert_eq!(masked(json), expected, "{json}");
        }
    }

    #[test]
    fn what_cannot_be_masked_is_not_kept() {
        for broken in ["", "{", r#"{"name": "Bob""#, r#"{"name": "Bob"} trailing"#, "\u{1}"] {
            assert_eq!(masked(broken), "", "{broken}");
        }
        assert_eq!(mask().payload(b"{\"name\": \"\xff\"}", false), b"");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let name = proptest::sample::select(vec!["user", "USER", "email", "ip", "items", "note", "name", "other", "x"]);
        let leaf = prop_oneof![
            Just(serde_json::json!("secret")),
            Just(serde_json::json!(null)),
            Just(serde_json::json!(12345)),
            Just(serde_json::json!(true)),
        ];
        leaf.prop_recursive(4, 40, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                proptest::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same by a tree of values.
    fn naive(tree: &MaskTree, value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Array(items) => items.iter().map(|item| naive(tree, item)).collect(),
            Value::Object(_) if tree.action().is_some() => Value::Null,
            Value::Object(entries) => {
                let entry = |(name, value): (&String, &Value)| {
                    let value = tree.child(name).map_or_else(|| value.clone(), |child| naive(child, value));
                    (name.clone(), value)
                };
                Value::Object(entries.iter().map(entry).collect())
            }
            Value::Null => Value::Null,
            scalar => match tree.action() {
                Some(Mask::Hash) => "0".repeat(64).into(),
                Some(Mask::TruncateIp | Mask::Drop) | None => {
                    let _ = scalar;
                    Value::Null
                }
            },
        }
    }

    proptest! {
        #[test]
        fn any_event_is_masked_as_by_a_tree(value in any_json()) {
            let mask = mask();
            let value = serde_json::json!({ "user": value, "name": "x" });
            let out = mask.payload(value.to_string().as_bytes(), false);
            let found: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            prop_assert_eq!(found, naive(&mask.tree, &value));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = mask().payload(&bytes, true);
        }
    }
}
