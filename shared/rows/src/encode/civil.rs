//! Dates and times as BigQuery writes them in JSON, and the integers that Storage Write takes for them.

use super::zone;

/// Digits of a fraction that producers send; those beyond microseconds are cut off.
const MAX_FRACTION_DIGITS: usize = 12;
const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// 0001-01-01 00:00:00 UTC in microseconds of the Unix epoch.
const FIRST_TIMESTAMP: i64 = -62_135_596_800 * MICROS;
/// 9999-12-31 23:59:59.999999 UTC, likewise.
const LAST_TIMESTAMP: i64 = 253_402_300_800 * MICROS - 1;

/// Why a text is no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeFault {
    /// It has none of the forms.
    Malformed,
    /// It lies outside the years 1 to 9999.
    OutOfRange,
    /// Its time zone is not in the tz database.
    UnknownZone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Time {
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) micros: i64,
}

impl Date {
    /// Days since 1970-01-01 (proleptic Gregorian; H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    pub(super) fn days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    fn is_real(self) -> bool {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return false,
        };
        (1..=9999).contains(&self.year) && (1..=days).contains(&self.day)
    }
}

impl Time {
    /// As `CivilTimeEncoder.encodePacked64TimeMicros` packs it.
    pub(super) fn packed(self) -> i64 {
        self.hour << 32 | self.minute << 26 | self.second << 20 | self.micros
    }

    fn seconds(self) -> i64 {
        (self.hour * 60 + self.minute) * 60 + self.second
    }
}

/// As `CivilTimeEncoder.encodePacked64DatetimeMicros` packs it.
pub(super) fn packed_datetime(date: Date, time: Time) -> i64 {
    date.year << 46 | date.month << 42 | date.day << 37 | time.packed()
}

/// `YYYY-[M]M-[D]D`.
pub(super) fn date(text: &str) -> Option<Date> {
    let mut scan = Scan::new(text);
    let date = scan.date()?;
    scan.is_done().then_some(date)
}

/// `[H]H:[M]M:[S]S[.F]`.
pub(super) fn time(text: &str) -> Option<Time> {
    let mut scan = Scan::new(text);
    let time = scan.time(59)?;
    scan.is_done().then_some(time)
}

/// `YYYY-[M]M-[D]D[( |T)[H]H:[M]M:[S]S[.F]]`.
pub(super) fn datetime(text: &str) -> Option<(Date, Time)> {
    let mut scan = Scan::new(text);
    let date = scan.date()?;
    let time = if scan.separator() { scan.time(59)? } else { Time::default() };
    scan.is_done().then_some((date, time))
}

/// Microseconds of the Unix epoch of a text like `2024-02-01T10:04:46.5Z`, `2024-02-01 10:04:46 UTC`,
/// `2024-02-01 12:04:46+02:00` or `2024-02-01 12:04:46 Europe/Athens`. Without a zone it is UTC. Second 60 is the next minute.
pub(super) fn timestamp(text: &str) -> Result<i64, TimeFault> {
    let mut scan = Scan::new(text);
    let date = scan.date().ok_or(TimeFault::Malformed)?;
    let has_time = matches!(scan.rest(), [b' ' | b'T' | b't', b'0'..=b'9', ..]) && scan.separator();
    let time = if has_time { scan.time(60).ok_or(TimeFault::Malformed)? } else { Time::default() };
    let local = date.days() * DAY_SECONDS + time.seconds();
    let offset = offset(&text[scan.at..], local)?;
    in_range((local - offset) * MICROS + time.micros)
}

/// `micros` where a TIMESTAMP can hold it.
pub(super) fn in_range(micros: i64) -> Result<i64, TimeFault> {
    let range = FIRST_TIMESTAMP..=LAST_TIMESTAMP;
    range.contains(&micros).then_some(micros).ok_or(TimeFault::OutOfRange)
}

/// Seconds east of UTC that a zone stands for at the local second `local`.
fn offset(zone: &str, local: i64) -> Result<i64, TimeFault> {
    match zone.as_bytes() {
        [] | [b'Z' | b'z'] => Ok(0),
        [b'+' | b'-', ..] => fixed_offset(zone).ok_or(TimeFault::Malformed),
        [b' ', b'+' | b'-', ..] => fixed_offset(&zone[1..]).ok_or(TimeFault::Malformed),
        [b' ', ..] => match &zone[1..] {
            "UTC" | "utc" | "Z" | "z" | "GMT" => Ok(0),
            name => zone::offset(name, local).ok_or(TimeFault::UnknownZone),
        },
        _ => Err(TimeFault::Malformed),
    }
}

