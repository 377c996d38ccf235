//! The functions of parts: difference, truncation, addition, EXTRACT.

use super::{Bound, SqlError, Type, Value};
use crate::bigquery::sql::{
    calendar::{self, DAY, Part},
    scalar::Scalar,
    text,
    zone::Zone,
};

/// The type that the function's name is of.
fn named_type(name: &str) -> Type {
    match name.split('_').next() {
        Some("DATE") => Type::Date,
        Some("DATETIME") => Type::Datetime,
        Some("TIME") => Type::Time,
        _ => Type::Timestamp,
    }
}

fn unsupported(name: &str, part: Part) -> SqlError {
    SqlError::invalid(format!("{name} does not support the {} date part", name_of(part)))
}

/// The part as it is written.
fn name_of(part: Part) -> String {
    match part {
        Part::Week(0) => "WEEK".into(),
        Part::Week(day) => format!("WEEK({day})"),
        other => format!("{other:?}").to_uppercase(),
    }
}

fn no_match(name: &str, args: &[&Bound]) -> SqlError {
    let types: Vec<String> = args.iter().map(|arg| arg.ty.to_string()).collect();
    SqlError::invalid(format!("No matching signature for function {name} for argument types: {}", types.join(", ")))
}

/// The type of a value that a function of dates and times is given, by its own type rather than by the name's.
fn type_for(name: &str, value: &Bound) -> Option<Type> {
    let named = named_type(name);
    if value.fits(&named) && !(named == Type::Datetime && value.ty == Type::Date) {
        return Some(named);
    }
    let own = matches!(value.ty, Type::Date | Type::Datetime | Type::Timestamp) && named != Type::Time;
    own.then(|| value.ty.clone())
}

/// `…_DIFF(a, b, part)`: whole intervals between timestamps, boundaries between civil values.
pub(crate) fn difference(name: &str, a: Bound, b: Bound, part: Part, safe: bool) -> Result<Bound, SqlError> {
    let own = type_for(name, &a).filter(|ty| b.fits(ty)).or_else(|| type_for(name, &b).filter(|ty| a.fits(ty)));
    let Some(ty) = own else { return Err(no_match(name, &[&a, &b])) };
    let possible = match ty {
        Type::Date => !part.is_of_time() && calendar::difference_of_dates(0, 0, part).is_some(),
        Type::Timestamp => part.micros().is_some(),
        Type::Time => part.is_of_time(),
        _ => calendar::difference(0, 0, part).is_some(),
    };
    if !possible {
        return Err(unsupported(name, part));
    }
    let of = ty.clone();
    let function = Scalar::new(format!("{name} {part:?}"), vec![ty.clone(), ty.clone()], Type::Int64, move |args| {
        let (a, b) = (args[0].int(), args[1].int());
        let difference = match of {
            Type::Date => calendar::difference_of_dates(a, b, part),
            Type::Timestamp => part.micros().map(|length| (a - b) / length),
            _ => calendar::difference(a, b, part),
        };
        difference.map(Value::Int).ok_or_else(|| "The date part is not supported".into())
    });
    Ok(Bound::new(function.safe(safe).call(vec![a.coerce(&ty)?, b.coerce(&ty)?]), Type::Int64))
}

/// `…_TRUNC(value, part[, zone])`.
pub(crate) fn truncate(
    name: &str,
    value: Bound,
    part: Part,
    zone: Option<Bound>,
    safe: bool,
) -> Result<Bound, SqlError> {
    let Some(ty) = type_for(name, &value) else { return Err(no_match(name, &[&value])) };
    let possible = match ty {
        Type::Date => calendar::truncate_date(0, part).is_some(),
        Type::Time => part.is_of_time(),
        _ => calendar::truncate(0, part).is_some(),
    };
    if !possible {
        return Err(unsupported(name, part));
    }
    if zone.is_some() && ty != Type::Timestamp {
        return Err(SqlError::invalid(format!("{name} of {ty} takes no time zone")));
    }
    let of = ty.clone();
    let (mut types, mut args) = (vec![ty.clone()], vec![value.coerce(&ty)?]);
    if let Some(zone) = zone {
        args.push(zone.coerce(&Type::String)?);
        types.push(Type::String);
    }
    let function = Scalar::new(format!("{name} {part:?}"), types, ty.clone(), move |args| {
        let value = args[0].int();
        let truncated = match of {
            Type::Date => calendar::truncate_date(value, part),
            Type::Timestamp => {
                let zone = zone_of(args.get(1))?;
                match part.micros() {
                    Some(length) if length < DAY => {
                        let offset = zone.civil(value) - value;
                        calendar::truncate(value + offset, part).map(|civil| civil - offset)
                    }
                    _ => calendar::truncate(zone.civil(value), part).map(|civil| zone.instant(civil)),
                }
            }
            _ => calendar::truncate(value, part),
        };
        let in_range = |at: &i64| {
            of == Type::Date && calendar::DAYS.contains(at) || of != Type::Date && calendar::in_range(*at).is_some()
        };
        truncated.filter(in_range).map(Value::Int).ok_or_else(|| "Truncating causes overflow".into())
    });
    Ok(Bound::new(function.safe(safe).call(args), ty))
}

