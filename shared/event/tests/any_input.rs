//! Whatever a publisher writes, reading it back does not panic, and what Pipas writes it reads as it was.

use std::collections::BTreeMap;

use event::{Bytes, Event, EventId, Message, Timestamp, attribute};
use proptest::prelude::*;

fn message(attributes: BTreeMap<String, String>, message_id: String) -> Message {
    Message {
        message_id,
        publish_time: Timestamp::UNIX_EPOCH,
        ordering_key: String::new(),
        attributes,
        data: Bytes::new(),
    }
}

fn time() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_microsecond()..=Timestamp::MAX.as_microsecond())
        .prop_map(|time| Timestamp::from_microsecond(time).expect("a time"))
}

proptest! {
    #[test]
    fn ids_are_taken_whole_or_refused(text in "\\PC{0,600}|[\\x00-\\x7f]{0,20}") {
        match EventId::new(&text) {
            Ok(id) => {
                prop_assert_eq!(id.as_str(), text.as_str());
                let json = serde_json::to_string(&id).expect("JSON");
                prop_assert_eq!(serde_json::from_str::<EventId>(&json).expect("an id"), id);
            }
            Err(_) => {
                let json = serde_json::to_string(&text).expect("JSON");
                prop_assert!(serde_json::from_str::<EventId>(&json).is_err());
            }
        }
    }

    #[test]
    fn any_attributes_can_be_read(id in any::<Option<String>>(), received in any::<Option<String>>(), message_id in any::<String>()) {
        let attributes = [(attribute::ID, id.clone()), (attribute::RECEIVED, received)];
        let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let message = message(attributes, message_id.clone());
        let _ = message.received_at();
        prop_assert_eq!(message.event_id().is_ok(), EventId::new(id.as_deref().unwrap_or(&message_id)).is_ok());
        prop_assert!(message.size() >= id.map_or(0, |id| id.len()));
    }

    #[test]
    fn what_the_receiver_writes_is_read_as_it_was(id in "\\PC{1,20}", received_at in time(), time in proptest::option::of(time())) {
        let event = Event {
            id: EventId::new(&id).expect("an id"),
            source: "shop".into(),
            event_type: "order".into(),
            time,
            received_at,
            traceparent: None,
            ordering_key: None,
            attributes: BTreeMap::new(),
            data: Bytes::new(),
        };
        let message = message(event.message_attributes(), "m".into());
        prop_assert_eq!(message.event_id(), Ok(event.id));
        prop_assert_eq!(message.received_at(), Some(received_at));
        prop_assert_eq!(message.source(), Some("shop"));
        prop_assert_eq!(message.attribute(attribute::TIME).map(|time| time.parse::<Timestamp>().expect("a time")), time);
    }
}
