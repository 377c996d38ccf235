use std::collections::{BTreeMap, BTreeSet};

use catalog::{Probe, Stream};
use event::{Bytes, Reason, Rejection};

use crate::{
    add::{Found, add},
    fields::Fields,
    flatten::flatten,
};

/// How many different missing values of a lookup are told.
const TOLD: usize = 100;

/// The most events of one document, and the most bytes of them: a document may say little and be carried along much.
const MAX_EVENTS: usize = 100_000;
const MAX_BYTES: usize = 64 << 20;

/// What a stream does to documents: made once a stream.
#[derive(Debug, Clone)]
pub struct Shape {
    stream: Stream,
    probe: Probe,
}

/// A document's events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shaped {
    /// The events, in the document's order; each is one JSON object.
    pub events: Vec<Bytes>,
    /// How many the filter left out.
    pub filtered: u64,
    /// What lookups did not find.
    pub missing: Missing,
}

/// What lookups did not find, by the lookup's name: how often, and the first hundred different values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing(pub BTreeMap<String, (u64, BTreeSet<String>)>);

impl Missing {
    fn add(&mut self, lookup: &str, value: String) {
        let (count, values) = self.0.entry(lookup.to_owned()).or_default();
        *count += 1;
        if values.len() < TOLD {
            values.insert(value);
        }
    }

    /// Takes over what `other` tells.
    pub fn merge(&mut self, other: Self) {
        for (lookup, (count, values)) in other.0 {
            let (known, told) = self.0.entry(lookup).or_default();
            *known += count;
            let room = TOLD.saturating_sub(told.len());
            told.extend(values.into_iter().take(room));
        }
    }
}

impl Shape {
    /// The shape of `stream`'s events; `None`: its documents are events as they are.
    pub fn new(stream: &Stream) -> Option<Self> {
        (!stream.shaping.is_none()).then(|| Self { stream: stream.clone(), probe: Probe::new(stream) })
    }

    /// The events of `document`, one JSON object. A filter that looks at attributes sees these of the message.
    ///
    /// Values are kept as they are written. A document of which only a filter is declared is its event byte for byte.
    pub fn events(&self, document: &Bytes, attributes: &BTreeMap<String, String>) -> Result<Shaped, Rejection> {
        let shaping = &self.stream.shaping;
        let mut shaped = Shaped::default();
        if shaping.flatten.is_empty() && shaping.lookups.is_empty() {
            return self.keep(document.clone(), attributes, &mut shaped).map(|_| shaped);
        }
        // Before anything is looked into: what is no JSON object is said to be none, with its place.
        let text = self.probe.scan(document)?.json();
        let mut parts = Vec::new();
        for rule in &shaping.flatten {
            parts.extend(flatten(rule, text, MAX_EVENTS - parts.len())?);
        }
        if shaping.flatten.is_empty() {
            let fields = Fields::of(text);
            parts.push(fields.map_err(|detail| Rejection::new(Reason::MalformedJson, detail))?);
        }
        let mut bytes = 0;
        for mut event in parts {
            let mut missing = Vec::new();
            let mut is_dropped = false;
            for lookup in &shaping.lookups {
                if let Found::Missing(value) = add(lookup, &mut event) {
                    missing.push((lookup.name.as_str(), value));
                    is_dropped |= !lookup.keeps_missing;
                }
            }
            let event = Bytes::from(event.into_json());
            bytes += event.len();
            if bytes > MAX_BYTES {
                return Err(too_large(format!("the events of a document hold at most {MAX_BYTES} bytes")));
            }
            let is_kept = !is_dropped && self.keep(event, attributes, &mut shaped)?;
            if is_kept || is_dropped {
                missing.into_iter().for_each(|(lookup, value)| shaped.missing.add(lookup, value));
            }
        }
        Ok(shaped)
    }

    /// Puts `event` among the events where the filter keeps it.
    fn keep(
        &self,
        event: Bytes,
        attributes: &BTreeMap<String, String>,
        shaped: &mut Shaped,
    ) -> Result<bool, Rejection> {
        let is_kept = match &self.stream.shaping.filter {
            Some(filter) => filter.holds(&self.probe.scan(&event)?, attributes),
            None => true,
        };
        if is_kept {
            shaped.events.push(event);
        } else {
            shaped.filtered += 1;
        }
        Ok(is_kept)
    }
}

pub(crate) fn too_large(detail: String) -> Rejection {
    Rejection::new(Reason::TooLarge, detail)
}
