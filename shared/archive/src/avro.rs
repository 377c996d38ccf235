//! The Avro object: one record a message, in the schema of Pub/Sub's own Cloud Storage subscriptions.

use catalog::Codec;
use event::{Message, Timestamp};
use uuid::Uuid;

use crate::{
    codec::{CodecError, Encode, avro_name},
    container::{Header, bytes, long},
};

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

/// A block is compressed and leaves the writer when it holds this much: what a writer keeps in memory.
const BLOCK: usize = 256 << 10;

/// A message could not be encoded. The object is unusable from then on.
#[derive(Debug, thiserror::Error)]
#[error("the message could not be encoded as Avro")]
pub struct EncodeError(#[from] CodecError);

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

/// Encodes messages into one Avro object container file, block by block. It keeps one block in memory, whatever the
/// object's size, as long as [`ObjectWriter::take`] is called now and then.
///
/// The records are encoded here and not by apache-avro: their one shape is known, and this is several times as fast. The tests
/// read every object by apache-avro, and by Python's fastavro.
pub struct ObjectWriter {
    subscription: String,
    header: Header,
    encode: Encode,
    /// The block under way, and how many records it holds.
    block: Vec<u8>,
    records: u64,
    /// The last block, compressed; kept for its memory.
    compressed: Vec<u8>,
    /// What is to be taken.
    file: Vec<u8>,
    summary: Option<Summary>,
}

impl ObjectWriter {
    /// An object of messages that were pulled from `subscription` (its full name).
    pub fn new(subscription: impl Into<String>, codec: Codec) -> Result<Self, EncodeError> {
        let header = Header::new(SCHEMA, avro_name(codec), Uuid::new_v4().into_bytes());
        let mut file = Vec::new();
        header.write(&mut file);
        Ok(Self {
            subscription: subscription.into(),
            header,
            encode: Encode::new(codec)?,
            block: Vec::with_capacity(BLOCK + BLOCK / 8),
            records: 0,
            compressed: Vec::new(),
            file,
            summary: None,
        })
    }

    /// Adds a message. Publish times are kept in microseconds, which is Pub/Sub's precision.
    pub fn append(&mut self, message: &Message) -> Result<(), EncodeError> {
        let block = &mut self.block;
        bytes(self.subscription.as_bytes(), block);
        bytes(message.message_id.as_bytes(), block);
        long(message.publish_time.as_microsecond(), block);
        if !message.attributes.is_empty() {
            long(message.attributes.len() as i64, block);
            for (name, value) in &message.attributes {
                bytes(name.as_bytes(), block);
                bytes(value.as_bytes(), block);
            }
        }
        long(0, block);
        bytes(&message.data, block);
        bytes(message.ordering_key.as_bytes(), block);
        self.records += 1;
        match &mut self.summary {
            Some(summary) => summary.add(message),
            None => self.summary = Some(Summary::of(message)),
        }
        if self.block.len() >= BLOCK { self.end_block() } else { Ok(()) }
    }

    /// Hands out the file's bytes that are complete and were not handed out before.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.file)
    }

    /// The rest of the file's bytes, and what the object holds; `None` where no message was added.
    pub fn finish(mut self) -> Result<Option<(Vec<u8>, Summary)>, EncodeError> {
        if self.records > 0 {
            self.end_block()?;
        }
        Ok(self.summary.map(|summary| (self.file, summary)))
    }

    fn end_block(&mut self) -> Result<(), EncodeError> {
        self.encode.block(&self.block, &mut self.compressed)?;
        self.header.write_block(self.records, &self.compressed, &mut self.file);
        self.records = 0;
        self.block.clear();
        if self.block.capacity() > 4 * BLOCK {
            self.block.shrink_to(BLOCK); // one message of 10 MB was in it
            self.compressed = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::{Schema, rabin::Rabin};

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
