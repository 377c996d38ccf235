//! The manifest: one small JSON object for each archive object, written once, when the archive object is final.
//!
//! Nothing in it is ever changed. A merge makes one new object and one entry that names in `replaces` the objects whose
//! messages it holds: from the instant that this entry stands, they are dead.

use std::collections::{BTreeMap, BTreeSet};

use catalog::Codec;
use event::Timestamp;
use futures::{StreamExt, TryStreamExt, stream};
use objects::{ObjectStore, StoreError, StoredObject};
use serde::{Deserialize, Serialize};

use crate::{
    Hour, SCHEMA_FINGERPRINT, Summary,
    codec::avro_name,
    layout::{hour_of_entry, manifest_name, manifest_prefix},
};

/// Entries that are read at once.
const READS: usize = 16;
/// How often a listing is made, where entries of it were swept before they were read.
const LISTINGS: usize = 3;

/// What the manifest says of one archive object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// The version of this document's form. 1 lacks the ids and the fingerprint, and replaces nothing.
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
    /// The least message id, in the order of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_message_id: Option<String>,
    /// The greatest message id, in the order of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_id: Option<String>,
    /// The archive object's size.
    pub bytes: u64,
    /// The archive object's CRC32C in hexadecimal, eight digits.
    pub crc32c: String,
    /// Avro's name of the codec.
    pub codec: String,
    /// The schema's fingerprint: CRC-64-AVRO of its Parsing Canonical Form, in hexadecimal, sixteen digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_fingerprint: Option<String>,
    /// The objects whose messages this one holds too, and which are dead since this entry stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// What stands in place of an entry of an object that was never listed and is swept: whoever would still list it cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    /// The object that will never be part of the archive.
    pub(crate) swept: String,
}

/// What an object below a manifest's prefix says.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Document {
    Tombstone(Tombstone),
    Entry(Box<ManifestEntry>),
}

impl ManifestEntry {
    /// The version that [`ManifestEntry::new`] writes.
    pub const VERSION: u32 = 2;

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
            min_message_id: summary.min_message_id.clone(),
            max_message_id: summary.max_message_id.clone(),
            bytes: object.bytes,
            crc32c: format!("{:08x}", object.crc32c),
            codec: avro_name(codec).to_owned(),
            schema_fingerprint: Some(SCHEMA_FINGERPRINT.to_owned()),
            replaces: Vec::new(),
        }
    }

    /// Writes the entry, which must be new. From then on the archive object is part of the archive, and what it replaces is
    /// not. [`StoreError::Exists`]: the object was swept as one that nobody lists.
    pub async fn write(&self, store: &ObjectStore) -> Result<(), StoreError> {
        let name = manifest_name(&self.stream, &self.object).ok_or_else(|| {
            let detail = format!("{} is not named as an archive object", self.object);
            StoreError::Malformed { call: "writing a manifest entry", detail }
        })?;
        create(store, &name, self).await
    }
}

/// Every entry of `stream` whose object may hold messages that were published from `from` up to, and without, `to`; in the
/// order of their names, which is that of time. Dead ones are among them: [`live`] says which count.
pub async fn entries(
    store: &ObjectStore,
    stream: &str,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Vec<ManifestEntry>, StoreError> {
    let documents = documents(store, stream, from, to).await?;
    Ok(documents.into_iter().filter_map(|(_, document)| document.entry()).collect())
}

/// The entries that count: each message of the archive is in the object of at least one of them. It may be in two, where an
/// ack was lost; `message_id` tells.
///
/// An entry is dead when another one replaces its object, or replaces all that it replaces and more: it lost to a merge of the
/// same objects, and that one was merged since. Of those that replace the same objects, as two merges at once do, the first by
/// name counts.
pub fn live(entries: Vec<ManifestEntry>) -> Vec<ManifestEntry> {
    let dead = dead(&entries);
    entries.into_iter().filter(|entry| !dead.contains(&entry.object)).collect()
}

/// The objects of dead entries.
fn dead(entries: &[ManifestEntry]) -> BTreeSet<String> {
    let mut dead: BTreeSet<String> = entries.iter().flat_map(|entry| entry.replaces.iter().cloned()).collect();
    // Merges that nobody replaced: by what they replace, the first by name.
    let mut merges: BTreeMap<BTreeSet<&str>, &str> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !entry.replaces.is_empty() && !dead.contains(&entry.object)) {
        let kept = merges.entry(replaced(entry)).or_insert(&entry.object);
        *kept = (*kept).min(&entry.object);
    }
    let lost: Vec<String> = entries
        .iter()
        .filter(|entry| !entry.replaces.is_empty())
        .filter(|entry| {
            let replaced = replaced(entry);
            let is_twin = merges.get(&replaced).is_some_and(|kept| *kept != entry.object);
            is_twin || merges.keys().any(|more| more.len() > replaced.len() && more.is_superset(&replaced))
        })
        .map(|entry| entry.object.clone())
        .collect();
    dead.extend(lost);
    dead
}

