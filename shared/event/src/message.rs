use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{Timestamp, Unit};

use crate::{EventId, Reason, Rejection, attribute};

/// An event as the receiver accepts it: the producer's JSON byte for byte, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What makes it the same event.
    pub id: EventId,
    /// The authenticated producer.
    pub source: String,
    /// The event's type.
    pub event_type: String,
    /// When it happened, where the producer said so.
    pub time: Option<Timestamp>,
    /// When the receiver accepted it.
    pub received_at: Timestamp,
    /// The trace context of the request that carried it.
    pub traceparent: Option<String>,
    /// Events of one key are delivered in the order of publishing.
    pub ordering_key: Option<String>,
    /// Further attributes of the producer's, which travel as they are.
    pub attributes: BTreeMap<String, String>,
    /// The producer's JSON object.
    pub data: Bytes,
}

impl Event {
    /// The attributes of the message that carries this event: the producer's own, and the CloudEvents binding's over them.
    pub fn message_attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = self.attributes.clone();
        let mut set = |name: &str, value: &str| attributes.insert(name.to_owned(), value.to_owned());
        set(attribute::SPEC_VERSION, attribute::SPEC_VERSION_VALUE);
        set(attribute::ID, self.id.as_str());
        set(attribute::SOURCE, &self.source);
        set(attribute::TYPE, &self.event_type);
        set(attribute::RECEIVED, &microseconds(self.received_at));
        set(attribute::CONTENT_TYPE, "application/json");
        if let Some(time) = self.time {
            set(attribute::TIME, &time.to_string());
        }
        if let Some(traceparent) = &self.traceparent {
            set(attribute::TRACEPARENT, traceparent);
        }
        attributes
    }
}

/// A Pub/Sub message as a subscriber sees it, whoever published it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Pub/Sub's id of the message.
    pub message_id: String,
    /// When Pub/Sub took the message.
    pub publish_time: Timestamp,
    /// The ordering key; empty where the message has none.
    pub ordering_key: String,
    /// Every attribute.
    pub attributes: BTreeMap<String, String>,
    /// The data, byte for byte.
    pub data: Bytes,
}

impl Message {
    /// The attribute `name`, where the message has it.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The event's id as the message says it: the attribute `ce-id`, else Pub/Sub's id of the message. A dead letter may be
    /// published again as any number of messages: where it has no id, it lends its own.
    ///
    /// Where a stream has a pointer to the id, the pointer stands between the two: see `catalog::Stream::message_event_id`.
    pub fn event_id(&self) -> Result<EventId, Rejection> {
        self.declared_event_id().unwrap_or_else(|| match self.redrive() {
            Some(redrive) => usable(redrive.of.first_of_its_event(), "the dead letter's id"),
            None => usable(&self.message_id, "the message id"),
        })
    }

    /// The attribute `ce-id`; `None` where the message has none. One that cannot be an id is refused, as
    /// [`Reason::InvalidEventId`].
    pub fn declared_event_id(&self) -> Option<Result<EventId, Rejection>> {
        self.attribute(attribute::ID).map(|id| usable(id, "the attribute `ce-id`"))
    }

    /// The producer that sent the event, where the message names it.
    pub fn source(&self) -> Option<&str> {
        self.attribute(attribute::SOURCE)
    }

    /// When the receiver accepted the event; `None` where it did not pass through a receiver.
    pub fn received_at(&self) -> Option<Timestamp> {
        self.attribute(attribute::RECEIVED)?.parse().ok()
    }

    /// Whether this message repeats one that is in the archive.
    pub fn is_replay(&self) -> bool {
        self.attributes.contains_key(attribute::REPLAY)
    }

    /// When the message was replayed; `None` where it is no replay.
    pub fn replayed_at(&self) -> Option<Timestamp> {
        self.attribute(attribute::REPLAY_AT)?.parse().ok()
    }

    /// The message that this one repeats: its id and its publish time. One that repeats none is itself.
    ///
    /// So whatever is derived from them is the same for a replay as for the first delivery: the event's id where the message
    /// has no other, the id of a dead letter, the order of upserts, and what a row says of how it came to be.
    pub fn first(mut self) -> Self {
        if let Some(message_id) = self.attribute(attribute::REPLAY) {
            self.message_id = message_id.to_owned();
            let published = self.attribute(attribute::REPLAY_PUBLISHED).and_then(|time| time.parse().ok());
            self.publish_time = published.unwrap_or(self.publish_time);
        }
        self
    }

