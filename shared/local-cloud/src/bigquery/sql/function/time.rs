//! Dates and times: made, converted, counted, and now.

use super::{Bound, Call, SqlError, Type, Value, part::zone_of};
use crate::bigquery::sql::{
    binder::Kind,
    calendar::{self, DAY, HOUR, MINUTE, SECOND},
    text,
    zone::Zone,
};

const S: Type = Type::String;
const I: Type = Type::Int64;

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    let name = call.name.as_str();
    Some(match (name, call.args.len()) {
        ("CURRENT_TIMESTAMP", 0) => Bound::literal(Value::Int(call.now), Type::Timestamp),
        ("CURRENT_DATE" | "CURRENT_DATETIME" | "CURRENT_TIME", 0 | 1) => now(call),
        ("DATE", 1 | 2) => to_date(call),
        ("DATE", 3) => call.strict(&[I, I, I], Type::Date, |args| {
            let (year, month, day) = (args[0].int(), args[1].int(), args[2].int());
            let date = calendar::checked_days(year, month, day);
            date.map(Value::Int).ok_or_else(|| format!("Input calculates to invalid date: {year}-{month}-{day}"))
        }),
        ("DATETIME", 1 | 2) => to_datetime(call),
        ("DATETIME", 6) => call.strict(&[I, I, I, I, I, I], Type::Datetime, |args| {
            let day = calendar::checked_days(args[0].int(), args[1].int(), args[2].int());
            let time = clock(args[3].int(), args[4].int(), args[5].int());
            day.zip(time)
                .map(|(day, time)| Value::Int(day * DAY + time))
                .ok_or_else(|| "Input calculates to invalid datetime".into())
        }),
        ("TIME", 3) => call.strict(&[I, I, I], Type::Time, |args| {
            let time = clock(args[0].int(), args[1].int(), args[2].int());
            time.map(Value::Int).ok_or_else(|| "Input calculates to invalid time".into())
        }),
        ("TIME", 1 | 2) => to_time(call),
        ("TIMESTAMP", 1 | 2) => to_timestamp(call),
        ("UNIX_SECONDS", 1) => {
            call.strict(&[Type::Timestamp], I, |args| Ok(Value::Int(args[0].int().div_euclid(SECOND))))
        }
        ("UNIX_MILLIS", 1) => {
            call.strict(&[Type::Timestamp], I, |args| Ok(Value::Int(args[0].int().div_euclid(1_000))))
        }
        ("UNIX_MICROS", 1) => call.strict(&[Type::Timestamp], I, |args| Ok(Value::Int(args[0].int()))),
        ("UNIX_DATE", 1) => call.strict(&[Type::Date], I, |args| Ok(Value::Int(args[0].int()))),
        ("DATE_FROM_UNIX_DATE", 1) => call.strict(&[I], Type::Date, |args| match args[0].int() {
            day if calendar::DAYS.contains(&day) => Ok(Value::Int(day)),
            day => Err(format!("DATE_FROM_UNIX_DATE is out of range: {day}")),
        }),
        ("TIMESTAMP_SECONDS", 1) => from_epoch(call, SECOND),
        ("TIMESTAMP_MILLIS", 1) => from_epoch(call, 1_000),
        ("TIMESTAMP_MICROS", 1) => from_epoch(call, 1),
        _ => return None,
    })
}

fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    let valid = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    valid.then(|| hour * HOUR + minute * MINUTE + second * SECOND)
}

fn now(call: &Call) -> Result<Bound, SqlError> {
    let zone = match (call.args.len(), call.text(0)) {
        (0, _) => Zone::UTC,
        (_, Some(zone)) => Zone::parse(&zone).map_err(SqlError::invalid)?,
        (_, None) => {
            return Err(SqlError::not_implemented(format_args!("{} with a zone that is no literal", call.name)));
        }
    };
    let civil = zone.civil(call.now);
    match call.name.as_str() {
        "CURRENT_DATE" => Bound::literal(Value::Int(civil.div_euclid(DAY)), Type::Date),
        "CURRENT_TIME" => Bound::literal(Value::Int(civil.rem_euclid(DAY)), Type::Time),
        _ => Bound::literal(Value::Int(civil), Type::Datetime),
    }
}

