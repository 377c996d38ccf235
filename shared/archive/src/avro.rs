//! The Avro object: one record a message, in the schema of Pub/Sub's own Cloud Storage subscriptions.

use std::{collections::BTreeMap, sync::LazyLock};

use apache_avro::{DeflateSettings, Schema, Writer, ZstandardSettings};
use catalog::Codec;
use event::{Message, Timestamp};
use miniz_oxide::deflate::CompressionLevel;
use serde::Serialize;

/// The schema of every object that Pipas writes.
///
/// It is that of Pub/Sub's Cloud Storage subscriptions with metadata
/// (<https://cloud.google.com/pubsub/docs/create-cloudstorage-subscription#avro>): namespace, name, and the first five
/// fields with their types. One field is added at the end. Pub/Sub puts an ordering key among the attributes, where it
/// cannot be told from an attribute of that name; here it is a field with a default, so that readers of Pub/Sub's schema
/// read these objects by Avro's schema resolution, and readers of this schema read Pub/Sub's.
pub const SCHEMA: &str = r#"{
  "type": "record",
  "namespace": "com.google.pubsub",
  "name": "PubsubMessageWithMetadata",
  "fields": [
    { "name": "subscription_name", "type": "string" },
    { "name": "message_id", "type": "string" },
    { "name": "publish_time", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "attributes", "type": { "type": "map", "values": "string" } },
    { "name": "data", "type": "bytes" },
    { "name": "ordering_key", "type": "string", "default": "" }
  ]
}"#;

/// The fingerprint of [`SCHEMA`]: CRC-64-AVRO of its Parsing Canonical Form, its bytes in the order in which Avro's single-object
/// encoding and fastavro write them.
pub const SCHEMA_FINGERPRINT: &str = "a0c03f9db44551df";

static PARSED: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse_str(SCHEMA).expect("the schema is a constant, and a test parses it"));

/// A block is compressed and leaves the writer when it holds this much: what a writer keeps in memory.
const BLOCK: usize = 256 << 10;
/// Level 1: on messages of JSON a few per cent larger than the default, at several times the speed.
const ZSTD_LEVEL: u8 = 1;

/// A message could not be encoded. The object is unusable from then on.
#[derive(Debug, thiserror::Error)]
#[error("the message could not be encoded as Avro")]
pub struct EncodeError(#[source] Box<apache_avro::Error>);

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many records.
    pub records: u64,
    /// The bytes of the messages, as Pub/Sub counts them.
    pub message_bytes: u64,
    /// The earliest publish time.
    pub first_publish_time: Timestamp,
    /// The latest publish time.
    pub last_publish_time: Timestamp,
    /// The least message id, in the order of bytes.
    pub min_message_id: Option<String>,
    /// The greatest message id, in the order of bytes.
    pub max_message_id: Option<String>,
}

impl Summary {
    /// Of one message.
    fn of(message: &Message) -> Self {
        Self {
            records: 1,
            message_bytes: message.size() as u64,
            first_publish_time: message.publish_time,
            last_publish_time: message.publish_time,
            min_message_id: Some(message.message_id.clone()),
            max_message_id: Some(message.message_id.clone()),
        }
    }

    fn add(&mut self, message: &Message) {
        self.records += 1;
        self.message_bytes += message.size() as u64;
        self.first_publish_time = self.first_publish_time.min(message.publish_time);
        self.last_publish_time = self.last_publish_time.max(message.publish_time);
        let id = message.message_id.as_str();
        if self.min_message_id.as_deref().is_none_or(|least| id < least) {
            self.min_message_id = Some(id.to_owned());
        }
        if self.max_message_id.as_deref().is_none_or(|greatest| greatest < id) {
            self.max_message_id = Some(id.to_owned());
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "PubsubMessageWithMetadata")]
struct Record<'a> {
    subscription_name: &'a str,
    message_id: &'a str,
    publish_time: i64,
    attributes: &'a BTreeMap<String, String>,
    #[serde(with = "serde_bytes")]
    data: &'a [u8],
    ordering_key: &'a str,
}

/// Encodes messages into one Avro object container file, block by block. It keeps one block in memory, whatever the
/// object's size, as long as [`ObjectWriter::take`] is called now and then.
pub struct ObjectWriter {
    subscription: String,
    writer: Writer<'static, Vec<u8>>,
    summary: Option<Summary>,
}

impl ObjectWriter {
    /// An object of messages that were pulled from `subscription` (its full name).
    pub fn new(subscription: impl Into<String>, codec: Codec) -> Result<Self, EncodeError> {
        let codec = match codec {
            Codec::Zstd => apache_avro::Codec::Zstandard(ZstandardSettings::new(ZSTD_LEVEL)),
            Codec::Snappy => apache_avro::Codec::Snappy,
            Codec::Deflate => apache_avro::Codec::Deflate(DeflateSettings::new(CompressionLevel::BestSpeed)),
            Codec::Null => apache_avro::Codec::Null,
        };
        let writer = Writer::builder().schema(&PARSED).writer(Vec::new()).codec(codec).block_size(BLOCK).build();
        Ok(Self { subscription: subscription.into(), writer: writer.map_err(encode)?, summary: None })
    }

    /// Adds a message. Publish times are kept in microseconds, which is Pub/Sub's precision.
    pub fn append(&mut self, message: &Message) -> Result<(), EncodeError> {
        let record = Record {
            subscription_name: &self.subscription,
            message_id: &message.message_id,
            publish_time: message.publish_time.as_microsecond(),
            attributes: &message.attributes,
            data: &message.data,
            ordering_key: &message.ordering_key,
        };
        self.writer.append_ser(record).map_err(encode)?;
        match &mut self.summary {
            Some(summary) => summary.add(message),
            None => self.summary = Some(Summary::of(message)),
        }
        Ok(())
    }

    /// Hands out the file's bytes that are complete and were not handed out before.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }

    /// The rest of the file's bytes, and what the object holds; `None` where no message was added.
    pub fn finish(self) -> Result<Option<(Vec<u8>, Summary)>, EncodeError> {
        let Some(summary) = self.summary else { return Ok(None) };
        let rest = self.writer.into_inner().map_err(encode)?;
        Ok(Some((rest, summary)))
    }
}

fn encode(error: apache_avro::Error) -> EncodeError {
    EncodeError(Box::new(error))
}

#[cfg(test)]
mod tests {
    use apache_avro::rabin::Rabin;

    use super::*;

    #[test]
    fn the_fingerprint_is_the_schemas() {
        // A logical type is no part of the canonical form; apache-avro would leave `{"type":"long"}` of it, and Avro says "long".
        let logical = r#"{ "type": "long", "logicalType": "timestamp-micros" }"#;
        assert!(SCHEMA.contains(logical));
        let schema = Schema::parse_str(&SCHEMA.replace(logical, r#""long""#)).expect("a schema");
        assert_eq!(schema.fingerprint::<Rabin>().to_string(), SCHEMA_FINGERPRINT);
    }
}
