//! A message as it is published again.

use event::{Timestamp, attribute};
use pubsub::{MAX_MESSAGE_BYTES, Outgoing};

use crate::sieve::Item;

/// What Pub/Sub allows: <https://cloud.google.com/pubsub/quotas#resource_limits>.
const MAX_ATTRIBUTES: usize = 100;

/// The message with its own attributes and its event's id, where it would have another. `None`: Pub/Sub would not take it.
///
/// One of the stream's own archive is marked as the replay that it is: the compactor leaves it out of the archive, which has
/// it, and the loader takes it for the message that it repeats. One of a foreign archive is new to this one.
pub(crate) fn outgoing(item: Item, is_own: bool, run: &str, now: Timestamp) -> Option<Outgoing> {
    let Item { message, lent_id, .. } = item;
    let mut attributes = if is_own { message.replay_attributes(now) } else { message.attributes };
    attributes.insert(attribute::REPLAY_RUN.to_owned(), run.to_owned());
    if let Some(id) = lent_id {
        attributes.insert(attribute::ID.to_owned(), id.to_string());
    }
    let outgoing = Outgoing { data: message.data, attributes, ordering_key: message.ordering_key };
    let fits = outgoing.size() <= MAX_MESSAGE_BYTES && outgoing.attributes.len() <= MAX_ATTRIBUTES;
    fits.then_some(outgoing)
}

#[cfg(test)]
mod tests {
    use event::{EventId, Message};

    use super::*;

    fn item(bytes: usize, lent_id: Option<&str>) -> Item {
        let message = Message {
            message_id: "7".into(),
            publish_time: Timestamp::UNIX_EPOCH,
            ordering_key: "k".into(),
            attributes: [("a".to_owned(), "1".to_owned())].into(),
            data: vec![b'x'; bytes].into(),
        };
        let lent_id = lent_id.map(|id| EventId::new(id).expect("an id"));
        Item { message, table: None, id: None, lent_id, rows: Vec::new() }
    }

    #[test]
    fn a_replay_says_what_it_repeats_and_a_foreign_message_does_not() {
        let now = Timestamp::UNIX_EPOCH;
        let own = outgoing(item(1, Some("7")), true, "r", now).expect("a message");
        assert_eq!((own.attributes["ce-id"].as_str(), own.attributes["pipas-replay"].as_str()), ("7", "7"));
        assert_eq!((own.attributes["a"].as_str(), own.ordering_key.as_str()), ("1", "k"));
        let foreign = outgoing(item(1, None), false, "r", now).expect("a message");
        assert_eq!(foreign.attributes.len(), 2, "its own and the run");
    }

    #[test]
    fn what_pub_sub_would_refuse_is_known_before() {
        assert!(outgoing(item(MAX_MESSAGE_BYTES - 20, None), false, "r", Timestamp::UNIX_EPOCH).is_some());
        assert!(outgoing(item(MAX_MESSAGE_BYTES - 20, None), true, "r", Timestamp::UNIX_EPOCH).is_none());
    }
}
