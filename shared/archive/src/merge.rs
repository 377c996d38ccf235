//! Small objects of an hour become a large one: their blocks are copied as they are, and one manifest entry swaps it in.

use std::collections::{BTreeMap, BTreeSet};

use catalog::Codec;
use event::Timestamp;
use objects::{ObjectStore, StoreError, StoredObject, Upload};
use uuid::Uuid;

use crate::{
    Hour, ManifestEntry, begin,
    codec::{CodecError, Encode, avro_name, decode, of_avro_name},
    container::{Block, Blocks, ContainerError, Header},
    entries,
    layout::{object_name_in, prefix_of},
    live,
};

/// Why objects were not merged. They are as they were.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The store said so.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object is no sound container.
    #[error("{object} cannot be taken apart")]
    Container {
        /// The object.
        object: String,
        /// What is wrong with it.
        #[source]
        source: ContainerError,
    },
    /// A block could not be compressed anew.
    #[error("a block of {object} cannot be compressed anew")]
    Codec {
        /// The object.
        object: String,
        /// What is wrong with it.
        #[source]
        source: CodecError,
    },
    /// An object is not what its manifest entry says.
    #[error("{object} has {found}, its manifest entry says {said}")]
    Damaged {
        /// The object.
        object: String,
        /// What was found.
        found: String,
        /// What was expected.
        said: String,
    },
    /// The objects are not of one schema, or of a codec that is unknown.
    #[error("{object} has {what}, and cannot be merged with the others")]
    Unlike {
        /// The object.
        object: String,
        /// What it has.
        what: String,
    },
}

/// What of `entries` should be merged: sets of at least two live objects of one hour, one place and one schema, each smaller than
/// `target_bytes` and together no larger. Hours that are not over at `closed_at` are left alone.
pub fn plan(entries: Vec<ManifestEntry>, target_bytes: u64, closed_at: Timestamp) -> Vec<Vec<ManifestEntry>> {
    let mut groups: BTreeMap<(Hour, String, Option<String>), Vec<ManifestEntry>> = BTreeMap::new();
    for entry in live(entries).into_iter().filter(|entry| entry.bytes < target_bytes) {
        let hour = Hour::of(entry.first_publish_time);
        let Some(prefix) = prefix_of(&entry.object).filter(|_| hour.end() <= closed_at) else { continue };
        groups.entry((hour, prefix.to_owned(), entry.schema_fingerprint.clone())).or_default().push(entry);
    }
    let mut sets = Vec::new();
    for (_, mut group) in groups {
        group.sort_by(|a, b| (a.first_publish_time, &a.object).cmp(&(b.first_publish_time, &b.object)));
        let (mut set, mut bytes): (Vec<ManifestEntry>, u64) = (Vec::new(), 0);
        for entry in group {
            if bytes + entry.bytes > target_bytes {
                sets.push(std::mem::take(&mut set));
                bytes = 0;
            }
            bytes += entry.bytes;
            set.push(entry);
        }
        sets.push(set);
    }
    sets.retain(|set| set.len() > 1);
    sets
}

/// Merges the objects of `set`, which [`plan`] gave, into one of `codec`, and swaps it in. The old objects stay until they are
/// swept. `None`: meanwhile another merged one of them, and nothing was changed.
///
/// In memory are one block and one chunk of the upload. A block is copied as it is where it has the codec already.
pub async fn merge(
    store: &ObjectStore,
    set: &[ManifestEntry],
    codec: Codec,
) -> Result<Option<ManifestEntry>, MergeError> {
    let Some(first) = set.first() else { return Ok(None) };
    let prefix = prefix_of(&first.object).unwrap_or_default();
    let name = object_name_in(prefix, first.first_publish_time, Uuid::new_v4());
    let upload = begin(store, &first.stream, &name).await?;
    let mut output = Output { upload, codec, encode: None, header: None, file: Vec::new(), block: Vec::new() };
    for entry in set {
        if let Err(error) = output.copy(store, entry).await {
            output.upload.abandon().await;
            return Err(error);
        }
    }
    let object = output.upload.finish().await?;
    let merged = merged_entry(set, &object, codec);
    if is_live_still(store, set).await? {
        merged.write(store).await?;
        Ok(Some(merged))
    } else {
        store.delete(&object.name, object.generation).await?;
        Ok(None)
    }
}

