//! Dates and times as BigQuery writes and reads them: days and microseconds since 1970-01-01, and their text.

use jiff::{
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

const DAY_MICROS: i64 = 86_400_000_000;
/// 0001-01-01, in days since 1970-01-01.
const FIRST_DAY: i64 = -719_162;
/// 9999-12-31, in days since 1970-01-01.
const LAST_DAY: i64 = 2_932_896;

/// Checks a number of days since 1970-01-01 against DATE's range.
pub(crate) fn date_of_days(days: i64) -> Option<i32> {
    if (FIRST_DAY..=LAST_DAY).contains(&days) { i32::try_from(days).ok() } else { None }
}

/// Checks microseconds since 1970-01-01 against the range of DATETIME and TIMESTAMP.
pub(crate) fn instant_of_micros(micros: i64) -> Option<i64> {
    (FIRST_DAY..=LAST_DAY).contains(&micros.div_euclid(DAY_MICROS)).then_some(micros)
}

/// `[Y]YYY-[M]M-[D]D` in days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut scan = Scan(text.trim());
    let days = scan.date()?;
    scan.0.is_empty().then_some(())?;
    i32::try_from(days).ok()
}

/// `[H]H:[M]M:[S]S[.F]` in microseconds since midnight.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let mut scan = Scan(text.trim());
    let micros = scan.time()?;
    scan.0.is_empty().then_some(micros)
}

/// A date, and after `T` or a space a time, in microseconds since 1970-01-01T00:00:00.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let mut scan = Scan(text.trim());
    let micros = scan.datetime()?;
    scan.0.is_empty().then_some(micros)
}

/// A date, a time and a zone (`Z`, `UTC`, an offset or a name; UTC where none stands), in microseconds since the epoch.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let mut scan = Scan(text.trim());
    let local = scan.datetime()?;
    let zone = scan.0.trim_start();
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") || zone.eq_ignore_ascii_case("utc") {
        return Some(local);
    }
    if zone.starts_with(['+', '-']) {
        return instant_of_micros(local - offset_micros(zone)?);
    }
    let local = datetime_of_micros(local)?;
    let zoned = TimeZone::get(zone).ok()?.to_zoned(local).ok()?;
    instant_of_micros(zoned.timestamp().as_microsecond())
}

/// `YYYY-MM-DD`.
pub(crate) fn format_date(days: i32) -> String {
    let (year, month, day) = civil_of(days.into());
    format!("{year:04}-{month:02}-{day:02}")
}

/// `HH:MM:SS[.FFFFFF]`.
pub(crate) fn format_time(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}{}", fraction(micros))
}

/// `YYYY-MM-DDTHH:MM:SS[.FFFFFF]`.
pub(crate) fn format_datetime(micros: i64) -> String {
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or_default();
    format!("{}T{}", format_date(days), format_time(micros.rem_euclid(DAY_MICROS)))
}

/// The microseconds of BigQuery's packed TIME: hour, minute, second and microseconds in bit fields from 32, 26, 20, 0.
pub(crate) fn unpack_time(packed: i64) -> Option<i64> {
    let field = |shift: u32, bits: u32| (packed >> shift) & ((1 << bits) - 1);
    if packed < 0 || packed >> 37 != 0 {
        return None;
    }
    let (hour, minute, second, micros) = (field(32, 5), field(26, 6), field(20, 6), field(0, 20));
    time_micros(hour, minute, second, micros)
}

/// The microseconds of BigQuery's packed DATETIME: year, month and day in bit fields from 46, 42, 37, then as TIME.
pub(crate) fn unpack_datetime(packed: i64) -> Option<i64> {
    let (year, month, day) = (packed >> 46, (packed >> 42) & 0xf, (packed >> 37) & 0x1f);
    let time = unpack_time(packed & ((1 << 37) - 1))?;
    Some(days_of(year, month, day)? * DAY_MICROS + time)
}

fn fraction(micros: i64) -> String {
    match micros.rem_euclid(1_000_000) {
        0 => String::new(),
        part => format!(".{part:06}"),
    }
}

/// Days since 1970-01-01, where the date exists.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let year = i16::try_from(year).ok().filter(|year| (1..=9999).contains(year))?;
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin with March, eras are 400 years.
    let shifted = i64::from(year) - i64::from(month <= 2);
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(date.day()) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The year, month and day, by the same source.
fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn time_micros(hour: i64, minute: i64, second: i64, micros: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 60 && micros < 1_000_000)
        .then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

