//! What is no part of the archive any more, or never was, is removed after a grace time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use event::Timestamp;
use objects::{ObjectStore, StoreError, StoredObject};
use serde::Serialize;

use crate::{
    Hour, ManifestEntry, STREAM_KEY,
    layout::{hour_of_object, manifest_name, manifest_prefix},
    live,
    manifest::{Document, Tombstone, create, documents},
};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Objects that others replace.
    pub replaced: u64,
    /// Objects that no entry names: their writers died.
    pub orphans: u64,
    /// The bytes of both.
    pub bytes: u64,
}

/// What of a stream's archive is swept.
#[derive(Debug, Clone, Copy)]
pub struct Broom<'a> {
    /// The stream.
    pub stream: &'a str,
    /// What the names of its objects begin with.
    pub prefix: &'a str,
    /// Hours before this time's are not looked at; `None`: all are.
    pub from: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
    /// How long everything is left alone.
    pub grace: Duration,
}

/// Removes what was replaced, and what was never listed, longer ago than the grace time.
///
/// A reader that listed the archive before a merge has the grace time to read what it saw. An object that nobody lists may be one
/// that a compactor is about to list, if that compactor was frozen for so long: so its entry's name is taken first by a
/// tombstone. Whoever then comes to write the entry cannot, and acks nothing.
pub async fn sweep(store: &ObjectStore, broom: &Broom<'_>) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    // Objects first: one that becomes part of the archive in between is younger than the grace time.
    let objects = store.list_all(broom.prefix).await?;
    // From the hour's start: an object of that hour whose entry was left out would look like nobody's.
    let from = broom.from.map(|from| Hour::of(from).start());
    let documents = documents(store, broom.stream, from, None).await?;
    let mut known = BTreeSet::new();
    for (_, document) in &documents {
        if let Document::Entry(entry) = document {
            known.insert(entry.object.clone());
        }
    }
    for object in objects.iter().filter(|object| broom.is_orphan(object, &known)) {
        if let Some(name) = manifest_name(broom.stream, &object.name)
            && bury(store, &name, object).await?
        {
            swept.orphans += 1;
            swept.bytes += object.bytes;
        }
    }
    sweep_replaced(store, broom, documents, &mut swept).await?;
    Ok(swept)
}

impl Broom<'_> {
    fn is_over(&self, time: Timestamp) -> bool {
        time.checked_add(self.grace).is_ok_and(|end| end <= self.now)
    }

    fn is_orphan(&self, object: &StoredObject, known: &BTreeSet<String>) -> bool {
        let is_in_sight =
            hour_of_object(&object.name).is_some_and(|hour| self.from.is_none_or(|from| Hour::of(from) <= hour));
        is_in_sight
            && object.metadata.get(STREAM_KEY).is_some_and(|stream| stream == self.stream)
            && !object.name.starts_with(&manifest_prefix(self.stream))
            && !known.contains(&object.name)
            && self.is_over(object.created)
    }
}

/// Takes the entry's name, then removes the object. `false`: the object has an entry by now.
async fn bury(store: &ObjectStore, entry: &str, object: &StoredObject) -> Result<bool, StoreError> {
    match create(store, entry, &Tombstone { swept: object.name.clone() }).await {
        Ok(()) => {}
        Err(StoreError::Exists { .. }) => return Ok(false),
        Err(error) => return Err(error),
    }
    store.delete(&object.name, object.generation).await?;
    tracing::info!(object = object.name, bytes = object.bytes, "an object that nobody lists was swept");
    Ok(true)
}

async fn sweep_replaced(
    store: &ObjectStore,
    broom: &Broom<'_>,
    documents: Vec<(StoredObject, Document)>,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let mut entries = Vec::new();
    for (file, document) in documents {
        match document {
            Document::Entry(entry) => entries.push((file, *entry)),
            // The object is gone, and so is whoever would have listed it.
            Document::Tombstone(tombstone) if broom.is_over(file.created) => {
                if store.find(&tombstone.swept).await?.is_none() {
                    store.delete(&file.name, file.generation).await?;
                }
            }
            Document::Tombstone(_) => {}
        }
    }
    let living = live(entries.iter().map(|(_, entry)| entry.clone()).collect());
    let created: BTreeMap<&str, Timestamp> =
        entries.iter().map(|(file, entry)| (entry.object.as_str(), file.created)).collect();
    let names: BTreeSet<&str> = living.iter().map(|entry| entry.object.as_str()).collect();
    // What replaces an object must stand itself, as it was written: whatever was done to the bucket by hand.
    let mut standing: BTreeMap<&str, bool> = BTreeMap::new();
    for (file, entry) in entries.iter().filter(|(_, entry)| !names.contains(entry.object.as_str())) {
        let Some(heir) = living.iter().find(|heir| is_heir(heir, entry)) else { continue };
        let since = created.get(heir.object.as_str()).map_or(file.created, |time| (*time).max(file.created));
        if !broom.is_over(since) {
            continue;
        }
        if !standing.contains_key(heir.object.as_str()) {
            let found = store.find(&heir.object).await?;
            standing.insert(&heir.object, found.is_some_and(|found| found.generation == heir.generation));
        }
        if standing.get(heir.object.as_str()) != Some(&true) {
            tracing::error!(
                object = heir.object,
                replaces = entry.object,
                "an object that replaces others is not there"
            );
            continue;
        }
        store.delete(&entry.object, entry.generation).await?;
        store.delete(&file.name, file.generation).await?;
        swept.replaced += 1;
        swept.bytes += entry.bytes;
    }
    Ok(())
}

/// Whether the live entry `heir` holds the messages of the dead one: it replaces it, or it replaces the same objects.
fn is_heir(heir: &ManifestEntry, dead: &ManifestEntry) -> bool {
    heir.replaces.contains(&dead.object)
        || (!dead.replaces.is_empty() && dead.replaces.iter().all(|object| heir.replaces.contains(object)))
}