/// The civil time of a timestamp in a zone, made into something.
fn civil_of(call: &Call, result: Type, make: fn(i64) -> i64) -> Result<Bound, SqlError> {
    let types = if call.args.len() == 2 { vec![Type::Timestamp, S] } else { vec![Type::Timestamp] };
    call.strict(&types, result, move |args| Ok(Value::Int(make(zone_of(args.get(1))?.civil(args[0].int())))))
}

/// A text that is no literal is read as the type by the functions of the type's name.
fn is_plain_text(call: &Call) -> bool {
    call.args.len() == 1 && call.starts_with(&S) && !matches!(call.args[0].kind, Kind::Text(_))
}

fn parsed(call: &Call, ty: Type) -> Result<Bound, SqlError> {
    let target = ty.clone();
    call.strict(&[S], ty, move |args| text::to_value(args[0].str(), &target))
}

fn to_date(call: &Call) -> Result<Bound, SqlError> {
    match &call.args[0].ty {
        Type::Date if call.args.len() == 1 => Ok(call.args[0].clone()),
        Type::Datetime if call.args.len() == 1 => {
            call.strict(&[Type::Datetime], Type::Date, |args| Ok(Value::Int(args[0].int().div_euclid(DAY))))
        }
        Type::String if call.args.len() == 1 => {
            if is_plain_text(call) {
                return parsed(call, Type::Date);
            }
            Ok(Bound::new(call.args[0].clone().coerce(&Type::Date)?, Type::Date))
        }
        _ => civil_of(call, Type::Date, |civil| civil.div_euclid(DAY)),
    }
}

fn to_time(call: &Call) -> Result<Bound, SqlError> {
    match &call.args[0].ty {
        Type::Time if call.args.len() == 1 => Ok(call.args[0].clone()),
        Type::Datetime if call.args.len() == 1 => {
            call.strict(&[Type::Datetime], Type::Time, |args| Ok(Value::Int(args[0].int().rem_euclid(DAY))))
        }
        _ => civil_of(call, Type::Time, |civil| civil.rem_euclid(DAY)),
    }
}

fn to_datetime(call: &Call) -> Result<Bound, SqlError> {
    match (&call.args[0].ty, call.args.len()) {
        (Type::Datetime, 1) => Ok(call.args[0].clone()),
        (Type::Date, 1) => call.strict(&[Type::Date], Type::Datetime, |args| Ok(Value::Int(args[0].int() * DAY))),
        (Type::Date, 2) => call.strict(&[Type::Date, Type::Time], Type::Datetime, |args| {
            Ok(Value::Int(args[0].int() * DAY + args[1].int()))
        }),
        (Type::String, 1) if is_plain_text(call) => parsed(call, Type::Datetime),
        (Type::String, 1) => Ok(Bound::new(call.args[0].clone().coerce(&Type::Datetime)?, Type::Datetime)),
        _ => civil_of(call, Type::Datetime, |civil| civil),
    }
}

/// TIMESTAMP(text | date | datetime[, zone]).
fn to_timestamp(call: &Call) -> Result<Bound, SqlError> {
    let with_zone = |ty: Type| if call.args.len() == 2 { vec![ty, S] } else { vec![ty] };
    let range = |at: i64| calendar::in_range(at).map(Value::Int).ok_or_else(|| "TIMESTAMP is out of range".to_owned());
    match &call.args[0].ty {
        Type::Timestamp if call.args.len() == 1 => Ok(call.args[0].clone()),
        Type::String => call.strict(&with_zone(S), Type::Timestamp, |args| {
            let at = text::parse_timestamp(args[0].str(), zone_of(args.get(1))?);
            at.map(Value::Int).ok_or_else(|| format!("Invalid timestamp: '{}'", args[0].str()))
        }),
        Type::Date => call.strict(&with_zone(Type::Date), Type::Timestamp, move |args| {
            range(zone_of(args.get(1))?.instant(args[0].int() * DAY))
        }),
        Type::Datetime => call.strict(&with_zone(Type::Datetime), Type::Timestamp, move |args| {
            range(zone_of(args.get(1))?.instant(args[0].int()))
        }),
        _ => Err(call.no_match()),
    }
}

fn from_epoch(call: &Call, unit: i64) -> Result<Bound, SqlError> {
    let name = call.name.clone();
    call.strict(&[I], Type::Timestamp, move |args| {
        let at = args[0].int().checked_mul(unit).and_then(calendar::in_range);
        at.map(Value::Int).ok_or_else(|| format!("{name} is out of range: {}", args[0].int()))
    })
}