fn datetime_of_micros(micros: i64) -> Option<DateTime> {
    let (year, month, day) = civil_of(micros.div_euclid(DAY_MICROS));
    let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let nanos = jiff::SignedDuration::from_micros(micros.rem_euclid(DAY_MICROS));
    Some(DateTime::from_parts(date, Time::midnight()).saturating_add(nanos))
}

/// `±H[H][:MM]` or `±HHMM`.
fn offset_micros(text: &str) -> Option<i64> {
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, &text[1..]);
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if rest.len() == 4 && rest.is_ascii() => rest.split_at(2),
        None => (rest, "0"),
    };
    if hours.is_empty() || hours.len() > 2 || !rest.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000)
}

struct Scan<'a>(&'a str);

impl Scan<'_> {
    fn number(&mut self, longest: usize) -> Option<i64> {
        let digits = self.0.bytes().take(longest).take_while(u8::is_ascii_digit).count();
        let number = self.0[..digits].parse().ok()?;
        self.0 = &self.0[digits..];
        Some(number)
    }

    fn expect(&mut self, separator: char) -> Option<()> {
        self.0 = self.0.strip_prefix(separator)?;
        Some(())
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.expect('-')?;
        let month = self.number(2)?;
        self.expect('-')?;
        let day = self.number(2)?;
        days_of(year, month, day)
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.expect(':')?;
        let minute = self.number(2)?;
        self.expect(':')?;
        let second = self.number(2)?;
        let mut micros = 0;
        if self.expect('.').is_some() {
            let before = self.0.len();
            micros = self.number(6)?;
            for _ in before - self.0.len()..6 {
                micros *= 10;
            }
        }
        time_micros(hour, minute, second, micros)
    }

    fn datetime(&mut self) -> Option<i64> {
        let days = self.date()?;
        let mut micros = 0;
        if self.0.starts_with(['T', 't', ' ']) && self.0[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.0 = &self.0[1..];
            micros = self.time()?;
        }
        Some(days * DAY_MICROS + micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_and_written() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("2024-2-9").map(format_date).as_deref(), Some("2024-02-09"));
        assert_eq!(parse_date("0001-01-01").map(i64::from), Some(FIRST_DAY));
        assert_eq!(parse_date("9999-12-31").map(i64::from), Some(LAST_DAY));
        assert_eq!(format_date(i32::try_from(LAST_DAY).expect("fits")), "9999-12-31");
        for days in (FIRST_DAY..=LAST_DAY).step_by(97) {
            let days = date_of_days(days).expect("in range");
            assert_eq!(parse_date(&format_date(days)), Some(days));
        }
        assert_eq!(parse_date("2023-02-29"), None);
        assert_eq!(parse_time("7:05:09.5").map(format_time).as_deref(), Some("07:05:09.500000"));
        assert_eq!(parse_time("24:00:00"), None);
        assert_eq!(parse_datetime("2024-02-01 10:04:46").map(format_datetime).as_deref(), Some("2024-02-01T10:04:46"));
    }

    #[test]
    fn timestamps_know_zones() {
        let utc = parse_timestamp("2024-02-01T10:04:46Z");
        assert_eq!(utc, Some(1_706_781_886_000_000));
        for same in [
            "2024-02-01 10:04:46",
            "2024-02-01 10:04:46 UTC",
            "2024-02-01 12:04:46+02:00",
            "2024-02-01 12:04:46+2",
            "2024-02-01T05:34:46-0430",
            "2024-02-01 11:04:46 Europe/Rome",
        ] {
            assert_eq!(parse_timestamp(same), utc, "{same}");
        }
        assert_eq!(parse_timestamp("2024-02-01T10:04:46.1234567Z"), None);
        assert_eq!(parse_timestamp("tomorrow"), None);
        assert_eq!(parse_timestamp("0001-01-01T00:00:00+01:00"), None);
    }

    #[test]
    fn packed_civil_times_unpack() {
        let time = (13_i64 << 32) | (14 << 26) | (15 << 20) | 16_000;
        assert_eq!(unpack_time(time).map(format_time).as_deref(), Some("13:14:15.016000"));
        assert_eq!(unpack_time(25 << 32), None);
        let datetime = (2024_i64 << 46) | (2 << 42) | (1 << 37) | time;
        assert_eq!(unpack_datetime(datetime).map(format_datetime).as_deref(), Some("2024-02-01T13:14:15.016000"));
        assert_eq!(unpack_datetime((2024_i64 << 46) | (13 << 42) | (1 << 37)), None);
    }
}
