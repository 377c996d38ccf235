//! The one scan of an event's JSON that finds what its stream asks of it: ids, the ordering key, what the rules look at.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

use event::Rejection;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{ContentHash, Delivery, JsonPointer, Malformed, Place, Stream, When, check};

/// What one scan of an event must find: made once a stream, from its pointers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Sorted; the place of a pointer here is its slot.
    pointers: Arc<[JsonPointer]>,
    /// The pointers as a tree, the root first.
    nodes: Arc<[Node]>,
}

/// What a scan found.
#[derive(Debug)]
pub struct Probed<'json> {
    pointers: Arc<[JsonPointer]>,
    found: Vec<Option<&'json RawValue>>,
    json: &'json str,
}

/// A reference token that some pointer shares with others.
#[derive(Debug, Default)]
struct Node {
    /// The pointer from the root to here.
    pointer: String,
    /// The slot of the pointer that ends here.
    slot: Option<usize>,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    token: String,
    /// The token as an index of an array, where it is one.
    index: Option<usize>,
    node: usize,
}

impl Probe {
    /// A probe for the pointers of `stream`: ids, types, ordering key, filter, rules, sequences, checks, what columns are derived from.
    pub fn new(stream: &Stream) -> Self {
        let mut pointers: BTreeSet<JsonPointer> = BTreeSet::new();
        pointers.extend(stream.event_id.iter().chain(&stream.event_type).chain(&stream.ordering_key).cloned());
        if let Some(ContentHash::Of(hashed)) = &stream.content_hash {
            pointers.extend(hashed.iter().cloned());
        }
        if let Some(filter) = &stream.shaping.filter {
            collect(filter, &mut pointers);
        }
        for table in &stream.tables {
            pointers.extend(table.event_id.iter().cloned());
            if let Delivery::Upsert(upsert) = &table.delivery {
                pointers.extend(upsert.sequence.iter().cloned());
            }
            collect(&table.when, &mut pointers);
            pointers.extend(table.rules.derive.iter().filter_map(|derive| derive.source.pointer()).cloned());
            pointers.extend(table.rules.checks.iter().filter_map(|check| match &check.place {
                Place::Pointer(pointer) => Some(pointer.clone()),
                Place::Column(_) => None,
            }));
        }
        let mut nodes = vec![Node::default()];
        for (slot, pointer) in pointers.iter().enumerate() {
            let mut at = 0;
            for token in pointer.tokens() {
                at = match nodes[at].children.iter().find(|child| child.token == *token) {
                    Some(child) => child.node,
                    None => {
                        let node = nodes.len();
                        let escaped = token.replace('~', "~0").replace('/', "~1");
                        let pointer = format!("{}/{escaped}", nodes[at].pointer);
                        nodes[at].children.push(Child { token: token.clone(), index: array_index(token), node });
                        nodes.push(Node { pointer, ..Node::default() });
                        node
                    }
                };
            }
            nodes[at].slot = Some(slot);
        }
        Self { pointers: pointers.into_iter().collect(), nodes: nodes.into() }
    }

    /// Scans `json` once, building no tree. Refuses what is not one JSON object, as [`event::Reason::MalformedJson`].
    ///
    /// A field that a pointer leads to or through must be given once. RFC 8259 leaves open which of two values counts, and
    /// readers differ: `serde_json` keeps the last, BigQuery's JSON the first. An event is not routed by one of them and
    /// written by the other.
    pub fn scan<'json>(&self, json: &'json [u8]) -> Result<Probed<'json>, Rejection> {
        self.examine(json).map_err(Rejection::from)
    }

    /// [`Probe::scan`], telling the place of a fault.
    pub fn examine<'json>(&self, json: &'json [u8]) -> Result<Probed<'json>, Malformed> {
        let text = std::str::from_utf8(json)
            .map_err(|error| Malformed::at(json, error.valid_up_to(), "expected UTF-8, found other bytes"))?;
        expect_object(text)?;
        let mut scan =
            Scan { found: vec![None; self.pointers.len()], met: vec![false; self.nodes.len()], met_twice: None };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let scanned = deserializer
            .deserialize_map(Descent { nodes: &self.nodes, at: 0, scan: &mut scan })
            .and_then(|()| deserializer.end());
        match (scanned, scan.met_twice) {
            (Ok(()), _) => Ok(Probed { pointers: self.pointers.clone(), found: scan.found, json: text }),
            (Err(error), Some(node)) => Err(Malformed::given_twice(&error, &self.nodes[node].pointer)),
            (Err(error), None) => Err(Malformed::from_parser(&error)),
        }
    }
}

/// Refuses what does not even begin as an object, by what it is.
fn expect_object(text: &str) -> Result<(), Malformed> {
    let json = text.trim_start_matches([' ', '\t', '\n', '\r']);
    let found = match json.chars().next() {
        Some('{') => return Ok(()),
        None => "nothing".to_owned(),
        Some('[') => "an array".to_owned(),
        Some('"') => "a string".to_owned(),
        Some('-' | '0'..='9') => "a number".to_owned(),
        Some('\u{feff}') => "a byte order mark".to_owned(),
        Some(_) if ["true", "false", "null"].iter().any(|literal| json.starts_with(literal)) => "a literal".to_owned(),
        Some(other) => format!("`{}`", other.escape_debug()),
    };
    Err(Malformed::at(text.as_bytes(), text.len() - json.len(), format!("expected one JSON object, found {found}")))
}

