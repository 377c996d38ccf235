//! Values as the text that `CAST(… AS STRING)` gives, and text as the values that casts from STRING give.

use arrow::datatypes::i256;

use super::{
    calendar::{self, DAY, HOUR, MINUTE, SECOND},
    data_type::Type,
    value::Value,
    zone::Zone,
};
use crate::bigquery::decimal::Decimal;

/// FLOAT64 as text: the shortest of 15 or 17 digits that reads back the same, with a point or an exponent.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0".into() } else { "0.0".into() };
    }
    let short = general(value, 15);
    let text = if short.parse() == Ok(value) { short } else { general(value, 17) };
    if text.contains(['.', 'e']) { text } else { text + ".0" }
}

/// C's `%.{digits}g`.
fn general(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let wide = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= wide {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(wide - 1 - exponent).unwrap_or_default();
    trim(&format!("{value:.decimals$}"))
}

pub(super) fn date(day: i64) -> String {
    let (year, month, day) = calendar::civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Time of day, with milliseconds or microseconds where there are any.
pub(super) fn time(micros: i64) -> String {
    let time = micros.rem_euclid(DAY);
    let whole = format!("{:02}:{:02}:{:02}", time / HOUR, time / MINUTE % 60, time / SECOND % 60);
    match time % SECOND {
        0 => whole,
        part if part % 1_000 == 0 => format!("{whole}.{:03}", part / 1_000),
        part => format!("{whole}.{part:06}"),
    }
}

pub(super) fn datetime(micros: i64) -> String {
    format!("{} {}", date(micros.div_euclid(DAY)), time(micros))
}

pub(super) fn timestamp(micros: i64, zone: Zone) -> String {
    format!("{}{}", datetime(zone.civil(micros)), offset(zone.offset(micros)))
}

/// `+00`, `+05:30`.
fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    match minutes % 60 {
        0 => format!("{sign}{:02}", minutes / 60),
        rest => format!("{sign}{:02}:{rest:02}", minutes / 60),
    }
}

/// The text of a value, as `CAST(… AS STRING)`.
pub(super) fn of_value(value: &Value<'_>, ty: &Type) -> Result<String, String> {
    Ok(match ty {
        Type::Bool => value.bool().to_string(),
        Type::Int64 => value.int().to_string(),
        Type::Float64 => float(value.float()),
        Type::Numeric => Decimal::Numeric.format(value.decimal()),
        Type::BigNumeric => Decimal::Bignumeric.format(value.decimal()),
        Type::String | Type::Json | Type::Geography => value.str().to_owned(),
        Type::Bytes => std::str::from_utf8(value.bytes()).map_err(|_| "Invalid UTF-8 in BYTES")?.to_owned(),
        Type::Date => date(value.int()),
        Type::Time => time(value.int()),
        Type::Datetime => datetime(value.int()),
        Type::Timestamp => timestamp(value.int(), Zone::UTC),
        Type::Interval | Type::Array(_) | Type::Struct(_) => return Err(format!("{ty} has no text")),
    })
}

/// The value of a text, as `CAST('…' AS …)`.
pub(super) fn to_value(text: &str, ty: &Type) -> Result<Value<'static>, String> {
    let bad = || format!("Bad {} value: {text}", sql_noun(ty));
    let invalid = || format!("Invalid {} string \"{text}\"", sql_noun(ty));
    Ok(match ty {
        Type::Bool if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        Type::Bool if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        Type::Bool => return Err(bad()),
        Type::Int64 => Value::Int(parse_int(text).ok_or_else(bad)?),
        Type::Float64 => Value::Float(parse_float(text).ok_or_else(bad)?),
        Type::Numeric => {
            Value::Decimal(decimal(text, Decimal::Numeric).ok_or_else(|| invalid_decimal("NUMERIC", text))?)
        }
        Type::BigNumeric => {
            Value::Decimal(decimal(text, Decimal::Bignumeric).ok_or_else(|| invalid_decimal("BIGNUMERIC", text))?)
        }
        Type::String | Type::Geography => Value::string(text),
        Type::Bytes => Value::Bytes(text.as_bytes().to_vec().into()),
        Type::Date => Value::Int(parse_date(text).ok_or_else(invalid)?),
        Type::Time => Value::Int(parse_time(text).ok_or_else(invalid)?),
        Type::Datetime => Value::Int(parse_datetime(text).ok_or_else(invalid)?),
        Type::Timestamp => Value::Int(parse_timestamp(text, Zone::UTC).ok_or_else(invalid)?),
        Type::Json | Type::Interval | Type::Array(_) | Type::Struct(_) => return Err(bad()),
    })
}

fn sql_noun(ty: &Type) -> String {
    match ty {
        Type::Float64 => "double".into(),
        Type::Timestamp => "timestamp".into(),
        Type::Date => "date".into(),
        Type::Datetime => "datetime".into(),
        Type::Time => "time".into(),
        other => other.to_string().to_lowercase(),
    }
}

fn invalid_decimal(name: &str, text: &str) -> String {
    format!("Invalid {name} value: {text}")
}

fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with(['+', '-']) => {
            let magnitude = i128::from_str_radix(hex, 16).ok()?;
            i64::try_from(sign * magnitude).ok()
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let value: f64 = text.parse().ok()?;
    let named = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_alphabetic());
    (named || value.is_finite()).then_some(value)
}

