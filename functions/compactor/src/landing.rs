//! The JSON events themselves, one a line, in objects for those who read no Avro.

use std::collections::BTreeMap;

use archive::stamp;
use catalog::{Labels, Landing};
use event::{Message, Timestamp};
use objects::{ObjectStore, StoreError};
use uuid::Uuid;

use crate::report::Landed;

const CONTENT_TYPE: &str = "application/x-ndjson";
/// What is kept in memory of all objects under way; then the largest is written.
const HELD_BYTES: usize = 4 << 20;

/// The objects of a run that are gathered.
pub(crate) struct LandingStrip<'a> {
    store: &'a ObjectStore,
    landing: &'a Landing,
    open: BTreeMap<String, Batch>,
    held: usize,
    landed: Landed,
}

struct Batch {
    first: Timestamp,
    lines: Vec<u8>,
}

impl<'a> LandingStrip<'a> {
    pub(crate) fn new(store: &'a ObjectStore, landing: &'a Landing) -> Self {
        Self { store, landing, open: BTreeMap::new(), held: 0, landed: Landed::default() }
    }

    /// Adds the event of `message`, whose data is one JSON object.
    pub(crate) async fn add(&mut self, message: &Message, labels: &Labels<'_>) -> Result<(), StoreError> {
        let prefix = self.landing.layout.render(labels);
        let batch = self.open.entry(prefix).or_insert(Batch { first: message.publish_time, lines: Vec::new() });
        batch.first = batch.first.min(message.publish_time);
        // In JSON a line break is white space wherever it stands: inside a string it would be escaped.
        batch.lines.extend(message.data.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        batch.lines.push(b'\n');
        self.landed.events += 1;
        self.held += message.data.len() + 1;
        while self.held >= HELD_BYTES {
            self.write_largest().await?;
        }
        Ok(())
    }

    /// A message was met whose data is no JSON object: the Avro archive has it.
    pub(crate) fn skip(&mut self) {
        self.landed.skipped += 1;
    }

    /// Writes what is left. Every event that was added is then in an object, and its message may be acked.
    pub(crate) async fn finish(&mut self) -> Result<(), StoreError> {
        while !self.open.is_empty() {
            self.write_largest().await?;
        }
        Ok(())
    }

    /// What has landed.
    pub(crate) fn landed(&self) -> Landed {
        self.landed
    }

    async fn write_largest(&mut self) -> Result<(), StoreError> {
        let largest = self.open.iter().max_by_key(|(_, batch)| batch.lines.len()).map(|(prefix, _)| prefix.clone());
        let Some((prefix, batch)) = largest.and_then(|prefix| self.open.remove_entry(&prefix)) else {
            self.held = 0;
            return Ok(());
        };
        // An id of its own in each name, and the upload's precondition: nothing is ever overwritten.
        let name = format!("{prefix}{}-{}.ndjson", stamp(batch.first), Uuid::new_v4());
        let mut upload = self.store.upload(&name, CONTENT_TYPE).await?;
        upload.write(&batch.lines).await?;
        upload.finish().await?;
        self.held = self.held.saturating_sub(batch.lines.len());
        self.landed.objects += 1;
        Ok(())
    }
}
