//! A stream's way in from its feeds: documents become messages on its topic, as the receiver makes them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use catalog::{Probe, Stream};
use event::{Event, EventId, Timestamp};
use pubsub::{MAX_MESSAGE_BYTES, Outgoing, PublishError, Publisher};
use sha2::{Digest, Sha256};
use shape::{Missing, Shape};

use crate::{decode::Documents, error::PollerError, faults::Faults};

/// Messages that are published at once.
const BATCH: usize = 2000;
/// The attribute that names the feed.
const FEED: &str = "pipas-feed";

/// A stream's topic.
pub(crate) struct Outlet {
    pub(crate) stream: Stream,
    probe: Probe,
    shape: Option<Shape>,
    publisher: Publisher,
}

/// A feed's events, and what became of the rest of it.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    pub(crate) events: Vec<Entity>,
    pub(crate) filtered: u64,
    pub(crate) missing: Missing,
    pub(crate) faults: Faults,
}

/// One event of a feed.
#[derive(Debug)]
pub(crate) struct Entity {
    /// What makes it the same as one of another snapshot.
    pub(crate) key: [u8; 16],
    message: Outgoing,
}

impl Outlet {
    pub(crate) fn new(stream: &Stream, publisher: Publisher) -> Arc<Self> {
        let (probe, shape) = (Probe::new(stream), Shape::new(stream));
        Arc::new(Self { stream: stream.clone(), probe, shape, publisher })
    }

    /// The events of `documents`. What is none is told, and holds up no other.
    pub(crate) fn entities(&self, feed: &str, documents: Documents) -> Entities {
        let attributes = BTreeMap::from([(FEED.to_owned(), feed.to_owned())]);
        let now = Timestamp::now();
        let Documents { documents, faults } = documents;
        let mut found = Entities { faults, ..Entities::default() };
        for document in documents {
            let events = match &self.shape {
                None => vec![document],
                Some(shape) => match shape.events(&document, &attributes) {
                    Ok(shaped) => {
                        found.filtered += shaped.filtered;
                        found.missing.merge(shaped.missing);
                        found.faults.take(shaped.faults);
                        shaped.events
                    }
                    Err(rejection) => {
                        found.faults.add(|| rejection.to_string());
                        continue;
                    }
                },
            };
            for data in events {
                match self.entity(feed, data, &attributes, now) {
                    Ok(entity) => found.events.push(entity),
                    Err(detail) => found.faults.add(|| detail),
                }
            }
        }
        found
    }

    fn entity(
        &self,
        feed: &str,
        data: Bytes,
        attributes: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Entity, String> {
        let probed = self.probe.scan(&data).map_err(|rejection| rejection.to_string())?;
        let table = probed.route(&self.stream, attributes);
        let id = self.stream.event_id(&probed, table).transpose().map_err(|rejection| rejection.to_string())?;
        let ordering_key = self.stream.ordering_key.as_ref().and_then(|pointer| probed.text(pointer));
        let event_type = self.stream.event_type(Some(&probed), None, attributes);
        let event_type = event_type.map_or_else(|| self.stream.name.clone(), |found| found.into_owned());
        let id = id.unwrap_or_else(EventId::generate);
        let content = table.map_or(&data[..], |table| self.stream.content(table, &id, &data));
        let hash = Sha256::new().chain_update(id.as_str()).chain_update([0]).chain_update(content).finalize();
        let event = Event {
            id,
            source: format!("feed/{feed}"),
            event_type,
            time: None,
            received_at: now,
            traceparent: None,
            ordering_key: ordering_key.map(|key| key.into_owned()),
            attributes: attributes.clone(),
            data: data.clone(),
        };
        let message = Outgoing::from(event);
        match message.size() {
            size if size <= MAX_MESSAGE_BYTES => Ok(Entity { key: std::array::from_fn(|at| hash[at]), message }),
            size => Err(format!("a message holds at most {MAX_MESSAGE_BYTES} bytes with its attributes, found {size}")),
        }
    }

    /// Publishes the events; afterwards all of them are on the topic.
    pub(crate) async fn publish(&self, events: Vec<Entity>) -> Result<(), PollerError> {
        let total = events.len();
        let mut errors: Vec<PublishError> = Vec::new();
        let mut messages = events.into_iter().map(|entity| entity.message);
        loop {
            let batch: Vec<Outgoing> = messages.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            errors.extend(self.publisher.publish(batch).await.into_iter().filter_map(Result::err));
        }
        let failed = errors.len();
        match errors.into_iter().next() {
            None => Ok(()),
            Some(source) => Err(PollerError::Publish { failed, total, source }),
        }
    }
}
