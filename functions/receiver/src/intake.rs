//! One stream's way in: from slices of a body to messages on the topic.

use std::time::Instant;

use catalog::{Cors, Probe, Probed, Stream};
use event::{Event, EventId, Rejection, Timestamp};
use pubsub::{MAX_MESSAGE_BYTES, Outgoing, PublishError, Publisher};
use rows::Checker;
use service::TraceContext;
use shape::{Faults, Missing, Part, Shape};

use crate::{
    body::{BadEvents, MAX_EVENTS, Slice},
    error::{BadEvent, ReceiverError, Unpublished},
    headers::Producer,
    metrics::{ACCEPTED, Metrics},
    streams::StreamEntry,
};

/// The longest ordering key that Pub/Sub takes, in bytes.
const MAX_ORDERING_KEY: usize = 1024;

#[derive(Debug)]
pub(crate) struct Intake {
    stream: Stream,
    /// What is looked for in each event; `None`: nothing.
    probe: Option<Probe>,
    /// How documents become events; `None`: they are.
    shape: Option<Shape>,
    publisher: Publisher,
    checker: Checker,
}

/// A request's events, and what became of the rest of it.
pub(crate) struct Taken {
    pub(crate) events: Vec<Event>,
    /// Events that the stream's filter left out.
    pub(crate) filtered: u64,
    /// What the stream's lookups did not find.
    pub(crate) missing: Missing,
}

/// What an event's JSON says of it.
struct Found {
    id: Option<EventId>,
    event_type: Option<String>,
    ordering_key: Option<String>,
}

impl Intake {
    pub(crate) fn new(stream: Stream, publisher: Publisher, checker: Checker) -> Self {
        let has_ids = stream.has_event_ids() || stream.tables.iter().any(|table| table.event_id.is_some());
        let looks = has_ids || stream.event_type.is_some() || stream.ordering_key.is_some();
        let probe = looks.then(|| Probe::new(&stream));
        let shape = Shape::new(&stream);
        Self { stream, probe, shape, publisher, checker }
    }

    /// Which web pages may send to the stream.
    pub(crate) fn cors(&self) -> Option<&Cors> {
        self.stream.cors.as_ref()
    }

    pub(crate) fn name(&self) -> &str {
        &self.stream.name
    }

    /// What tells whether samples would be loaded.
    pub(crate) fn checker(&self) -> &Checker {
        &self.checker
    }

    pub(crate) fn entry(&self) -> StreamEntry {
        StreamEntry { name: self.stream.name.clone(), description: self.stream.description.clone() }
    }

    /// Waits until everything that was begun is answered for.
    pub(crate) async fn flush(&self) {
        self.publisher.flush().await;
    }

    /// The events of a request, or every reason why it has none. Each names `trace` as what it came from.
    pub(crate) fn events(
        &self,
        slices: Vec<Slice>,
        producer: &Producer,
        trace: TraceContext,
        now: Timestamp,
    ) -> Result<Taken, ReceiverError> {
        let (slices, filtered, missing) = self.shaped(slices, producer)?;
        let (count, traceparent) = (slices.len(), trace.to_string());
        if !self.stream.has_event_ids() && count > 0 {
            producer.ids.check(count)?;
        }
        let (mut bad, mut large) = (BadEvents::default(), BadEvents::default());
        let mut events = Vec::with_capacity(count);
        for (index, slice) in slices.into_iter().enumerate() {
            let (line, column) = (slice.line, slice.column);
            let event = self.event(slice, index, count, producer, now);
            match event.map(|event| Event { traceparent: Some(traceparent.clone()), ..event }) {
                Ok(event) => match size(&event) {
                    size if size <= MAX_MESSAGE_BYTES => events.push(event),
                    size => large.add(BadEvent { index: Some(index), line, column, detail: too_large(size) }),
                },
                Err(detail) => bad.add(BadEvent { index: Some(index), line, column, detail }),
            }
        }
        bad.none()?;
        if large.count > 0 {
            return Err(ReceiverError::LargeEvents { count: large.count, events: large.listed });
        }
        Ok(Taken { events, filtered, missing })
    }

    /// The events of the documents that a request holds. Each stands where its document does. A producer mends a document
    /// that is bad in one part, so it is refused as a whole.
    fn shaped(&self, documents: Vec<Slice>, producer: &Producer) -> Result<(Vec<Slice>, u64, Missing), ReceiverError> {
        let Some(shape) = &self.shape else { return Ok((documents, 0, Missing::default())) };
        let (mut events, mut filtered, mut missing) = (Vec::new(), 0, Missing::default());
        let mut bad = BadEvents::default();
        for (index, document) in documents.into_iter().enumerate() {
            let (line, column) = (document.line, document.column);
            let shaped = shape.events(&document.data, &producer.attributes);
            if let Some(shaped) = sound(shaped, |shaped| &shaped.faults, (index, &document), &mut bad) {
                filtered += shaped.filtered;
                missing.merge(shaped.missing);
                events.extend(shaped.events.into_iter().map(|data| Slice { data, line, column }));
            }
            if events.len() > MAX_EVENTS {
                return Err(ReceiverError::ManyEvents { limit: MAX_EVENTS });
            }
        }
        bad.none()?;
        Ok((events, filtered, missing))
    }

