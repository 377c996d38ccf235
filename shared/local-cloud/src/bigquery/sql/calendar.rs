//! The proleptic Gregorian calendar: days since 1970-01-01, microseconds of civil time, and the parts of both.

/// The days of 0001-01-01 and 9999-12-31.
pub(super) const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// A part of a date or time, as GoogleSQL names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    /// A week that starts on this day; 0 is Sunday.
    Week(u8),
    IsoWeek,
    Month,
    Quarter,
    Year,
    IsoYear,
    DayOfWeek,
    DayOfYear,
    Date,
    Time,
    Datetime,
}

impl Part {
    /// The part of this name; `weekday` is the argument of `WEEK(…)`.
    pub(super) fn of_name(name: &str, weekday: Option<&str>) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        if let Some(weekday) = weekday {
            let days = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];
            let day = days.iter().position(|day| weekday.eq_ignore_ascii_case(day))?;
            return (name == "WEEK").then_some(Self::Week(u8::try_from(day).ok()?));
        }
        Some(match name.as_str() {
            "MICROSECOND" => Self::Microsecond,
            "MILLISECOND" => Self::Millisecond,
            "SECOND" => Self::Second,
            "MINUTE" => Self::Minute,
            "HOUR" => Self::Hour,
            "DAY" => Self::Day,
            "WEEK" => Self::Week(0),
            "ISOWEEK" => Self::IsoWeek,
            "MONTH" => Self::Month,
            "QUARTER" => Self::Quarter,
            "YEAR" => Self::Year,
            "ISOYEAR" => Self::IsoYear,
            "DAYOFWEEK" => Self::DayOfWeek,
            "DAYOFYEAR" => Self::DayOfYear,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "DATETIME" => Self::Datetime,
            _ => return None,
        })
    }

    /// The microseconds of a part of fixed length.
    pub(super) const fn micros(self) -> Option<i64> {
        Some(match self {
            Self::Microsecond => 1,
            Self::Millisecond => 1_000,
            Self::Second => SECOND,
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
            Self::Day => DAY,
            _ => return None,
        })
    }

    /// Counts within a day.
    pub(super) const fn is_of_time(self) -> bool {
        matches!(self, Self::Microsecond | Self::Millisecond | Self::Second | Self::Minute | Self::Hour)
    }
}

/// The day of a date; months and days out of their range carry over.
pub(super) const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day.
pub(super) const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// The day of a date that exists.
pub(super) fn checked_days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some(days(year, month, day))
}

pub(super) const fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days(next_year, next_month, 1) - days(year, month, 1)
}

/// The day of the week; 0 is Sunday.
pub(super) const fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

fn week_start(day: i64, first: i64) -> i64 {
    day - (weekday(day) - first).rem_euclid(7)
}

/// The ISO year that the day belongs to, and the first day of that year.
fn iso_year(day: i64) -> (i64, i64) {
    let thursday = week_start(day, 1) + 3;
    let (year, _, _) = civil(thursday);
    (year, week_start(days(year, 1, 4), 1))
}

/// The first day of the part that the day belongs to.
pub(super) fn truncate_date(day: i64, part: Part) -> Option<i64> {
    let (year, month, _) = civil(day);
    Some(match part {
        Part::Day => day,
        Part::Week(first) => week_start(day, first.into()),
        Part::IsoWeek => week_start(day, 1),
        Part::Month => days(year, month, 1),
        Part::Quarter => days(year, (month - 1) / 3 * 3 + 1, 1),
        Part::Year => days(year, 1, 1),
        Part::IsoYear => iso_year(day).1,
        _ => return None,
    })
}

/// The start of the part that the civil time belongs to.
pub(super) fn truncate(micros: i64, part: Part) -> Option<i64> {
    match part.micros() {
        Some(length) => Some(micros - micros.rem_euclid(length)),
        None => Some(truncate_date(micros.div_euclid(DAY), part)? * DAY),
    }
}

/// The boundaries of the part between two days.
pub(super) fn difference_of_dates(a: i64, b: i64, part: Part) -> Option<i64> {
    let ((year_a, month_a, _), (year_b, month_b, _)) = (civil(a), civil(b));
    Some(match part {
        Part::Day => a - b,
        Part::Week(_) | Part::IsoWeek => (truncate_date(a, part)? - truncate_date(b, part)?) / 7,
        Part::Month => (year_a - year_b) * 12 + month_a - month_b,
        Part::Quarter => (year_a - year_b) * 4 + (month_a - 1) / 3 - (month_b - 1) / 3,
        Part::Year => year_a - year_b,
        Part::IsoYear => iso_year(a).0 - iso_year(b).0,
        _ => return None,
    })
}

