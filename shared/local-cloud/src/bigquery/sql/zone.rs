//! Time zones, by name or as an offset from UTC.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::calendar::SECOND;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A zone of the tz database.
    Named(Tz),
}

impl Zone {
    pub(super) const UTC: Self = Self::Fixed(0);

    /// The zone of a name (`Europe/Rome`, `UTC`, `Z`) or an offset (`+2`, `+02:00`, `-0800`).
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("Invalid time zone: {text}");
        if text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
            return Ok(Self::UTC);
        }
        let offset = text.strip_prefix("UTC").filter(|rest| rest.starts_with(['+', '-'])).unwrap_or(text);
        let sign = match offset.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return text.parse().map(Self::Named).map_err(|_| invalid()),
        };
        let digits = &offset[1..];
        let (hours, minutes) = match digits.split_once(':') {
            Some(parts) => parts,
            None if digits.len() == 4 => digits.split_at(2),
            None => (digits, "0"),
        };
        let number = |text: &str| {
            let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            if plain { text.parse::<i32>().map_err(|_| invalid()) } else { Err(invalid()) }
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        if hours > 14 || minutes > 59 {
            return Err(invalid());
        }
        Ok(Self::Fixed(sign * (hours * 3600 + minutes * 60)))
    }

    /// Seconds east of UTC at the instant.
    pub(super) fn offset(self, instant: i64) -> i32 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => {
                let utc = naive(instant);
                zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
            }
        }
    }

    /// The civil time at the instant.
    pub(super) fn civil(self, instant: i64) -> i64 {
        instant + i64::from(self.offset(instant)) * SECOND
    }

    /// The instant of a civil time: the earlier one where it comes twice, and as if the clock had not been moved where it
    /// never comes.
    pub(super) fn instant(self, civil: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => civil - i64::from(seconds) * SECOND,
            Self::Named(zone) => {
                let offset = match zone.offset_from_local_datetime(&naive(civil)) {
                    MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => {
                        offset.fix().local_minus_utc()
                    }
                    MappedLocalTime::None => self.offset(civil - 24 * 3600 * SECOND),
                };
                civil - i64::from(offset) * SECOND
            }
        }
    }
}

fn naive(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_names_and_offsets() {
        assert_eq!(Zone::parse("+02:30"), Ok(Zone::Fixed(9000)));
        assert_eq!(Zone::parse("-8"), Ok(Zone::Fixed(-28800)));
        assert_eq!(Zone::parse("UTC"), Ok(Zone::UTC));
        assert!(Zone::parse("Mars/Olympus").is_err());
        let rome = Zone::parse("Europe/Rome").expect("a zone");
        let noon = 1_706_785_486 * SECOND;
        assert_eq!(rome.offset(noon), 3600);
        assert_eq!(rome.instant(rome.civil(noon)), noon);
    }
}
