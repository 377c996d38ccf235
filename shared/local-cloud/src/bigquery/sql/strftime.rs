//! The format elements of `FORMAT_TIMESTAMP` and `PARSE_TIMESTAMP` and their kin.

use super::{
    calendar::{self, DAY, HOUR, MINUTE, Part, SECOND},
    zone::Zone,
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What a format is applied to: which elements have a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) date: bool,
    pub(super) time: bool,
    pub(super) zone: bool,
}

/// One element of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    Text(char),
    /// `%` and this letter.
    Letter(char),
    /// `%E4Y`.
    LongYear,
    /// `%E*S`.
    SecondsExact,
    /// `%E#S`.
    SecondsWith(usize),
    /// `%Ez`.
    OffsetWithColon,
}

/// The elements of a format; refuses by name what is not supported.
fn elements(format: &str, known: &str, fields: Fields) -> Result<Vec<Element>, String> {
    let (mut elements, mut chars) = (Vec::new(), format.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            elements.push(Element::Text(c));
            continue;
        }
        let Some(letter) = chars.next() else { return Err(format!("Format string ends in %: {format}")) };
        let element = if letter == 'E' {
            let rest = chars.as_str();
            let (element, length) = match rest.as_bytes() {
                [b'4', b'Y', ..] => (Element::LongYear, 2),
                [b'*', b'S', ..] => (Element::SecondsExact, 2),
                [b'z', ..] => (Element::OffsetWithColon, 1),
                [digit @ b'0'..=b'6', b'S', ..] => (Element::SecondsWith((digit - b'0').into()), 2),
                _ => return Err(format!("Format element %E is not available in the local engine: {format}")),
            };
            chars = rest[length..].chars();
            element
        } else if known.contains(letter) {
            Element::Letter(letter)
        } else {
            return Err(format!("Format element %{letter} is not available in the local engine"));
        };
        let (needs_date, needs_time, needs_zone) = match &element {
            Element::Text(_) | Element::Letter('%' | 'n' | 't') => (false, false, false),
            Element::Letter('H' | 'I' | 'M' | 'S' | 'p' | 'P' | 'T' | 'R' | 'X' | 'k' | 'l')
            | Element::SecondsExact
            | Element::SecondsWith(_) => (false, true, false),
            Element::Letter('Z' | 'z') | Element::OffsetWithColon => (false, false, true),
            Element::Letter('c' | 's') => (true, true, false),
            Element::Letter(_) | Element::LongYear => (true, false, false),
        };
        if needs_date && !fields.date || needs_time && !fields.time || needs_zone && !fields.zone {
            return Err(format!("Invalid format: {format}: an element has no meaning for this type"));
        }
        elements.push(element);
    }
    Ok(elements)
}

/// Formats a civil time; `offset` are the seconds east of UTC of a timestamp's zone.
pub(super) fn format(format: &str, civil: i64, fields: Fields, zone: Option<(Zone, i32)>) -> Result<String, String> {
    let mut out = String::with_capacity(format.len() + 16);
    for element in elements(format, "%ntYmdeHIMSpPyCjbBhaAuwUWVGgFTRDxXcZzsQkl", fields)? {
        write_element(&mut out, &element, civil, zone)?;
    }
    Ok(out)
}