/// The boundaries of the part between two civil times.
pub(super) fn difference(a: i64, b: i64, part: Part) -> Option<i64> {
    match part.micros() {
        Some(length) => Some(a.div_euclid(length) - b.div_euclid(length)),
        None => difference_of_dates(a.div_euclid(DAY), b.div_euclid(DAY), part),
    }
}

/// The day that many parts later; the last day of the month where the month is too short.
pub(super) fn add_to_date(day: i64, count: i64, part: Part) -> Option<i64> {
    let months = match part {
        Part::Day => return day.checked_add(count).filter(|day| DAYS.contains(day)),
        Part::Week(_) => return day.checked_add(count.checked_mul(7)?).filter(|day| DAYS.contains(day)),
        Part::Month => count,
        Part::Quarter => count.checked_mul(3)?,
        Part::Year => count.checked_mul(12)?,
        _ => return None,
    };
    let (year, month, day) = civil(day);
    let months = (year * 12 + month - 1).checked_add(months)?;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    if !(1..=9999).contains(&year) {
        return None;
    }
    Some(days(year, month, day.min(days_in_month(year, month))))
}

/// The civil time that many parts later.
pub(super) fn add(micros: i64, count: i64, part: Part) -> Option<i64> {
    match part.micros() {
        Some(length) => in_range(micros.checked_add(count.checked_mul(length)?)?),
        None => {
            let day = add_to_date(micros.div_euclid(DAY), count, part)?;
            Some(day * DAY + micros.rem_euclid(DAY))
        }
    }
}

/// The instant or civil time, where it is between the years 1 and 9999.
pub(super) fn in_range(micros: i64) -> Option<i64> {
    DAYS.contains(&micros.div_euclid(DAY)).then_some(micros)
}

/// What `EXTRACT` answers for a day.
pub(super) fn extract_of_date(day: i64, part: Part) -> Option<i64> {
    let (year, month, day_of_month) = civil(day);
    Some(match part {
        Part::Day => day_of_month,
        Part::Month => month,
        Part::Quarter => (month - 1) / 3 + 1,
        Part::Year => year,
        Part::DayOfWeek => weekday(day) + 1,
        Part::DayOfYear => day - days(year, 1, 1) + 1,
        Part::Week(first) => {
            let january = days(year, 1, 1);
            let first_week = january + (i64::from(first) - weekday(january)).rem_euclid(7);
            if day < first_week { 0 } else { (day - first_week) / 7 + 1 }
        }
        Part::IsoWeek => (day - iso_year(day).1) / 7 + 1,
        Part::IsoYear => iso_year(day).0,
        _ => return None,
    })
}

/// What `EXTRACT` answers for a civil time.
pub(super) fn extract(micros: i64, part: Part) -> Option<i64> {
    let time = micros.rem_euclid(DAY);
    Some(match part {
        Part::Microsecond => time % SECOND,
        Part::Millisecond => time % SECOND / 1_000,
        Part::Second => time / SECOND % 60,
        Part::Minute => time / MINUTE % 60,
        Part::Hour => time / HOUR,
        _ => return extract_of_date(micros.div_euclid(DAY), part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for day in (*DAYS.start()..*DAYS.end()).step_by(997) {
            let (year, month, day_of_month) = civil(day);
            assert_eq!(checked_days(year, month, day_of_month), Some(day));
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(days(2024, 2, 29), 19_782);
        assert_eq!(checked_days(2023, 2, 29), None);
    }

    #[test]
    fn weeks_start_where_they_are_told() {
        let friday = days(2024, 3, 1);
        assert_eq!(truncate_date(friday, Part::Week(0)), Some(days(2024, 2, 25)));
        assert_eq!(truncate_date(friday, Part::IsoWeek), Some(days(2024, 2, 26)));
        assert_eq!(extract_of_date(days(2021, 1, 3), Part::IsoWeek), Some(53));
        assert_eq!(extract_of_date(days(2021, 1, 3), Part::IsoYear), Some(2020));
        assert_eq!(extract_of_date(days(2024, 1, 6), Part::Week(0)), Some(0));
        assert_eq!(extract_of_date(days(2024, 1, 7), Part::Week(0)), Some(1));
    }

    #[test]
    fn short_months_end_the_month() {
        assert_eq!(add_to_date(days(2024, 1, 31), 1, Part::Month), Some(days(2024, 2, 29)));
        assert_eq!(add_to_date(days(2024, 2, 29), -1, Part::Year), Some(days(2023, 2, 28)));
        assert_eq!(add_to_date(days(9999, 12, 31), 1, Part::Day), None);
    }
}
