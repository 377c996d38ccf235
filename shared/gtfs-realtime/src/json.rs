use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
const FEED: &str = "transit_realtime.FeedMessage";

static DESCRIPTOR: LazyLock<Option<MessageDescriptor>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok()?.get_message_by_name(FEED));

/// Why bytes are no feed.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are no protobuf, or of another message.
    #[error("the bytes are no FeedMessage of GTFS-Realtime")]
    Protobuf(#[source] prost::DecodeError),
    /// They lack what every feed has.
    #[error("a FeedMessage must have a header with `gtfs_realtime_version`, and this one has none")]
    NoHeader,
    /// The message has no JSON form.
    #[error("the FeedMessage has no JSON form")]
    Json(#[source] serde_json::Error),
    /// The schema itself cannot be read: a fault of the build.
    #[error("the schema of GTFS-Realtime is broken")]
    Schema,
}

/// A `FeedMessage` as one JSON object. Fields have the names of the schema (`trip_update`), enumerated values too
/// (`"SCHEDULED"`), 64-bit numbers are numbers; what is not set is not there. Extensions that the schema does not know are left out.
pub fn to_json(protobuf: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let descriptor = DESCRIPTOR.clone().ok_or(DecodeError::Schema)?;
    let feed = DynamicMessage::decode(descriptor, protobuf).map_err(DecodeError::Protobuf)?;
    let header = feed.get_field_by_name("header");
    let is_versioned = header
        .as_ref()
        .and_then(|header| header.as_message())
        .is_some_and(|header| header.has_field_by_name("gtfs_realtime_version"));
    if !is_versioned {
        return Err(DecodeError::NoHeader);
    }
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let mut json = Vec::with_capacity(protobuf.len() * 4);
    feed.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).map_err(DecodeError::Json)?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::transit_realtime::{
        FeedEntity, FeedHeader, FeedMessage, TripDescriptor, TripUpdate,
        trip_update::{StopTimeEvent, StopTimeUpdate, stop_time_update::ScheduleRelationship},
    };

    fn feed() -> FeedMessage {
        let update = StopTimeUpdate {
            stop_id: Some("A1N".into()),
            arrival: Some(StopTimeEvent { time: Some(1_706_781_660), ..Default::default() }),
            schedule_relationship: Some(ScheduleRelationship::Scheduled.into()),
            ..Default::default()
        };
        let trip = TripDescriptor { trip_id: Some("t1".into()), ..Default::default() };
        let trip_update = TripUpdate { trip, stop_time_update: vec![update], ..Default::default() };
        FeedMessage {
            header: FeedHeader {
                gtfs_realtime_version: "2.0".into(),
                timestamp: Some(1_706_781_600),
                ..Default::default()
            },
            entity: vec![FeedEntity { id: "1".into(), trip_update: Some(trip_update), ..Default::default() }],
        }
    }

    #[test]
    fn a_feed_has_the_names_of_its_schema() {
        let json = to_json(&feed().encode_to_vec()).expect("a feed");
        assert_eq!(
            String::from_utf8_lossy(&json),
            r#"{"header":{"gtfs_realtime_version":"2.0","timestamp":1706781600},"entity":[{"id":"1","trip_update":{"trip":{"trip_id":"t1"},"stop_time_update":[{"arrival":{"time":1706781660},"stop_id":"A1N","schedule_relationship":"SCHEDULED"}]}}]}"#
        );
    }

    #[test]
    fn what_is_no_feed_is_refused() {
        assert!(matches!(to_json(b""), Err(DecodeError::NoHeader)));
        assert!(matches!(to_json(b"<html>404</html>"), Err(DecodeError::Protobuf(_))));
        assert!(to_json(b"{\"entity\":[]}").is_err());
        let whole = feed().encode_to_vec();
        assert!(to_json(&whole[..whole.len() - 3]).is_err(), "cut off");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = to_json(&bytes);
        }
    }
}
