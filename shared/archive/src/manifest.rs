//! The manifest: one small JSON object for each archive object, written once, when the archive object is final.

use catalog::Codec;
use event::Timestamp;
use objects::{ObjectStore, StoreError, StoredObject};
use serde::{Deserialize, Serialize};

use crate::{Summary, layout::manifest_name};

/// What the manifest says of one archive object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// The version of this document's form.
    pub version: u32,
    /// The stream.
    pub stream: String,
    /// The archive object's name.
    pub object: String,
    /// Which object of that name.
    pub generation: i64,
    /// How many messages it holds.
    pub records: u64,
    /// The bytes of those messages, as Pub/Sub counts them.
    pub message_bytes: u64,
    /// The earliest publish time.
    pub first_publish_time: Timestamp,
    /// The latest publish time.
    pub last_publish_time: Timestamp,
    /// The archive object's size.
    pub bytes: u64,
    /// The archive object's CRC32C in hexadecimal, eight digits.
    pub crc32c: String,
    /// Avro's name of the codec.
    pub codec: String,
}

impl ManifestEntry {
    /// The version that [`ManifestEntry::new`] writes.
    pub const VERSION: u32 = 1;

    /// The entry of `object`, which holds what `summary` says.
    pub fn new(stream: &str, object: &StoredObject, summary: &Summary, codec: Codec) -> Self {
        Self {
            version: Self::VERSION,
            stream: stream.to_owned(),
            object: object.name.clone(),
            generation: object.generation,
            records: summary.records,
            message_bytes: summary.message_bytes,
            first_publish_time: summary.first_publish_time,
            last_publish_time: summary.last_publish_time,
            bytes: object.bytes,
            crc32c: format!("{:08x}", object.crc32c),
            codec: avro_name(codec).to_owned(),
        }
    }

    /// Writes the entry, which must be new. From then on the archive object is part of the archive.
    pub async fn write(&self, store: &ObjectStore) -> Result<(), StoreError> {
        let call = "writing a manifest entry";
        let malformed = |detail: String| StoreError::Malformed { call, detail };
        let name = manifest_name(&self.stream, &self.object)
            .ok_or_else(|| malformed(format!("{} is no object of {}", self.object, self.stream)))?;
        let json = serde_json::to_vec_pretty(self).map_err(|error| malformed(error.to_string()))?;
        store.create(&name, "application/json", json.into()).await
    }

    /// Reads the entry of that name.
    pub async fn read(store: &ObjectStore, name: &str) -> Result<Self, StoreError> {
        let json = store.read(name).await?;
        serde_json::from_slice(&json).map_err(|error| StoreError::Malformed {
            call: "reading a manifest entry",
            detail: format!("{name}: {error}"),
        })
    }
}

/// The codec's name in an Avro file's header.
fn avro_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Zstd => "zstandard",
        Codec::Snappy => "snappy",
        Codec::Deflate => "deflate",
        Codec::Null => "null",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_entry_is_what_it_was() {
        let object = StoredObject {
            name: "s/dt=2024-02-01/hr=10/x.avro".into(),
            generation: 17,
            bytes: 9,
            crc32c: 0xab,
            metadata: BTreeMap::new(),
        };
        let time: Timestamp = "2024-02-01T10:04:46.123456Z".parse().expect("a time");
        let summary = Summary { records: 2, message_bytes: 5, first_publish_time: time, last_publish_time: time };
        let entry = ManifestEntry::new("s", &object, &summary, Codec::Zstd);
        let json = serde_json::to_string(&entry).expect("json");
        assert_eq!(
            json,
            r#"{"version":1,"stream":"s","object":"s/dt=2024-02-01/hr=10/x.avro","generation":17,"records":2,"message_bytes":5,"first_publish_time":"2024-02-01T10:04:46.123456Z","last_publish_time":"2024-02-01T10:04:46.123456Z","bytes":9,"crc32c":"000000ab","codec":"zstandard"}"#
        );
        assert_eq!(serde_json::from_str::<ManifestEntry>(&json).expect("an entry"), entry);
    }
}