/// Whether every object of `set` counts still. Between this and the swap another may merge them too: then [`live`] decides, and
/// where the sets are not the same, messages are in two objects, as `message_id` tells.
async fn is_live_still(store: &ObjectStore, set: &[ManifestEntry]) -> Result<bool, StoreError> {
    let Some(first) = set.first() else { return Ok(false) };
    let hour = Hour::of(first.first_publish_time);
    let found = live(entries(store, &first.stream, Some(hour.start()), Some(hour.end())).await?);
    let found: BTreeSet<&str> = found.iter().map(|entry| entry.object.as_str()).collect();
    Ok(set.iter().all(|entry| found.contains(entry.object.as_str())))
}

fn merged_entry(set: &[ManifestEntry], object: &StoredObject, codec: Codec) -> ManifestEntry {
    let first = &set[0];
    let all = |id: fn(&ManifestEntry) -> &Option<String>| {
        set.iter().map(|entry| id(entry).as_deref()).collect::<Option<Vec<&str>>>()
    };
    let replaces: BTreeSet<&String> =
        set.iter().flat_map(|entry| std::iter::once(&entry.object).chain(&entry.replaces)).collect();
    ManifestEntry {
        version: ManifestEntry::VERSION,
        stream: first.stream.clone(),
        object: object.name.clone(),
        generation: object.generation,
        records: set.iter().map(|entry| entry.records).sum(),
        message_bytes: set.iter().map(|entry| entry.message_bytes).sum(),
        first_publish_time: set.iter().map(|entry| entry.first_publish_time).min().unwrap_or_default(),
        last_publish_time: set.iter().map(|entry| entry.last_publish_time).max().unwrap_or_default(),
        min_message_id: all(|entry| &entry.min_message_id).and_then(|ids| ids.into_iter().min().map(str::to_owned)),
        max_message_id: all(|entry| &entry.max_message_id).and_then(|ids| ids.into_iter().max().map(str::to_owned)),
        bytes: object.bytes,
        crc32c: format!("{:08x}", object.crc32c),
        codec: avro_name(codec).to_owned(),
        schema_fingerprint: first.schema_fingerprint.clone(),
        replaces: replaces.into_iter().cloned().collect(),
    }
}

/// The object under way.
struct Output {
    upload: Upload,
    codec: Codec,
    /// Where a block has another codec.
    encode: Option<Encode>,
    header: Option<Header>,
    file: Vec<u8>,
    block: Vec<u8>,
}

impl Output {
    /// Adds every block of the object of `entry`, and holds it against its entry.
    async fn copy(&mut self, store: &ObjectStore, entry: &ManifestEntry) -> Result<(), MergeError> {
        let torn = |source| MergeError::Container { object: entry.object.clone(), source };
        let mut download = store.download(&entry.object, Some(entry.generation)).await?;
        let (mut blocks, mut records, mut codec) = (Blocks::default(), 0, None);
        while let Some(part) = download.next().await? {
            blocks.feed(&part);
            if codec.is_none()
                && let Some(header) = blocks.header().map_err(torn)?
            {
                codec = Some(self.begin(entry, header)?);
            }
            while let Some(block) = blocks.next().map_err(torn)? {
                records += block.records;
                self.add(entry, codec.unwrap_or(self.codec), &block)?;
                self.upload.write(&self.file).await?;
                self.file.clear();
            }
        }
        blocks.finish().map_err(torn)?;
        let found = format!("{records} records in {} bytes with CRC32C {:08x}", download.bytes(), download.crc32c());
        let said = format!("{} records in {} bytes with CRC32C {}", entry.records, entry.bytes, entry.crc32c);
        if found == said { Ok(()) } else { Err(MergeError::Damaged { object: entry.object.clone(), found, said }) }
    }

