//! The archive, object by object as the manifest lists them.

use anyhow::{Context, bail};
use archive::{Hour, ManifestEntry, Records, manifest_prefix};
use event::Message;
use futures::{StreamExt, TryStreamExt};
use jiff::SignedDuration;
use objects::ObjectStore;

use super::interval::Interval;

/// Manifest entries that are read at once.
const ENTRIES: usize = 16;

/// The objects of `stream` that may hold messages of `interval`.
pub(super) async fn list(store: &ObjectStore, stream: &str, interval: &Interval) -> anyhow::Result<Vec<ManifestEntry>> {
    let prefix = manifest_prefix(stream);
    let names = store.list_all(&prefix).await?.into_iter().map(|object| object.name);
    let names: Vec<String> = names.filter(|name| is_near(&name[prefix.len()..], interval)).collect();
    let entries = futures::stream::iter(&names).map(|name| ManifestEntry::read(store, name)).buffered(ENTRIES);
    let entries: Vec<ManifestEntry> = entries.try_collect().await?;
    let meets = |entry: &ManifestEntry| interval.meets(entry.first_publish_time, entry.last_publish_time);
    Ok(entries.into_iter().filter(meets).collect())
}

/// Whether an entry of that name (below the manifest's prefix) may be of the interval: names begin with the hour.
fn is_near(name: &str, interval: &Interval) -> bool {
    let hour = |time| Hour::of(time).to_string();
    let length = "dt=2024-02-01/hr=10".len();
    let Some(found) = name.get(..length) else { return true };
    // An object has an hour's messages; one that was merged may reach from its hour into the next.
    let from = interval.from.map(|from| from.checked_sub(SignedDuration::from_hours(1)).unwrap_or(from));
    from.is_none_or(|from| *hour(from) <= *found) && interval.to.is_none_or(|to| *found <= *hour(to))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_hour() {
        let time = |text: &str| Some(text.parse().expect("a time"));
        let interval = Interval::new(time("2024-02-01T10:30:00Z"), time("2024-02-01T12:00:00Z")).expect("an interval");
        let near = |hour: &str| is_near(&format!("dt=2024-02-01/hr={hour}/x.avro.json"), &interval);
        let found: Vec<&str> = ["08", "09", "10", "11", "12", "13"].into_iter().filter(|hour| near(hour)).collect();
        assert_eq!(found, ["09", "10", "11", "12"]);
    }
}