/// The decimal of a text; digits beyond the type's scale are rounded half away from zero.
pub(super) fn decimal(text: &str, decimal: Decimal) -> Option<i256> {
    let text = text.trim();
    if let Ok(value) = decimal.parse(text) {
        return Some(value);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, part) = mantissa.split_once('.')?;
    let keep = usize::try_from(i64::from(decimal.scale()) + exponent).ok()?;
    if part.len() <= keep || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = decimal.parse(&format!("{whole}.{}e{exponent}", &part[..keep])).ok()?;
    let up = part.as_bytes()[keep] >= b'5';
    let step = if whole.starts_with('-') { i256::MINUS_ONE } else { i256::ONE };
    Some(if up { kept.wrapping_add(step) } else { kept })
}

/// A reader of digits and separators.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if count < least {
            return None;
        }
        let value = self.0[..count].iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        self.0 = &self.0[count..];
        Some(value)
    }

    fn eat(&mut self, any: &[u8]) -> Option<()> {
        let first = self.0.first()?;
        any.contains(first).then(|| self.0 = &self.0[1..])
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.digits(4, 4)?;
        self.eat(b"-")?;
        let month = self.digits(1, 2)?;
        self.eat(b"-")?;
        let day = self.digits(1, 2)?;
        calendar::checked_days(year, month, day)
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.digits(1, 2)?;
        self.eat(b":")?;
        let minute = self.digits(1, 2)?;
        self.eat(b":")?;
        let second = self.digits(1, 2)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(hour * HOUR + minute * MINUTE + second * SECOND + self.fraction()?)
    }

    fn fraction(&mut self) -> Option<i64> {
        if self.eat(b".").is_none() {
            return Some(0);
        }
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        // BigQuery keeps microseconds, and refuses what is finer.
        if count > 6 {
            return None;
        }
        let text = &self.0[..count];
        let value = text.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        let exponent = u32::try_from(6 - text.len()).ok()?;
        self.0 = &self.0[count..];
        Some(value * 10_i64.pow(exponent))
    }
}

pub(super) fn parse_date(text: &str) -> Option<i64> {
    let mut reader = Reader(text.trim().as_bytes());
    reader.date().filter(|_| reader.0.is_empty())
}

pub(super) fn parse_time(text: &str) -> Option<i64> {
    let mut reader = Reader(text.trim().as_bytes());
    reader.time().filter(|_| reader.0.is_empty())
}

pub(super) fn parse_datetime(text: &str) -> Option<i64> {
    let mut reader = Reader(text.trim().as_bytes());
    let day = reader.date()?;
    if reader.0.is_empty() {
        return Some(day * DAY);
    }
    reader.eat(b" Tt")?;
    let time = reader.time()?;
    reader.0.is_empty().then_some(day * DAY + time)
}

/// An instant: `2024-02-01[ 10:04:46[.123]][zone]`, in `zone` where the text names none.
pub(super) fn parse_timestamp(text: &str, zone: Zone) -> Option<i64> {
    let text = text.trim();
    let mut reader = Reader(text.as_bytes());
    let day = reader.date()?;
    let mut civil = day * DAY;
    let mut ahead = Reader(reader.0);
    if ahead.eat(b" Tt").is_some()
        && let Some(time) = ahead.time()
    {
        civil += time;
        reader = ahead;
    }
    let rest = std::str::from_utf8(reader.0).ok()?;
    let zone = match rest.trim_start() {
        "" => zone,
        named => {
            let attached = named.starts_with(['+', '-']) || named.eq_ignore_ascii_case("z");
            if !attached && !rest.starts_with(' ') {
                return None;
            }
            Zone::parse(named).ok()?
        }
    };
    calendar::in_range(zone.instant(civil))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e20, "1e+20"),
            (1e15, "1e+15"),
            (1e14, "100000000000000.0"),
            (1e-5, "1e-05"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123456.789, "123456.789"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn times_are_read_as_bigquery_reads_them() {
        let at = 1_706_781_886_000_000;
        for text in [
            "2024-02-01 10:04:46",
            "2024-02-01T10:04:46Z",
            "2024-02-01 10:04:46 UTC",
            "2024-02-01 10:04:46+00",
            "2024-2-1 11:04:46 Europe/Rome",
            "2024-02-01 05:04:46.000-05:00",
        ] {
            assert_eq!(parse_timestamp(text, Zone::UTC), Some(at), "{text}");
        }
        assert_eq!(parse_timestamp("2024-02-01", Zone::UTC), Some(1_706_745_600_000_000));
        assert_eq!(parse_timestamp("2024-02-30", Zone::UTC), None);
        assert_eq!(parse_timestamp("2024-02-01 10:04:46.000000", Zone::UTC), Some(at));
        assert_eq!(parse_timestamp("2024-02-01 10:04:46.0000000", Zone::UTC), None, "finer than BigQuery reads");
        assert_eq!(timestamp(at, Zone::UTC), "2024-02-01 10:04:46+00");
        assert_eq!(timestamp(at + 120_000, Zone::Fixed(19_800)), "2024-02-01 15:34:46.120+05:30");
    }

    #[test]
    fn decimals_round_half_away_from_zero() {
        let third = decimal("1.3333333335", Decimal::Numeric).expect("rounds");
        assert_eq!(Decimal::Numeric.format(third), "1.333333334");
        let negative = decimal("-0.00000000049", Decimal::Numeric).expect("rounds");
        assert_eq!(Decimal::Numeric.format(negative), "0");
    }
}