    /// Holds a header against the first one, which begins the new object. The answer is the codec of its blocks.
    fn begin(&mut self, entry: &ManifestEntry, header: &Header) -> Result<Codec, MergeError> {
        let unlike = |what: &str| MergeError::Unlike { object: entry.object.clone(), what: what.to_owned() };
        match &self.header {
            None => {
                let ours = Header::new(&header.schema, avro_name(self.codec), Uuid::new_v4().into_bytes());
                ours.write(&mut self.file);
                self.header = Some(ours);
            }
            Some(ours) if is_same_json(&ours.schema, &header.schema) => {}
            Some(_) => return Err(unlike("another schema")),
        }
        of_avro_name(&header.codec).ok_or_else(|| unlike(&format!("the codec {:?}", header.codec)))
    }

    fn add(&mut self, entry: &ManifestEntry, codec: Codec, block: &Block) -> Result<(), MergeError> {
        let Some(header) = &self.header else { return Ok(()) };
        if codec == self.codec {
            header.write_block(block.records, &block.bytes, &mut self.file);
            return Ok(());
        }
        let failed = |source| MergeError::Codec { object: entry.object.clone(), source };
        let held = decode(codec, &block.bytes).map_err(failed)?;
        let encode = match &mut self.encode {
            Some(encode) => encode,
            None => self.encode.insert(Encode::new(self.codec).map_err(failed)?),
        };
        encode.block(&held, &mut self.block).map_err(failed)?;
        header.write_block(block.records, &self.block, &mut self.file);
        Ok(())
    }
}

fn is_same_json(a: &str, b: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    a == b || parse(a).is_some_and(|a| parse(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Summary, object_name};

    fn entry(time: &str, bytes: u64, prefix: &str) -> ManifestEntry {
        let time: Timestamp = time.parse().expect("a time");
        let name = object_name("s", time, Uuid::new_v4());
        let object = StoredObject {
            name: name.replace("s/", prefix),
            generation: 1,
            bytes,
            crc32c: 0,
            created: time,
            metadata: BTreeMap::new(),
        };
        let summary = Summary {
            records: 1,
            message_bytes: 1,
            first_publish_time: time,
            last_publish_time: time,
            min_message_id: None,
            max_message_id: None,
        };
        ManifestEntry::new("s", &object, &summary, Codec::Zstd)
    }

    #[test]
    fn small_objects_of_one_place_and_a_closed_hour_are_merged() {
        let entries = vec![
            entry("2024-02-01T10:50:00Z", 30, "s/"),
            entry("2024-02-01T10:10:00Z", 40, "s/"),
            entry("2024-02-01T10:20:00Z", 40, "s/"),
            entry("2024-02-01T10:30:00Z", 100, "s/"), // large enough
            entry("2024-02-01T10:40:00Z", 30, "s/"),
            entry("2024-02-01T10:10:00Z", 1, "s/t/"), // alone in its place
            entry("2024-02-01T11:10:00Z", 1, "s/"),   // alone in its hour
            entry("2024-02-01T12:10:00Z", 1, "s/"),   // two of an hour that is not over
            entry("2024-02-01T12:20:00Z", 1, "s/"),
        ];
        let closed_at = "2024-02-01T12:59:59Z".parse().expect("a time");
        let sizes = |sets: Vec<Vec<ManifestEntry>>| -> Vec<Vec<u64>> {
            sets.iter().map(|set| set.iter().map(|entry| entry.bytes).collect()).collect()
        };
        assert_eq!(sizes(plan(entries.clone(), 100, closed_at)), [vec![40, 40], vec![30, 30]]);
        assert_eq!(sizes(plan(entries, 1000, closed_at)), [vec![40, 40, 100, 30, 30]]);
    }
}