/// `(+|-)[H]H[:[M]M]` and `(+|-)HHMM`.
fn fixed_offset(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let mut scan = Scan { bytes: text.as_bytes(), at: 1 };
    let compact = scan.rest().len() == 4 && scan.rest().iter().all(u8::is_ascii_digit);
    let hours = scan.number(1, 2)?;
    let minutes = if compact || scan.eat(b':') { scan.number(1, 2)? } else { 0 };
    (scan.is_done() && hours <= 14 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest().first() == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn separator(&mut self) -> bool {
        self.eat(b'T') || self.eat(b' ') || self.eat(b't')
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.rest().iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let value = self.rest()[..digits].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        self.at += digits;
        (digits >= least).then_some(value)
    }

    fn date(&mut self) -> Option<Date> {
        let year = self.number(4, 4)?;
        let month = self.eat(b'-').then(|| self.number(1, 2))??;
        let day = self.eat(b'-').then(|| self.number(1, 2))??;
        Some(Date { year, month, day }).filter(|date| date.is_real())
    }

    fn time(&mut self, last_second: i64) -> Option<Time> {
        let hour = self.number(1, 2)?;
        let minute = self.eat(b':').then(|| self.number(1, 2))??;
        let second = self.eat(b':').then(|| self.number(1, 2))??;
        let micros = if self.eat(b'.') { self.fraction()? } else { 0 };
        (hour <= 23 && minute <= 59 && second <= last_second).then_some(Time { hour, minute, second, micros })
    }

    fn fraction(&mut self) -> Option<i64> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let padded = self.rest()[..digits].iter().copied().chain(std::iter::repeat(b'0')).take(6);
        let micros = padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        self.at += digits;
        (1..=MAX_FRACTION_DIGITS).contains(&digits).then_some(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date("1970-01-01").map(Date::days), Some(0));
        assert_eq!(date("2024-2-9").map(Date::days), Some(19_762));
        assert_eq!(date("0001-01-01").map(Date::days), Some(-719_162));
        assert_eq!(date("9999-12-31").map(Date::days), Some(2_932_896));
        for bad in ["", "2024-02-30", "2023-02-29", "24-01-01", "2024/01/01", "2024-13-01", "0000-01-01", "2024-01-01 "]
        {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_agree_with_jiff() {
        let epoch = jiff::civil::date(1970, 1, 1);
        for days in (-719_162..=2_932_896).step_by(97) {
            let day = epoch.checked_add(jiff::Span::new().days(days)).expect("a date");
            let ours = Date { year: day.year().into(), month: day.month().into(), day: day.day().into() };
            assert_eq!(ours.days(), i64::from(days), "{day}");
        }
    }

    #[test]
    fn times_pack_as_civil_time_encoder_packs_them() {
        let packed = time("13:14:15.16").map(Time::packed);
        assert_eq!(packed, Some(13 << 32 | 14 << 26 | 15 << 20 | 160_000));
        let (date, time) = datetime("2024-02-01T1:2:3").expect("a datetime");
        assert_eq!(packed_datetime(date, time), 2024 << 46 | 2 << 42 | 1 << 37 | 1 << 32 | 2 << 26 | 3 << 20);
        for bad in ["24:00:00", "1:2", "1:60:00", "1:2:60", "1:2:3.", "1:2:3.1234567890123", "1:2:3Z"] {
            assert_eq!(super::time(bad), None, "{bad}");
        }
        assert_eq!(datetime("2024-02-01"), Some((Date { year: 2024, month: 2, day: 1 }, Time::default())));
        assert_eq!(datetime("2024-02-01 "), None);
    }

    #[test]
    fn timestamps_in_every_form() {
        let base = 1_706_781_886_000_000;
        for (text, micros) in [
            ("2024-02-01T10:04:46Z", base),
            ("2024-02-01t10:04:46z", base),
            ("2024-02-01 10:04:46", base),
            ("2024-02-01 10:04:46 UTC", base),
            ("2024-02-01 10:04:46.123456 UTC", base + 123_456),
            ("2024-02-01T10:04:46.123456789Z", base + 123_456),
            ("2024-02-01T12:04:46+02:00", base),
            ("2024-02-01T12:04:46+0200", base),
            ("2024-02-01 12:04:46+2", base),
            ("2024-02-01 04:34:46 -05:30", base),
            ("2024-02-01 11:04:46 Europe/Rome", base),
            ("2024-08-01 12:00:00 Europe/Rome", 1_722_506_400_000_000),
            ("2024-02-01 10:03:60 UTC", base - 46_000_000),
            ("2024-02-01", 1_706_745_600_000_000),
            ("2024-02-01+01", 1_706_742_000_000_000),
            ("1969-12-31 23:59:59.999999 UTC", -1),
        ] {
            assert_eq!(timestamp(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for bad in ["", "now", "2024-02-01T", "2024-02-01 10:04", "2024-02-01T10:04:46+25", "2024-02-01T10:04:46X"] {
            assert_eq!(timestamp(bad), Err(TimeFault::Malformed), "{bad}");
        }
        assert_eq!(timestamp("2024-02-01 10:04:46 Mars/Base"), Err(TimeFault::UnknownZone));
        assert_eq!(timestamp("0001-01-01 00:00:00+01"), Err(TimeFault::OutOfRange));
        assert_eq!(timestamp("9999-12-31 23:59:59.999999Z"), Ok(LAST_TIMESTAMP));
        assert_eq!(timestamp("9999-12-31 23:59:59-01"), Err(TimeFault::OutOfRange));
    }
}