fn write_element(out: &mut String, element: &Element, civil: i64, zone: Option<(Zone, i32)>) -> Result<(), String> {
    let (day, time) = (civil.div_euclid(DAY), civil.rem_euclid(DAY));
    let (year, month, day_of_month) = calendar::civil(day);
    let (hour, minute, second) = (time / HOUR, time / MINUTE % 60, time / SECOND % 60);
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let of_year = day - calendar::days(year, 1, 1);
    let of_week = calendar::weekday(day);
    let name = |names: &[&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|i| names.get(i)).copied().unwrap_or_default()
    };
    let part = |part| calendar::extract_of_date(day, part).unwrap_or_default();
    let offset = zone.map_or(0, |(_, offset)| offset);
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let text = match element {
        Element::Text(c) => c.to_string(),
        Element::LongYear => format!("{year:04}"),
        Element::SecondsExact => {
            let digits = format!("{:06}", time % SECOND);
            let digits = digits.trim_end_matches('0');
            format!("{second:02}{}{digits}", if digits.is_empty() { "" } else { "." })
        }
        Element::SecondsWith(0) => format!("{second:02}"),
        Element::SecondsWith(count) => format!("{second:02}.{}", &format!("{:06}", time % SECOND)[..*count]),
        Element::OffsetWithColon => format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        Element::Letter(letter) => match letter {
            '%' => "%".into(),
            'n' => "\n".into(),
            't' => "\t".into(),
            'Y' => format!("{year}"),
            'm' => format!("{month:02}"),
            'd' => format!("{day_of_month:02}"),
            'e' => format!("{day_of_month:2}"),
            'H' => format!("{hour:02}"),
            'k' => format!("{hour:2}"),
            'I' => format!("{twelve:02}"),
            'l' => format!("{twelve:2}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'P' => if hour < 12 { "am" } else { "pm" }.into(),
            'y' => format!("{:02}", year % 100),
            'C' => format!("{:02}", year / 100),
            'j' => format!("{:03}", of_year + 1),
            'b' | 'h' => name(&MONTHS, month - 1)[..3].to_owned(),
            'B' => name(&MONTHS, month - 1).to_owned(),
            'a' => name(&WEEKDAYS, of_week)[..3].to_owned(),
            'A' => name(&WEEKDAYS, of_week).to_owned(),
            'u' => format!("{}", if of_week == 0 { 7 } else { of_week }),
            'w' => format!("{of_week}"),
            'U' => format!("{:02}", part(Part::Week(0))),
            'W' => format!("{:02}", part(Part::Week(1))),
            'V' => format!("{:02}", part(Part::IsoWeek)),
            'G' => format!("{}", part(Part::IsoYear)),
            'g' => format!("{:02}", part(Part::IsoYear) % 100),
            'F' => format!("{year}-{month:02}-{day_of_month:02}"),
            'T' | 'X' => format!("{hour:02}:{minute:02}:{second:02}"),
            'R' => format!("{hour:02}:{minute:02}"),
            'D' | 'x' => format!("{month:02}/{day_of_month:02}/{:02}", year % 100),
            'c' => format!(
                "{} {} {day_of_month:2} {hour:02}:{minute:02}:{second:02} {year}",
                &name(&WEEKDAYS, of_week)[..3],
                &name(&MONTHS, month - 1)[..3]
            ),
            'Q' => format!("{}", (month - 1) / 3 + 1),
            's' => format!("{}", (civil - i64::from(offset) * SECOND).div_euclid(SECOND)),
            'z' => format!("{sign}{:02}{:02}", minutes / 60, minutes % 60),
            'Z' => match zone {
                Some((Zone::UTC, _)) => "UTC".into(),
                _ => return Err("Format element %Z outside UTC is not available in the local engine".into()),
            },
            other => return Err(format!("Format element %{other} is not available in the local engine")),
        },
    };
    out.push_str(&text);
    Ok(())
}

/// What was read of a text.
#[derive(Debug, Clone, Copy)]
struct Read {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    hour: i64,
    twelve: bool,
    afternoon: bool,
    minute: i64,
    second: i64,
    micros: i64,
    epoch: Option<i64>,
    zone: Option<Zone>,
}

/// Parses a civil time and, where the text has one, the zone that it is in.
pub(super) fn parse(format: &str, text: &str, fields: Fields) -> Result<(i64, Option<Zone>), String> {
    let elements = elements(format, "%ntYmdeHIMSpPybBhjaAFTRDzZsk", fields)?;
    let fail = || format!("Failed to parse input string \"{text}\"");
    let mut read = Read {
        year: 1970,
        month: 1,
        day: 1,
        day_of_year: None,
        hour: 0,
        twelve: false,
        afternoon: false,
        minute: 0,
        second: 0,
        micros: 0,
        epoch: None,
        zone: None,
    };
    let mut rest = text.trim_start();
    for element in &elements {
        rest = read_element(&mut read, element, rest).ok_or_else(fail)?;
    }
    if !rest.trim().is_empty() {
        return Err(format!("Failed to parse input string \"{text}\": illegal non-space trailing data"));
    }
    if let Some(seconds) = read.epoch {
        return Ok((seconds.checked_mul(SECOND).and_then(calendar::in_range).ok_or_else(fail)?, Some(Zone::UTC)));
    }
    if read.twelve {
        read.hour = read.hour % 12 + if read.afternoon { 12 } else { 0 };
    }
    let day = match read.day_of_year {
        Some(of_year) => calendar::days(read.year, 1, 1) + of_year - 1,
        None => calendar::checked_days(read.year, read.month, read.day).ok_or_else(fail)?,
    };
    let time = read.hour * HOUR + read.minute * MINUTE + read.second * SECOND + read.micros;
    Ok((day * DAY + time, read.zone))
}