    /// The attributes under which the message is replayed at `now`: its own, and who it is. One that is a replay itself
    /// goes on repeating the first.
    pub fn replay_attributes(&self, now: Timestamp) -> BTreeMap<String, String> {
        let mut attributes = self.attributes.clone();
        if !self.is_replay() {
            attributes.insert(attribute::REPLAY.to_owned(), self.message_id.clone());
            attributes.insert(attribute::REPLAY_PUBLISHED.to_owned(), microseconds(self.publish_time));
        }
        attributes.insert(attribute::REPLAY_AT.to_owned(), microseconds(now));
        attributes
    }

    /// The size that Pub/Sub counts: data, attributes and ordering key, in bytes.
    pub fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.data.len() + attributes + self.ordering_key.len()
    }
}

fn usable(id: &str, whose: &str) -> Result<EventId, Rejection> {
    EventId::new(id).map_err(|error| Rejection::new(Reason::InvalidEventId, format!("{whose} is no event id: {error}")))
}

/// RFC 3339 with exactly six decimals.
fn microseconds(time: Timestamp) -> String {
    let time = time.round(Unit::Microsecond).unwrap_or(time);
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: EventId::new("e-1").expect("an id"),
            source: "shop".into(),
            event_type: "courier-chat".into(),
            time: Some("2024-02-01T10:04:46Z".parse().expect("a time")),
            received_at: "2024-02-01T10:04:47.5Z".parse().expect("a time"),
            traceparent: None,
            ordering_key: None,
            attributes: BTreeMap::from([("ce-id".into(), "forged".into()), ("team".into(), "a".into())]),
            data: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn the_binding_wins_over_the_producers_attributes() {
        let attributes = event().message_attributes();
        assert_eq!(attributes["ce-id"], "e-1");
        assert_eq!(attributes["team"], "a");
        assert_eq!(attributes["ce-pipasreceived"], "2024-02-01T10:04:47.500000Z");
    }

    fn message(attributes: BTreeMap<String, String>) -> Message {
        Message {
            message_id: "1".into(),
            publish_time: Timestamp::UNIX_EPOCH,
            ordering_key: String::new(),
            attributes,
            data: Bytes::new(),
        }
    }

    #[test]
    fn received_at_survives_the_trip() {
        assert_eq!(message(event().message_attributes()).received_at(), Some(event().received_at));
    }

    #[test]
    fn a_replay_is_the_message_that_it_repeats() {
        let mut first = message(BTreeMap::from([("team".into(), "a".into())]));
        first.publish_time = "2024-02-01T10:04:47.123456Z".parse().expect("a time");
        let now: Timestamp = "2024-03-01T00:00:00Z".parse().expect("a time");
        let attributes = first.replay_attributes(now);
        let again = Message { message_id: "99".into(), publish_time: now, attributes, ..first.clone() };
        assert!(again.is_replay() && !first.is_replay());
        assert_eq!(again.replayed_at(), Some(now));
        let restored = again.clone().first();
        assert_eq!((&restored.message_id, restored.publish_time), (&first.message_id, first.publish_time));
        assert_eq!(restored.attribute("team"), Some("a"));
        let third = Message { attributes: again.replay_attributes(now), message_id: "100".into(), ..again };
        assert_eq!(third.first().message_id, first.message_id);
        assert_eq!(first.clone().first(), first);
    }

    #[test]
    fn times_have_six_decimals() {
        for (time, written) in [
            ("2024-02-01T10:04:47Z", "2024-02-01T10:04:47.000000Z"),
            ("2024-02-01T10:04:47.1234567Z", "2024-02-01T10:04:47.123457Z"),
            ("1969-12-31T23:59:59.9999999Z", "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(microseconds(time.parse().expect("a time")), written);
        }
    }

    #[test]
    fn a_message_without_an_id_of_its_events_lends_its_own() {
        assert_eq!(message(event().message_attributes()).event_id(), Ok(event().id));
        assert_eq!(message(BTreeMap::new()).event_id().map(|id| id.to_string()), Ok("1".into()));
        assert_eq!(message(BTreeMap::new()).declared_event_id(), None);
    }

    #[test]
    fn an_unusable_id_is_refused_and_not_passed_over() {
        let refused = message(BTreeMap::from([("ce-id".into(), String::new())])).event_id().expect_err("no id");
        assert_eq!(refused.reason, Reason::InvalidEventId);
        assert_eq!(refused.detail, "the attribute `ce-id` is no event id: an event id must not be empty");
    }
}