/// `…_ADD(value, INTERVAL count part)` and `…_SUB`.
pub(crate) fn add(name: &str, value: Bound, count: Bound, part: Part, safe: bool) -> Result<Bound, SqlError> {
    let Some(mut ty) = type_for(name, &value) else { return Err(no_match(name, &[&value])) };
    if ty == Type::Date && named_type(name) == Type::Datetime {
        ty = Type::Datetime;
    }
    let possible = match ty {
        Type::Date => calendar::add_to_date(0, 0, part).is_some(),
        Type::Timestamp => part.micros().is_some(),
        Type::Time => part.is_of_time(),
        _ => calendar::add(0, 0, part).is_some(),
    };
    if !possible {
        return Err(unsupported(name, part));
    }
    let sign = if name.ends_with("_SUB") { -1 } else { 1 };
    let of = ty.clone();
    let function = Scalar::new(format!("{name} {part:?}"), vec![ty.clone(), Type::Int64], ty.clone(), move |args| {
        let value = args[0].int();
        let moved = args[1].int().checked_mul(sign).and_then(|count| match of {
            Type::Date => calendar::add_to_date(value, count, part),
            Type::Time => {
                let length = part.micros()?;
                Some((value + count.checked_rem(DAY / length)?.checked_mul(length)?).rem_euclid(DAY))
            }
            _ => calendar::add(value, count, part),
        });
        moved.map(Value::Int).ok_or_else(|| {
            let shown = text::of_value(&args[0], &of).unwrap_or_default();
            format!("Adding {} {} to {shown} causes overflow", args[1].int(), name_of(part))
        })
    });
    Ok(Bound::new(function.safe(safe).call(vec![value.coerce(&ty)?, count.expr]), ty))
}

/// `EXTRACT(part FROM value [AT TIME ZONE zone])`.
pub(crate) fn extract(value: Bound, part: Part, zone: Option<Bound>) -> Result<Bound, SqlError> {
    let ty = value.ty.clone();
    if zone.is_some() && ty != Type::Timestamp {
        return Err(SqlError::invalid(format!("EXTRACT from {ty} takes no time zone")));
    }
    let result = match (part, &ty) {
        (Part::Date, Type::Timestamp | Type::Datetime) => Type::Date,
        (Part::Time, Type::Timestamp | Type::Datetime) => Type::Time,
        (Part::Datetime, Type::Timestamp) => Type::Datetime,
        (part, Type::Date) if calendar::extract_of_date(0, part).is_some() => Type::Int64,
        (part, Type::Time) if part.is_of_time() => Type::Int64,
        (part, Type::Timestamp | Type::Datetime) if calendar::extract(0, part).is_some() => Type::Int64,
        (part, Type::Date | Type::Time | Type::Timestamp | Type::Datetime) => {
            return Err(SqlError::invalid(format!(
                "EXTRACT from {ty} does not support the {} date part",
                name_of(part)
            )));
        }
        _ => return Err(no_match("EXTRACT", &[&value])),
    };
    let of = ty.clone();
    let (mut types, mut args) = (vec![ty], vec![value.expr]);
    if let Some(zone) = zone {
        args.push(zone.coerce(&Type::String)?);
        types.push(Type::String);
    }
    let function = Scalar::new(format!("EXTRACT {part:?}"), types, result.clone(), move |args| {
        let value = args[0].int();
        let civil = match of {
            Type::Timestamp => zone_of(args.get(1))?.civil(value),
            Type::Date => value * DAY,
            _ => value,
        };
        let part = match part {
            Part::Date => Some(civil.div_euclid(DAY)),
            Part::Time => Some(civil.rem_euclid(DAY)),
            Part::Datetime => Some(civil),
            part => calendar::extract(civil, part),
        };
        part.map(Value::Int).ok_or_else(|| "The date part is not supported".into())
    });
    Ok(Bound::new(function.call(args), result))
}

/// `LAST_DAY(value, part)`.
pub(crate) fn last_day(value: Bound, part: Part, safe: bool) -> Result<Bound, SqlError> {
    let ty = if value.fits(&Type::Date) { Type::Date } else { value.ty.clone() };
    if !matches!(ty, Type::Date | Type::Datetime) {
        return Err(no_match("LAST_DAY", &[&value]));
    }
    let length = match part {
        Part::Year | Part::Quarter | Part::Month => None,
        Part::Week(_) | Part::IsoWeek => Some(6),
        _ => return Err(unsupported("LAST_DAY", part)),
    };
    let of = ty.clone();
    let function = Scalar::new(format!("LAST_DAY {part:?}"), vec![ty.clone()], Type::Date, move |args| {
        let day = if of == Type::Date { args[0].int() } else { args[0].int().div_euclid(DAY) };
        let first = calendar::truncate_date(day, part);
        let last = first.and_then(|first| match length {
            Some(length) => Some(first + length),
            None => calendar::add_to_date(first, 1, part).map(|next| next - 1),
        });
        last.map(Value::Int).ok_or_else(|| "LAST_DAY causes overflow".into())
    });
    Ok(Bound::new(function.safe(safe).call(vec![value.coerce(&ty)?]), Type::Date))
}

/// The zone of an argument; UTC where there is none.
pub(super) fn zone_of(arg: Option<&Value<'_>>) -> Result<Zone, String> {
    arg.map_or(Ok(Zone::UTC), |zone| Zone::parse(zone.str()))
}
