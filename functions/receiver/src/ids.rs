//! Where an event's id comes from when its JSON does not hold it.

use event::EventId;
use uuid::Uuid;

use crate::error::ReceiverError;

/// The namespace of ids that are made of an idempotency key: never to be changed, or a repeated request gets other ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f1c_6a52_3d0e_4b7b_9a64_7f2d_51c0_e8a3);

/// What the request says of its events' ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestIds {
    /// `ce-id`: the id of the request's only event.
    Event(EventId),
    /// `Idempotency-Key`: the same key gives the same ids.
    Key(String),
    /// Nothing: each event gets a new id.
    New,
}

impl RequestIds {
    /// The id of the event at `index` of `count`, sent to `stream`.
    pub(crate) fn id(&self, stream: &str, index: usize, count: usize) -> EventId {
        match self {
            Self::Event(id) => id.clone(),
            Self::Key(key) => match EventId::new(key) {
                Ok(id) if count == 1 => id,
                _ => of_key(stream, key, index),
            },
            Self::New => EventId::generate(),
        }
    }

    /// An id of its own names one event: refused for more.
    pub(crate) fn check(&self, count: usize) -> Result<(), ReceiverError> {
        match self {
            Self::Event(_) if count != 1 => Err(ReceiverError::Header {
                name: "ce-id".to_owned(),
                detail: format!("names one event, and the body holds {count}; use Idempotency-Key"),
            }),
            Self::Event(_) | Self::Key(_) | Self::New => Ok(()),
        }
    }
}

fn of_key(stream: &str, key: &str, index: usize) -> EventId {
    let uuid = Uuid::new_v5(&NAMESPACE, format!("{stream}\0{key}\0{index}").as_bytes());
    // A UUID is a valid id; the fallback only spares a panic.
    EventId::new(&uuid.to_string()).unwrap_or_else(|_| EventId::generate())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_the_same_ids_again() {
        let key = RequestIds::Key("retry-1".into());
        assert_eq!(key.id("s", 0, 1).as_str(), "retry-1");
        insta::assert_snapshot!(key.id("s", 0, 2), @"3e74bffd-9464-559e-9064-66b0b767adae");
        assert_ne!(key.id("s", 0, 2), key.id("s", 1, 2));
        assert_ne!(key.id("s", 0, 2), key.id("t", 0, 2));
        let long = RequestIds::Key("k".repeat(600));
        assert_eq!(long.id("s", 0, 1), long.id("s", 0, 1));
        assert_ne!(RequestIds::New.id("s", 0, 1), RequestIds::New.id("s", 0, 1));
    }

    #[test]
    fn an_id_names_one_event() {
        let id = RequestIds::Event(EventId::new("e").expect("an id"));
        assert!(id.check(1).is_ok() && id.check(2).is_err());
    }
}
