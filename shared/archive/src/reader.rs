//! Reading archive objects back into messages.

use std::{collections::BTreeMap, io::Read};

use apache_avro::{Reader, Schema};
use event::{Bytes, Message, Timestamp};
use serde::Deserialize;

/// The attribute in which Pub/Sub's own objects keep the ordering key.
pub(crate) const ORDERING_KEY: &str = "ordering_key";

/// Why an object cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no Avro object container file of messages, or it is damaged here.
    #[error("the object is no readable Avro file of messages")]
    Avro(#[source] Box<apache_avro::Error>),
    /// A publish time that no clock can show.
    #[error("message {message_id} has the publish time {microseconds} µs, which is none")]
    PublishTime {
        /// The message.
        message_id: String,
        /// What stands there.
        microseconds: i64,
    },
    /// An Avro file of something else.
    #[error(
        "the records have the fields ({fields}); expected (subscription_name, message_id, publish_time, attributes, data), \
         (data) or (message, attributes, timestamp)"
    )]
    UnknownForm {
        /// Their names.
        fields: String,
    },
    /// A field of a foreign object that is not what its form says.
    #[error("the field {field} is no {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(rename = "PubsubMessageWithMetadata")]
struct Record {
    message_id: String,
    publish_time: i64,
    attributes: BTreeMap<String, String>,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
    #[serde(default)]
    ordering_key: String,
}

/// The messages of an object, in the order in which they were written. After an error there are no more.
///
/// A block that was damaged on its way may decode to other bytes without an error: hold the object's CRC32C against its
/// manifest entry.
pub struct Records<R: Read> {
    records: apache_avro::reader::ReaderDeser<'static, R, Record>,
    key_is_attribute: bool,
    has_failed: bool,
}

impl<R: Read> Records<R> {
    /// Reads the header of `object`.
    pub fn new(object: R) -> Result<Self, ReadError> {
        let reader = Reader::new(object).map_err(read)?;
        let key_is_attribute = match reader.writer_schema() {
            Schema::Record(record) => !record.lookup.contains_key(ORDERING_KEY),
            _ => false,
        };
        Ok(Self { records: reader.into_deser_iter(), key_is_attribute, has_failed: false })
    }

    fn message(&self, record: Record) -> Result<Message, ReadError> {
        let Record { message_id, publish_time, mut attributes, data, mut ordering_key } = record;
        if self.key_is_attribute
            && let Some(key) = attributes.remove(ORDERING_KEY)
        {
            ordering_key = key;
        }
        match Timestamp::from_microsecond(publish_time) {
            Ok(publish_time) => {
                Ok(Message { message_id, publish_time, ordering_key, attributes, data: Bytes::from(data) })
            }
            Err(_) => Err(ReadError::PublishTime { message_id, microseconds: publish_time }),
        }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Message, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let message = self.records.next()?.map_err(read).and_then(|record| self.message(record));
        self.has_failed = message.is_err();
        Some(message)
    }
}

pub(crate) fn read(error: apache_avro::Error) -> ReadError {
    ReadError::Avro(Box::new(error))
}

#[cfg(test)]
mod tests {
    use apache_avro::{Writer, types::Value};
    use catalog::Codec;
    use proptest::{collection, prelude::*};

    use super::*;
    use crate::ObjectWriter;

    const CODECS: [Codec; 4] = [Codec::Zstd, Codec::Snappy, Codec::Deflate, Codec::Null];

    fn message() -> impl Strategy<Value = Message> {
        let attributes = collection::btree_map(".{0,8}", ".{0,20}", 0..5);
        let data = collection::vec(any::<u8>(), 0..3000);
        (".{0,20}", 0..4_102_444_800_000_000_i64, ".{0,5}", attributes, data).prop_map(
            |(message_id, time, ordering_key, attributes, data)| Message {
                message_id,
                publish_time: Timestamp::from_microsecond(time).expect("a time before 2100"),
                ordering_key,
                attributes,
                data: data.into(),
            },
        )
    }

    fn write(messages: &[Message], codec: Codec) -> Vec<u8> {
        let mut writer = ObjectWriter::new("projects/p/subscriptions/s-archive", codec).expect("a writer");
        let mut file = Vec::new();
        for message in messages {
            writer.append(message).expect("a record");
            file.extend(writer.take());
        }
        let (rest, summary) = writer.finish().expect("an end").expect("messages");
        assert_eq!(summary.records, messages.len() as u64);
        assert_eq!(Some(summary.first_publish_time), messages.iter().map(|message| message.publish_time).min());
        assert_eq!(Some(summary.last_publish_time), messages.iter().map(|message| message.publish_time).max());
        file.extend(rest);
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_written_is_read(messages in collection::vec(message(), 1..200), codec in 0..4_usize) {
            let file = write(&messages, CODECS[codec]);
            let read: Result<Vec<_>, _> = Records::new(file.as_slice()).expect("a file").collect();
            prop_assert_eq!(read.expect("messages"), messages);
        }

        #[test]
        fn no_bytes_panic(one in message(), head in 0..900_usize, tail in collection::vec(any::<u8>(), 0..300)) {
            let mut file = write(&[one], Codec::Null);
            file.truncate(head);
            file.extend(tail);
            if let Ok(records) = Records::new(file.as_slice()) {
                let _ = records.take(1000).filter(Result::is_err).count();
            }
        }
    }

    #[test]
    fn an_empty_object_is_none() {
        let writer = ObjectWriter::new("s", Codec::Zstd).expect("a writer");
        assert!(writer.finish().expect("an end").is_none());
    }

    #[test]
    fn the_writer_keeps_no_more_than_a_block() {
        let mut writer = ObjectWriter::new("s", Codec::Null).expect("a writer");
        let message = Message {
            message_id: "1".into(),
            publish_time: Timestamp::UNIX_EPOCH,
            ordering_key: String::new(),
            attributes: BTreeMap::new(),
            data: Bytes::from(vec![b'x'; 10_000]),
        };
        let mut taken = 0;
        for written in 1..=1000 {
            writer.append(&message).expect("a record");
            taken += writer.take().len();
            assert!(taken + (300 << 10) > written * 10_000, "{taken} of {}", written * 10_000);
        }
    }

    #[test]
    fn objects_of_pub_subs_own_subscriptions_are_read() {
        let schema = crate::SCHEMA.replace(
            r#",
    { "name": "ordering_key", "type": "string", "default": "" }"#,
            "",
        );
        let schema = Schema::parse_str(&schema).expect("Pub/Sub's schema");
        let mut writer = Writer::new(&schema, Vec::new()).expect("a writer");
        let attributes = [("a", "1"), (ORDERING_KEY, "k")].map(|(name, value)| (name.to_owned(), Value::from(value)));
        let fields = [
            ("subscription_name", Value::from("s")),
            ("message_id", Value::from("7")),
            ("publish_time", Value::TimestampMicros(1_000_000)),
            ("attributes", Value::Map(attributes.into())),
            ("data", Value::Bytes(b"{}".to_vec())),
        ];
        let record = Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into());
        writer.append_value(record).expect("a record");
        let file = writer.into_inner().expect("a file");
        let read: Result<Vec<_>, _> = Records::new(file.as_slice()).expect("a file").collect();
        let expected = Message {
            message_id: "7".into(),
            publish_time: "1970-01-01T00:00:01Z".parse().expect("a time"),
            ordering_key: "k".into(),
            attributes: BTreeMap::from([("a".into(), "1".into())]),
            data: Bytes::from_static(b"{}"),
        };
        assert_eq!(read.expect("messages"), [expected]);
    }
}