fn collect(when: &When, pointers: &mut BTreeSet<JsonPointer>) {
    match when {
        When::Always | When::Attribute(_) => {}
        When::Has(has) => pointers.extend(has.iter().cloned()),
        When::Lacks(lacks) => pointers.extend(lacks.iter().cloned()),
        When::Equals(equals) => pointers.extend(equals.keys().cloned()),
        When::All(rules) | When::Any(rules) => rules.iter().for_each(|rule| collect(rule, pointers)),
        When::Not(rule) => collect(rule, pointers),
    }
}

/// RFC 6901, section 4: digits without leading zeros.
fn array_index(token: &str) -> Option<usize> {
    let is_index = token == "0" || (token.bytes().all(|byte| byte.is_ascii_digit()) && !token.starts_with('0'));
    if is_index { token.parse().ok() } else { None }
}

impl<'json> Probed<'json> {
    /// The scalar at `pointer` (one of the stream's own), as text: strings unquoted, numbers as written; `None`: absent, null or no scalar.
    pub fn text(&self, pointer: &JsonPointer) -> Option<Cow<'json, str>> {
        check::text(self.raw(pointer)?)
    }

    /// Whether `pointer` (one of the stream's own) finds a value that is not null.
    pub fn has(&self, pointer: &JsonPointer) -> bool {
        self.raw(pointer).is_some_and(|raw| raw != "null")
    }

    /// The JSON text of the whole event, without white space around it.
    pub fn json(&self) -> &'json str {
        self.json.trim_ascii()
    }

    /// The JSON text of the value at `pointer`, one of the stream's own, as written.
    pub fn raw(&self, pointer: &JsonPointer) -> Option<&'json str> {
        let slot = self.pointers.binary_search(pointer).ok()?;
        self.found[slot].map(RawValue::get)
    }
}

/// What a JSON string says; `None` where it is no Unicode text (half a surrogate pair).
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    match raw.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
    }
}

/// What is known so far.
struct Scan<'json> {
    /// By slot.
    found: Vec<Option<&'json RawValue>>,
    /// By node: its field was given.
    met: Vec<bool>,
    /// The node whose field was given once more.
    met_twice: Option<usize>,
}

/// Reads the value at one node of the tree: takes down those that pointers end at, passes over what none leads to.
struct Descent<'scan, 'json> {
    nodes: &'scan [Node],
    at: usize,
    scan: &'scan mut Scan<'json>,
}

impl<'json> Descent<'_, 'json> {
    fn children(&self) -> &[Child] {
        &self.nodes[self.at].children
    }

    fn child(&mut self, node: usize) -> Descent<'_, 'json> {
        Descent { nodes: self.nodes, at: node, scan: self.scan }
    }
}

impl<'json> DeserializeSeed<'json> for Descent<'_, 'json> {
    type Value = ();

    fn deserialize<D: Deserializer<'json>>(self, deserializer: D) -> Result<(), D::Error> {
        let node = &self.nodes[self.at];
        let Some(slot) = node.slot else {
            return deserializer.deserialize_any(self);
        };
        let raw = <&'json RawValue>::deserialize(deserializer)?;
        self.scan.found[slot] = Some(raw);
        if node.children.is_empty() {
            return Ok(());
        }
        // One pointer ends inside another: the value is well-formed by now, and is looked into once more. What is wrong
        // in it stands in the scan; the place inside the value would be taken for one of the whole.
        serde_json::Deserializer::from_str(raw.get()).deserialize_any(self).map_err(|_| D::Error::custom("given twice"))
    }
}

impl<'json> Visitor<'json> for Descent<'_, 'json> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object")
    }

    fn visit_map<A: MapAccess<'json>>(mut self, mut access: A) -> Result<(), A::Error> {
        while let Some(child) = access.next_key_seed(KeyAmong(self.children()))? {
            match child {
                Some(node) => {
                    if std::mem::replace(&mut self.scan.met[node], true) {
                        self.scan.met_twice = Some(node);
                        return Err(A::Error::custom("given twice"));
                    }
                    access.next_value_seed(self.child(node))?;
                }
                None => {
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'json>>(mut self, mut access: A) -> Result<(), A::Error> {
        for at in 0.. {
            let node = self.children().iter().find(|child| child.index == Some(at)).map(|child| child.node);
            let more = match node {
                Some(node) => access.next_element_seed(self.child(node))?.is_some(),
                None => access.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a key, and which of the children it leads to.
struct KeyAmong<'scan>(&'scan [Child]);

impl<'json> DeserializeSeed<'json> for KeyAmong<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'json>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyAmong<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|child| child.token == key).map(|child| child.node))
    }
}