fn read_element<'a>(read: &mut Read, element: &Element, text: &'a str) -> Option<&'a str> {
    match element {
        Element::Text(c) if c.is_whitespace() => Some(text.trim_start()),
        Element::Text(c) => text.strip_prefix(*c),
        Element::LongYear => number(text, 4, 1..=9999, &mut read.year),
        Element::SecondsExact | Element::SecondsWith(_) => {
            let rest = number(text, 2, 0..=59, &mut read.second)?;
            let Some(digits) = rest.strip_prefix('.') else { return Some(rest) };
            let count = digits.bytes().take_while(u8::is_ascii_digit).count();
            let padded = format!("{:0<6}", &digits[..count]);
            read.micros = padded[..6].parse().ok()?;
            Some(&digits[count..])
        }
        Element::OffsetWithColon => zone(read, text),
        Element::Letter(letter) => match letter {
            '%' => text.strip_prefix('%'),
            'n' | 't' => Some(text.trim_start()),
            'Y' => number(text, 4, 1..=9999, &mut read.year),
            'y' => {
                let rest = number(text, 2, 0..=99, &mut read.year)?;
                read.year += if read.year < 69 { 2000 } else { 1900 };
                Some(rest)
            }
            'm' => number(text, 2, 1..=12, &mut read.month),
            'd' | 'e' => number(text, 2, 1..=31, &mut read.day),
            'j' => {
                let mut day = 0;
                let rest = number(text, 3, 1..=366, &mut day)?;
                read.day_of_year = Some(day);
                Some(rest)
            }
            'H' | 'k' => number(text, 2, 0..=23, &mut read.hour),
            'I' => {
                read.twelve = true;
                number(text, 2, 1..=12, &mut read.hour)
            }
            'M' => number(text, 2, 0..=59, &mut read.minute),
            'S' => number(text, 2, 0..=59, &mut read.second),
            'p' | 'P' => {
                let half = text.get(..2)?;
                read.afternoon = half.eq_ignore_ascii_case("pm");
                (read.afternoon || half.eq_ignore_ascii_case("am")).then(|| &text[2..])
            }
            'b' | 'h' | 'B' => {
                let (index, rest) = named(text, &MONTHS)?;
                read.month = index + 1;
                Some(rest)
            }
            'a' | 'A' => Some(named(text, &WEEKDAYS)?.1),
            'F' => "Y-m-d".chars().try_fold(text, |text, c| compound(read, c, text)),
            'T' => "H:M:S".chars().try_fold(text, |text, c| compound(read, c, text)),
            'R' => "H:M".chars().try_fold(text, |text, c| compound(read, c, text)),
            'D' => "m/d/y".chars().try_fold(text, |text, c| compound(read, c, text)),
            's' => {
                let sign = usize::from(text.starts_with('-'));
                let count = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
                read.epoch = Some(text[..sign + count].parse().ok()?);
                Some(&text[sign + count..])
            }
            'z' | 'Z' => zone(read, text),
            _ => None,
        },
    }
}

fn compound<'a>(read: &mut Read, c: char, text: &'a str) -> Option<&'a str> {
    let element = if c.is_ascii_alphabetic() { Element::Letter(c) } else { Element::Text(c) };
    read_element(read, &element, text)
}

fn number<'a>(text: &'a str, most: usize, range: std::ops::RangeInclusive<i64>, to: &mut i64) -> Option<&'a str> {
    let text = text.trim_start();
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    *to = text[..count].parse().ok()?;
    range.contains(to).then(|| &text[count..])
}

fn named<'a>(text: &'a str, names: &[&str]) -> Option<(i64, &'a str)> {
    let found = |length: fn(&str) -> usize| {
        names.iter().position(|name| {
            text.get(..length(name)).is_some_and(|start| start.eq_ignore_ascii_case(&name[..length(name)]))
        })
    };
    let (index, length) = match found(|name| name.len()) {
        Some(index) => (index, names[index].len()),
        None => (found(|_| 3)?, 3),
    };
    Some((i64::try_from(index).ok()?, &text[length..]))
}

fn zone<'a>(read: &mut Read, text: &'a str) -> Option<&'a str> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    read.zone = Some(Zone::parse(&text[..end]).ok()?);
    Some(&text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Fields = Fields { date: true, time: true, zone: true };
    const AT: i64 = 1_706_781_886_120_000;

    #[test]
    fn elements_are_formatted() {
        let utc = Some((Zone::UTC, 0));
        for (pattern, text) in [
            ("%Y-%m-%d %H:%M:%S", "2024-02-01 10:04:46"),
            ("%F %T %Z", "2024-02-01 10:04:46 UTC"),
            ("%A, %d %b %y %I:%M %p", "Thursday, 01 Feb 24 10:04 AM"),
            ("%E*S %E3S %z %Ez", "46.12 46.120 +0000 +00:00"),
            ("%j %U %V %G %Q %u %s", "032 04 05 2024 1 4 1706781886"),
            ("100%%", "100%"),
        ] {
            assert_eq!(format(pattern, AT, ALL, utc).as_deref(), Ok(text));
        }
        assert!(format("%J", AT, ALL, utc).is_err());
        assert!(format("%H", AT, Fields { date: true, time: false, zone: false }, None).is_err());
    }

    #[test]
    fn elements_are_parsed() {
        let civil = AT - 120_000;
        for (pattern, text) in [
            ("%Y-%m-%d %H:%M:%S", "2024-02-01 10:04:46"),
            ("%F %T", "2024-2-1 10:4:46"),
            ("%d %B %Y %I:%M:%S %p", "1 february 2024 10:04:46 AM"),
            ("%s", "1706781886"),
        ] {
            assert_eq!(parse(pattern, text, ALL).map(|(civil, _)| civil), Ok(civil), "{pattern}");
        }
        assert_eq!(parse("%F%z", "2024-02-01+02:00", ALL).map(|(_, zone)| zone), Ok(Some(Zone::Fixed(7200))));
        assert!(parse("%F", "2024-02-01x", ALL).is_err());
        assert!(parse("%F", "2024-13-01", ALL).is_err());
    }
}
