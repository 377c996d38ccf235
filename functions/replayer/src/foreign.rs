//! Records of foreign archives as messages of the stream.

use archive::ForeignRecord;
use event::{Message, Timestamp};
use uuid::Uuid;

/// The publish time of a message whose object does not tell it: older than any that is told.
pub(crate) const UNKNOWN_TIME: Timestamp = Timestamp::UNIX_EPOCH;

/// The message of a record. One whose object does not tell its id gets one from its place in the object, so that it is the
/// same message however often the object is read.
pub(crate) fn message(record: ForeignRecord, object: &str, index: u64) -> Message {
    let ForeignRecord { message_id, publish_time, ordering_key, attributes, data } = record;
    let placed = || Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{object}#{index}").as_bytes()).to_string();
    Message {
        message_id: message_id.unwrap_or_else(placed),
        publish_time: publish_time.unwrap_or(UNKNOWN_TIME),
        ordering_key,
        attributes,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_an_id_is_known_by_its_place() {
        let record = || ForeignRecord {
            message_id: None,
            publish_time: None,
            ordering_key: String::new(),
            attributes: Default::default(),
            data: Default::default(),
        };
        let id = |object, index| message(record(), object, index).message_id;
        assert_eq!(id("gs://b/o", 1), id("gs://b/o", 1));
        assert!(id("gs://b/o", 1) != id("gs://b/o", 2) && id("gs://b/o", 1) != id("gs://b/p", 1));
        let named = ForeignRecord { message_id: Some("7".into()), ..record() };
        assert_eq!(message(named, "gs://b/o", 1).message_id, "7");
    }
}
