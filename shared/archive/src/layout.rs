//! Where objects lie in the bucket: the Hive layout, by the publish time of the messages, so that a BigQuery external table
//! finds its partitions (<https://cloud.google.com/bigquery/docs/hive-partitioned-queries>).
//!
//! ```text
//! {stream}/dt=2024-02-01/hr=10/20240201T100446.123456Z-{uuid}.avro
//! {stream}/_manifest/dt=2024-02-01/hr=10/20240201T100446.123456Z-{uuid}.avro.json
//! ```
//! An external table takes `gs://{bucket}/{stream}/dt=*`, which leaves the manifest out.

use std::fmt;

use event::Timestamp;
use uuid::Uuid;

const SECONDS: i64 = 3600;
/// The length of the time in an object's name.
const TIME: usize = "20240201T100446.123456Z".len();
/// The length of what every object's name ends with.
const STAMP: usize = TIME + "-00000000-0000-0000-0000-000000000000.avro".len();

/// An hour of publish time, UTC. One object holds the messages of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(i64);

impl Hour {
    /// The hour that `time` lies in.
    pub fn of(time: Timestamp) -> Self {
        // `as_second` rounds towards zero: before 1970 a fraction of a second belongs to the second before.
        let second = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
        Self(second.div_euclid(SECONDS))
    }

    /// The first instant of the hour.
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(self.0 * SECONDS).unwrap_or(Timestamp::MIN)
    }
}

/// `dt=2024-02-01/hr=10`
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start().strftime("dt=%Y-%m-%d/hr=%H"))
    }
}

/// The name of an object whose first message was published at `first_publish_time`.
pub fn object_name(stream: &str, first_publish_time: Timestamp, id: Uuid) -> String {
    let hour = Hour::of(first_publish_time);
    let first = first_publish_time.strftime("%Y%m%dT%H%M%S%.6fZ");
    format!("{}{hour}/{first}-{id}.avro", object_prefix(stream))
}

/// What the names of a stream's objects begin with, and those of its manifest entries too.
pub fn object_prefix(stream: &str) -> String {
    format!("{stream}/")
}

/// What the names of a stream's manifest entries begin with.
pub fn manifest_prefix(stream: &str) -> String {
    format!("{stream}/_manifest/")
}

/// The name of the manifest entry of a stream's object, wherever the object lies: by the hour that its name tells. `None`
/// where the name is not one that [`object_name`] gives.
pub fn manifest_name(stream: &str, object: &str) -> Option<String> {
    let file = object.rsplit_once('/').map_or(object, |(_, file)| file);
    let stamp = file.get(file.len().checked_sub(STAMP)?..)?;
    let first: Timestamp = stamp.get(..TIME)?.parse().ok()?;
    Some(format!("{}{}/{file}.json", manifest_prefix(stream), Hour::of(first)))
}

/// The hour that the name of a manifest entry tells, below the manifest's prefix.
pub(crate) fn hour_of_entry(name: &str) -> Option<Hour> {
    let (day, rest) = name.strip_prefix("dt=")?.split_once("/hr=")?;
    let hour: Timestamp = format!("{day}T{}:00:00Z", rest.get(..2)?).parse().ok()?;
    Some(Hour::of(hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn names_follow_the_publish_time() {
        let name = object_name("courier-chat", time("2024-02-01T10:04:46.1234567Z"), Uuid::nil());
        let rest = "dt=2024-02-01/hr=10/20240201T100446.123456Z-00000000-0000-0000-0000-000000000000.avro";
        assert_eq!(name, format!("courier-chat/{rest}"));
        assert_eq!(manifest_name("courier-chat", &name), Some(format!("courier-chat/_manifest/{rest}.json")));
        assert_eq!(hour_of_entry(rest), Some(Hour::of(time("2024-02-01T10:00:00Z"))));
        let elsewhere = name.replace("courier-chat/dt=2024-02-01/hr=10/", "output/a-");
        let entry = "courier-chat/_manifest/dt=2024-02-01/hr=10/a-20240201T100446";
        assert!(manifest_name("courier-chat", &elsewhere).is_some_and(|name| name.starts_with(entry)));
        for name in ["courier-chat/x.avro", "", "é", &name[..name.len() - 1]] {
            assert_eq!(manifest_name("courier-chat", name), None, "{name}");
        }
    }

    #[test]
    fn hours_begin_and_end_on_the_hour() {
        let hour = Hour::of(time("2024-02-29T23:59:59.999999999Z"));
        assert_eq!(hour.to_string(), "dt=2024-02-29/hr=23");
        assert_eq!(Hour::of(hour.start()), hour);
        assert!(Hour::of(time("2024-03-01T00:00:00Z")) > hour);
        assert_eq!(Hour::of(time("1969-12-31T23:59:59.5Z")).to_string(), "dt=1969-12-31/hr=23");
    }
}
