use std::collections::{BTreeMap, BTreeSet};

use catalog::{Probe, Stream};
use event::{Bytes, Reason, Rejection};

use crate::{
    add::{Found, add},
    faults::Faults,
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
    /// The parts that are no events. The others are.
    pub faults: Faults,
}

/// A document's events, those that are left out too: what a check tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// The events, in the document's order.
    pub parts: Vec<Part>,
    /// The parts that are no events.
    pub faults: Faults,
}

/// One event of a document, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The event, one JSON object.
    pub event: Bytes,
    /// The values that lookups did not find, by the lookup's name.
    pub missing: BTreeMap<String, String>,
    /// Why it is not published; `None`: it is.
    pub left_out: Option<LeftOut>,
}

impl From<Bytes> for Part {
    /// A document that is its own event, of which nothing was looked up.
    fn from(event: Bytes) -> Self {
        Self { event, missing: BTreeMap::new(), left_out: None }
    }
}

/// Why an event is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// The stream's filter does not keep it.
    Filter,
    /// This lookup does not find its value, and keeps no such event.
    Lookup(String),
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Filter => f.write_str("filter"),
            Self::Lookup(name) => write!(f, "lookup {name}"),
        }
    }
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
    /// Values are kept as they are written. A document of which only a filter is declared is its event byte for byte. An error is
    /// one of the whole document; a part that is no event is among the faults and holds up no other.
    pub fn events(&self, document: &Bytes, attributes: &BTreeMap<String, String>) -> Result<Shaped, Rejection> {
        let mut shaped = Shaped::default();
        shaped.faults = self.each(document, attributes, |Part { event, missing, left_out }| {
            match left_out {
                None => shaped.events.push(event),
                // What is left out is not missed.
                Some(LeftOut::Filter) => {
                    shaped.filtered += 1;
                    return;
                }
                Some(LeftOut::Lookup(_)) => {}
            }
            missing.into_iter().for_each(|(lookup, value)| shaped.missing.add(&lookup, value));
        })?;
        Ok(shaped)
    }

    /// The same, with the events that are left out.
    pub fn parts(&self, document: &Bytes, attributes: &BTreeMap<String, String>) -> Result<Parts, Rejection> {
        let mut parts = Vec::new();
        let faults = self.each(document, attributes, |part| parts.push(part))?;
        Ok(Parts { parts, faults })
    }

    /// Hands each event to `take`, and says what else there was.
    fn each(
        &self,
        document: &Bytes,
        attributes: &BTreeMap<String, String>,
        mut take: impl FnMut(Part),
    ) -> Result<Faults, Rejection> {
        let shaping = &self.stream.shaping;
        let mut faults = Faults::default();
        if shaping.flatten.is_empty() && shaping.lookups.is_empty() {
            let left_out = self.filtered(document, attributes)?;
            take(Part { left_out, ..Part::from(document.clone()) });
            return Ok(faults);
        }
        // Before anything is looked into: what is no JSON object is said to be none, with its place.
        let text = self.probe.scan(document)?.json();
        let mut events = Vec::new();
        for rule in &shaping.flatten {
            events.extend(flatten(rule, text, MAX_EVENTS - events.len(), &mut faults)?);
        }
        if shaping.flatten.is_empty() {
            let fields = Fields::of(text);
            events.push(fields.map_err(|detail| Rejection::new(Reason::MalformedJson, detail))?);
        }
        let mut bytes = 0;
        for mut event in events {
            let (mut missing, mut left_out) = (BTreeMap::new(), None);
            for lookup in &shaping.lookups {
                if let Found::Missing(value) = add(lookup, &mut event) {
                    missing.insert(lookup.name.clone(), value);
                    if !lookup.keeps_missing && left_out.is_none() {
                        left_out = Some(LeftOut::Lookup(lookup.name.clone()));
                    }
                }
            }
            let event = Bytes::from(event.into_json());
            bytes += event.len();
            if bytes > MAX_BYTES {
                return Err(too_large(format!("the events of a document hold at most {MAX_BYTES} bytes")));
            }
            if left_out.is_none() {
                left_out = match self.filtered(&event, attributes) {
                    Ok(left_out) => left_out,
                    Err(rejection) => {
                        faults.add(|| rejection);
                        continue;
                    }
                };
            }
            take(Part { event, missing, left_out });
        }
        Ok(faults)
    }

    /// Whether the filter leaves `event` out.
    fn filtered(&self, event: &Bytes, attributes: &BTreeMap<String, String>) -> Result<Option<LeftOut>, Rejection> {
        let is_kept = match &self.stream.shaping.filter {
            Some(filter) => filter.holds(&self.probe.scan(event)?, attributes),
            None => true,
        };
        Ok((!is_kept).then_some(LeftOut::Filter))
    }
}

pub(crate) fn too_large(detail: String) -> Rejection {
    Rejection::new(Reason::TooLarge, detail)
}