fn replaced(entry: &ManifestEntry) -> BTreeSet<&str> {
    entry.replaces.iter().map(String::as_str).collect()
}

impl Document {
    pub(crate) fn entry(self) -> Option<ManifestEntry> {
        match self {
            Self::Entry(entry) => Some(*entry),
            Self::Tombstone(_) => None,
        }
    }
}

/// The documents of a stream's manifest and the objects that they are.
pub(crate) async fn documents(
    store: &ObjectStore,
    stream: &str,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Vec<(StoredObject, Document)>, StoreError> {
    let mut listings = 1;
    loop {
        match list(store, stream, from, to).await {
            // What a merge replaced is swept a grace time later. Who listed it before, and reads it after, looks again.
            Err(StoreError::NotFound { .. }) if listings < LISTINGS => listings += 1,
            found => return found,
        }
    }
}

async fn list(
    store: &ObjectStore,
    stream: &str,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Vec<(StoredObject, Document)>, StoreError> {
    let prefix = manifest_prefix(stream);
    let hours = (from.map(Hour::of), to.map(Hour::of));
    let is_near = |name: &str| {
        // A name that tells no hour may be of any.
        let hour = name.strip_prefix(&prefix).and_then(hour_of_entry);
        hour.is_none_or(|hour| hours.0.is_none_or(|from| from <= hour) && hours.1.is_none_or(|to| hour <= to))
    };
    let found = store.list_all(&prefix).await?.into_iter().filter(|object| is_near(&object.name));
    let read = stream::iter(found).map(async |object| {
        let document = read(store, &object.name).await?;
        Ok((object, document))
    });
    let documents: Vec<(StoredObject, Document)> = read.buffered(READS).try_collect().await?;
    let meets = |document: &Document| match document {
        Document::Entry(entry) => {
            from.is_none_or(|from| from <= entry.last_publish_time) && to.is_none_or(|to| entry.first_publish_time < to)
        }
        Document::Tombstone(_) => true,
    };
    Ok(documents.into_iter().filter(|(_, document)| meets(document)).collect())
}

async fn read(store: &ObjectStore, name: &str) -> Result<Document, StoreError> {
    let json = store.read(name).await?;
    serde_json::from_slice(&json)
        .map_err(|error| StoreError::Malformed { call: "reading a manifest entry", detail: format!("{name}: {error}") })
}

pub(crate) async fn create(store: &ObjectStore, name: &str, document: &impl Serialize) -> Result<(), StoreError> {
    let json = serde_json::to_vec_pretty(document).map_err(|error| StoreError::Malformed {
        call: "writing a manifest entry",
        detail: format!("{name}: {error}"),
    })?;
    store.create(name, "application/json", json.into()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Timestamp {
        "2024-02-01T10:04:46.123456Z".parse().expect("a time")
    }

    fn entry(object: &str, replaces: &[&str]) -> ManifestEntry {
        let object = StoredObject {
            name: object.into(),
            generation: 17,
            bytes: 9,
            crc32c: 0xab,
            created: time(),
            metadata: BTreeMap::new(),
        };
        let summary = Summary {
            records: 2,
            message_bytes: 5,
            first_publish_time: time(),
            last_publish_time: time(),
            min_message_id: Some("7".into()),
            max_message_id: Some("8".into()),
        };
        let replaces = replaces.iter().map(|name| (*name).to_owned()).collect();
        ManifestEntry { replaces, ..ManifestEntry::new("s", &object, &summary, Codec::Zstd) }
    }

    #[test]
    fn an_entry_is_what_it_was() {
        let entry = entry("s/dt=2024-02-01/hr=10/x.avro", &["a", "b"]);
        let json = serde_json::to_string(&entry).expect("json");
        assert_eq!(
            json,
            r#"{"version":2,"stream":"s","object":"s/dt=2024-02-01/hr=10/x.avro","generation":17,"records":2,"message_bytes":5,"first_publish_time":"2024-02-01T10:04:46.123456Z","last_publish_time":"2024-02-01T10:04:46.123456Z","min_message_id":"7","max_message_id":"8","bytes":9,"crc32c":"000000ab","codec":"zstandard","schema_fingerprint":"a0c03f9db44551df","replaces":["a","b"]}"#
        );
        assert_eq!(serde_json::from_str::<ManifestEntry>(&json).expect("an entry"), entry);
    }

    #[test]
    fn entries_of_the_first_version_and_tombstones_are_read() {
        let first = r#"{"version":1,"stream":"s","object":"s/dt=2024-02-01/hr=10/x.avro","generation":17,"records":2,"message_bytes":5,"first_publish_time":"2024-02-01T10:04:46.123456Z","last_publish_time":"2024-02-01T10:04:46.123456Z","bytes":9,"crc32c":"000000ab","codec":"zstandard"}"#;
        let Document::Entry(entry) = serde_json::from_str(first).expect("an entry") else { panic!("a tombstone") };
        assert_eq!((entry.version, entry.min_message_id, entry.replaces), (1, None, vec![]));
        let swept: Document = serde_json::from_str(r#"{"swept":"x"}"#).expect("a tombstone");
        assert!(swept.entry().is_none());
    }

    fn living(entries: &[(&str, &[&str])]) -> Vec<String> {
        live(entries.iter().map(|(object, replaces)| entry(object, replaces)).collect())
            .into_iter()
            .map(|entry| entry.object)
            .collect()
    }

    #[test]
    fn what_is_replaced_is_dead_wherever_it_stands() {
        assert_eq!(living(&[("a", &[]), ("b", &[]), ("c", &[])]), ["a", "b", "c"]);
        assert_eq!(living(&[("m", &["a", "b"]), ("a", &[]), ("c", &[])]), ["m", "c"]);
        assert_eq!(living(&[("a", &[]), ("m", &["a", "b"]), ("n", &["m", "c"]), ("c", &[])]), ["n"]);
        assert_eq!(living(&[("m", &["a", "b"])]), ["m"], "what was swept is named still");
    }

    #[test]
    fn of_two_merges_of_the_same_objects_one_counts() {
        assert_eq!(living(&[("n", &["b", "a"]), ("m", &["a", "b"]), ("a", &[]), ("b", &[])]), ["m"]);
        assert_eq!(living(&[("m", &["a", "b"]), ("n", &["b", "c"])]), ["m", "n"], "each has what the other has not");
    }

    #[test]
    fn the_merge_that_lost_stays_dead_when_the_other_is_merged_again() {
        let all: [(&str, &[&str]); 6] =
            [("m", &["a", "b"]), ("n", &["a", "b"]), ("a", &[]), ("b", &[]), ("c", &[]), ("o", &["a", "b", "c", "m"])];
        assert_eq!(living(&all), ["o"]);
        assert_eq!(living(&all[1..]), ["o"], "the winner was swept");
        let again = [&all[..], &[("d", &[]), ("p", &["a", "b", "c", "d", "m", "o"])]].concat();
        assert_eq!(living(&again), ["p"], "and so on");
        let twins = [&all[..], &[("q", &["a", "b", "c", "m"])]].concat();
        assert_eq!(living(&twins), ["o"], "of two second merges one counts");
    }
}
