//! The archive, object by object as the manifest lists them.

use anyhow::{Context, bail};
use archive::{ManifestEntry, Records};
use event::Message;
use objects::ObjectStore;

use super::interval::Interval;

/// The objects of `stream` that may hold messages of `interval`, those that count.
pub(super) async fn list(store: &ObjectStore, stream: &str, interval: &Interval) -> anyhow::Result<Vec<ManifestEntry>> {
    Ok(archive::live(archive::entries(store, stream, interval.from, interval.to).await?))
}

/// Hands every message of the objects that lies in `interval` to `take`. One object at a time is in memory.
pub(super) async fn each(
    store: &ObjectStore,
    objects: &[ManifestEntry],
    interval: &Interval,
    mut take: impl FnMut(&Message),
) -> anyhow::Result<()> {
    for entry in objects {
        let bytes = store.read(&entry.object).await?;
        let checksum = format!("{:08x}", crc32c::crc32c(&bytes));
        if checksum != entry.crc32c {
            bail!("{} has the checksum {checksum}, its manifest entry says {}", entry.object, entry.crc32c);
        }
        let mut records = 0;
        for message in Records::new(&*bytes).with_context(|| entry.object.clone())? {
            let message = message.with_context(|| entry.object.clone())?;
            records += 1;
            if interval.holds(message.publish_time) {
                take(&message);
            }
        }
        if records != entry.records {
            bail!("{} holds {records} messages, its manifest entry says {}", entry.object, entry.records);
        }
        // Decoding keeps the thread busy; others get their turn between objects.
        tokio::task::yield_now().await;
    }
    Ok(())
}