    /// The events of documents for a check, each with its line: those that are left out too. At most `limit`.
    pub(crate) fn parts(
        &self,
        documents: Vec<Slice>,
        producer: &Producer,
        limit: usize,
    ) -> Result<Vec<(usize, Part)>, ReceiverError> {
        let mut parts = Vec::new();
        let mut bad = BadEvents::default();
        for (index, document) in documents.into_iter().enumerate() {
            let line = document.line;
            match &self.shape {
                None => parts.push((line, Part::from(document.data))),
                Some(shape) => {
                    let shaped = shape.parts(&document.data, &producer.attributes);
                    if let Some(shaped) = sound(shaped, |shaped| &shaped.faults, (index, &document), &mut bad) {
                        parts.extend(shaped.parts.into_iter().map(|part| (line, part)));
                    }
                }
            }
            if parts.len() > limit {
                return Err(ReceiverError::ManyEvents { limit });
            }
        }
        bad.none()?;
        Ok(parts)
    }

    fn event(
        &self,
        slice: Slice,
        index: usize,
        count: usize,
        producer: &Producer,
        now: Timestamp,
    ) -> Result<Event, String> {
        let found = self.found(&slice, producer)?;
        Ok(Event {
            id: found.id.unwrap_or_else(|| producer.ids.id(&self.stream.name, index, count)),
            source: producer.source.clone(),
            event_type: found.event_type.unwrap_or_else(|| self.stream.name.clone()),
            time: producer.time,
            received_at: now,
            traceparent: None,
            ordering_key: found.ordering_key,
            attributes: producer.attributes.clone(),
            data: slice.data,
        })
    }

    fn found(&self, slice: &Slice, producer: &Producer) -> Result<Found, String> {
        let event_type = |event: Option<&Probed<'_>>| {
            let found = self.stream.event_type(event, producer.event_type.as_deref(), &producer.attributes);
            found.map(|found| found.into_owned())
        };
        let Some(probe) = &self.probe else {
            return Ok(Found { id: None, event_type: event_type(None), ordering_key: None });
        };
        let probed = probe.scan(&slice.data).map_err(|rejection| rejection.detail)?;
        let table = probed.route(&self.stream, &producer.attributes);
        let id = self.stream.event_id(&probed, table).map(|id| {
            id.map_err(|rejection| match rejection.pointer {
                Some(pointer) => format!("{} at {pointer}", rejection.detail),
                None => rejection.detail,
            })
        });
        let ordering_key = self.stream.ordering_key.as_ref().and_then(|pointer| probed.text(pointer));
        match ordering_key {
            Some(key) if key.len() > MAX_ORDERING_KEY => {
                Err(format!("an ordering key holds at most {MAX_ORDERING_KEY} bytes, found {}", key.len()))
            }
            key => Ok(Found {
                id: id.transpose()?,
                event_type: event_type(Some(&probed)),
                ordering_key: key.map(|key| key.into_owned()),
            }),
        }
    }

    /// Publishes the events, and returns their ids once all of them are on the topic.
    pub(crate) async fn publish(&self, events: Vec<Event>, metrics: &Metrics) -> Result<Vec<String>, ReceiverError> {
        let started = Instant::now();
        let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
        let bytes: usize = events.iter().map(|event| event.data.len()).sum();
        let results = self.publisher.publish(events.into_iter().map(Outgoing::from).collect()).await;
        let stream = self.stream.name.as_str();
        metrics.publish_duration.with_label_values(&[stream]).observe(started.elapsed().as_secs_f64());
        let published = results.iter().filter(|result| result.is_ok()).count();
        metrics.events.with_label_values(&[stream, ACCEPTED]).inc_by(published as u64);
        let Some(source) = cause(&results) else {
            metrics.bytes.with_label_values(&[stream]).inc_by(bytes as u64);
            return Ok(ids);
        };
        let unpublished = Unpublished {
            total: ids.len(),
            failed: ids.len() - published,
            published: ids.into_iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(id, _)| id).collect(),
            source,
        };
        Err(match unpublished.source {
            PublishError::Overloaded { .. } => ReceiverError::Overloaded,
            PublishError::Refused(_) => ReceiverError::Refused(unpublished),
            PublishError::Unavailable(_) | PublishError::Ordering | PublishError::ShutDown => {
                ReceiverError::Unavailable(unpublished)
            }
        })
    }
}

/// What was made of a document; `None`: it is bad, and `bad` has every fault of it.
fn sound<T>(
    shaped: Result<T, Rejection>,
    faults: impl Fn(&T) -> &Faults,
    (index, document): (usize, &Slice),
    bad: &mut BadEvents,
) -> Option<T> {
    let told = match &shaped {
        Ok(shaped) => faults(shaped).told.as_slice(),
        Err(rejection) => std::slice::from_ref(rejection),
    };
    for Rejection { pointer, detail, .. } in told {
        let at = pointer.as_ref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
        let detail = format!("{detail}{at}");
        bad.add(BadEvent { index: Some(index), line: document.line, column: document.column, detail });
    }
    shaped.ok().filter(|shaped| faults(shaped).count == 0)
}

/// Why not all was published: a message that only waited behind one that failed says nothing of the cause.
fn cause(results: &[Result<String, PublishError>]) -> Option<PublishError> {
    let mut errors = results.iter().filter_map(|result| result.as_ref().err());
    let says_why = |error: &&PublishError| !matches!(error, PublishError::Ordering);
    errors.clone().find(says_why).or_else(|| errors.next()).cloned()
}

fn size(event: &Event) -> usize {
    // Attributes hold a few kilobytes at most (their values are bounded), so small events need not be written out to be measured.
    const SURELY_FITS: usize = MAX_MESSAGE_BYTES / 2;
    if event.data.len() <= SURELY_FITS { event.data.len() } else { Outgoing::from(event.clone()).size() }
}

fn too_large(size: usize) -> String {
    format!("a message holds at most {MAX_MESSAGE_BYTES} bytes with its attributes, found {size}")
}
