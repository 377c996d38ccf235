//! Texts of dates and times by a format, and FORMAT.

use super::{Bound, Call, SqlError, Type, Value, part::zone_of};
use crate::bigquery::sql::{
    calendar::{self, DAY},
    scalar::Scalar,
    strftime::{self, Fields},
    text,
    zone::Zone,
};

const S: Type = Type::String;

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    if call.name == "FORMAT" {
        return Some(format(call));
    }
    let (operation, kind) = call.name.split_once('_')?;
    let (ty, fields) = match kind {
        "DATE" => (Type::Date, Fields { date: true, time: false, zone: false }),
        "DATETIME" => (Type::Datetime, Fields { date: true, time: true, zone: false }),
        "TIME" => (Type::Time, Fields { date: false, time: true, zone: false }),
        "TIMESTAMP" => (Type::Timestamp, Fields { date: true, time: true, zone: true }),
        _ => return None,
    };
    let most = if ty == Type::Timestamp { 3 } else { 2 };
    if !(2..=most).contains(&call.args.len()) {
        return None;
    }
    match operation {
        "FORMAT" => Some(format_time(call, ty, fields)),
        "PARSE" => Some(parse_time(call, ty, fields)),
        _ => None,
    }
}

/// Refuses a literal format before anything is run.
fn check<T>(call: &Call, format: impl Fn(&str) -> Result<T, String>) -> Result<(), SqlError> {
    match call.text(0).map(|pattern| format(&pattern)) {
        Some(Err(message)) if message.contains("not available") => Err(SqlError::of_kernel(message)),
        _ => Ok(()),
    }
}

fn format_time(call: &Call, ty: Type, fields: Fields) -> Result<Bound, SqlError> {
    check(call, |pattern| strftime::format(pattern, 0, fields, Some((Zone::UTC, 0))))?;
    let value = if ty == Type::Date && !call.args[1].fits(&Type::Date) { call.args[1].ty.clone() } else { ty };
    if !matches!(value, Type::Date | Type::Datetime | Type::Time | Type::Timestamp) {
        return Err(call.no_match());
    }
    let fields = if value == Type::Date { fields } else { Fields { time: value != Type::Date, ..fields } };
    let mut types = vec![S, value.clone()];
    if call.args.len() == 3 {
        types.push(S);
    }
    call.strict(&types, S, move |args| {
        let at = args[1].int();
        let (civil, zone) = match value {
            Type::Date => (at * DAY, None),
            Type::Timestamp => {
                let zone = zone_of(args.get(2))?;
                (zone.civil(at), Some((zone, zone.offset(at))))
            }
            _ => (at, None),
        };
        strftime::format(args[0].str(), civil, fields, zone).map(Value::string)
    })
}

fn parse_time(call: &Call, ty: Type, fields: Fields) -> Result<Bound, SqlError> {
    check(call, |pattern| match strftime::parse(pattern, "", fields) {
        Err(message) if message.contains("not available") => Err(message),
        _ => Ok(()),
    })?;
    let types = [S, S, S];
    let target = ty.clone();
    call.strict(&types[..call.args.len()], ty, move |args| {
        let (civil, zone) = strftime::parse(args[0].str(), args[1].str(), fields)?;
        let value = match target {
            Type::Date => civil.div_euclid(DAY),
            Type::Time => civil.rem_euclid(DAY),
            Type::Timestamp => match zone {
                Some(zone) => zone.instant(civil),
                None => zone_of(args.get(2))?.instant(civil),
            },
            _ => civil,
        };
        let fits = target == Type::Date || calendar::in_range(value).is_some();
        if fits { Ok(Value::Int(value)) } else { Err(format!("Failed to parse input string \"{}\"", args[1].str())) }
    })
}

/// One piece of FORMAT's pattern.
enum Piece {
    Text(String),
    /// Zeros, the width, the digits after the point, the letter, and the number of the argument.
    Value {
        zeros: bool,
        left: bool,
        width: usize,
        precision: Option<usize>,
        letter: char,
        index: usize,
    },
}

/// FORMAT with the plain specifiers: `%d %i %s %t %T %f %%` and widths. `%t` and `%T` write a NULL as `NULL`; with any other the
/// whole text is NULL.
fn format(call: &Call) -> Result<Bound, SqlError> {
    let refuse = |what: &str| SqlError::not_implemented(format!("FORMAT with {what}"));
    let pattern = call.text(0).ok_or_else(|| refuse("a pattern that is no literal"))?;
    let pieces = pieces(&pattern).map_err(|what| refuse(&what))?;
    let mut types = vec![S];
    for piece in &pieces {
        let Piece::Value { letter, index, .. } = piece else { continue };
        let arg = call.args.get(*index).ok_or_else(|| SqlError::invalid("Too few arguments to FORMAT for pattern"))?;
        let ty = match letter {
            'd' | 'i' if arg.fits(&Type::Int64) => Type::Int64,
            's' if arg.fits(&S) => S,
            'f' if arg.ty == Type::Float64 || arg.ty == Type::Int64 => Type::Float64,
            't' if matches!(arg.ty, Type::Numeric | Type::BigNumeric)
                || arg.ty.is_orderable() && arg.ty != Type::Bytes =>
            {
                arg.ty.clone()
            }
            'T' if has_literal(&arg.ty) => arg.ty.clone(),
            't' | 'T' | 'f' => return Err(refuse(&format!("%{letter} of {}", arg.ty))),
            _ => {
                return Err(SqlError::invalid(format!(
                    "Invalid type for argument {} to FORMAT: {}",
                    index + 1,
                    arg.ty
                )));
            }
        };
        types.push(ty);
    }
    if types.len() != call.args.len() {
        return Err(SqlError::invalid("Too many arguments to FORMAT for pattern"));
    }
    let given = types.clone();
    let function = Scalar::new(format!("FORMAT {pattern}"), types.clone(), S, move |args| {
        let mut out = String::new();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value { letter, index, .. } if args[*index].is_null() && !matches!(letter, 't' | 'T') => {
                    return Ok(Value::Null);
                }
                Piece::Value { zeros, left, width, precision, letter, index } => {
                    let shown = match letter {
                        _ if args[*index].is_null() => "NULL".to_owned(),
                        'T' => literal(&args[*index], &given[*index])?,
                        'f' => format!("{:.*}", precision.unwrap_or(6), args[*index].float()),
                        's' => match precision {
                            Some(most) => args[*index].str().chars().take(*most).collect(),
                            None => args[*index].str().to_owned(),
                        },
                        _ => text::of_value(&args[*index], &given[*index])?,
                    };
                    let have = shown.chars().count();
                    let fill = width.saturating_sub(have);
                    match shown.strip_prefix('-') {
                        _ if *left => out.push_str(&format!("{shown}{}", " ".repeat(fill))),
                        Some(digits) if *zeros => out.push_str(&format!("-{}{digits}", "0".repeat(fill))),
                        _ => out.push_str(&format!("{}{shown}", if *zeros { "0" } else { " " }.repeat(fill))),
                    }
                }
            }
        }
        Ok(Value::string(out))
    });
    call.apply(function.with_nulls(), &types, S)
}

/// Whether `%T` is available for the type.
fn has_literal(ty: &Type) -> bool {
    matches!(ty, Type::String | Type::Bool | Type::Int64 | Type::Float64)
        || matches!(ty, Type::Date | Type::Time | Type::Datetime | Type::Timestamp | Type::Numeric | Type::BigNumeric)
}

/// The value as a literal of SQL.
fn literal(value: &Value<'_>, ty: &Type) -> Result<String, String> {
    let text = text::of_value(value, ty)?;
    Ok(match ty {
        Type::String => {
            let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
            match (escaped.contains('"'), escaped.contains('\'')) {
                (true, false) => format!("'{escaped}'"),
                _ => format!("\"{}\"", escaped.replace('"', "\\\"")),
            }
        }
        Type::Bool | Type::Int64 => text,
        Type::Float64 if value.float().is_finite() => text,
        Type::Float64 => format!("CAST(\"{text}\" AS FLOAT64)"),
        ty => format!("{ty} \"{text}\""),
    })
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest, mut index) = (Vec::new(), pattern, 0);
    while let Some(at) = rest.find('%') {
        pieces.push(Piece::Text(rest[..at].to_owned()));
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            pieces.push(Piece::Text("%".into()));
            rest = after;
            continue;
        }
        let start = rest;
        let left = rest.starts_with('-');
        rest = rest.strip_prefix('-').unwrap_or(rest);
        let zeros = rest.starts_with('0');
        rest = rest.strip_prefix('0').unwrap_or(rest);
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let count = digits(rest);
        let width = if count == 0 { 0 } else { rest[..count].parse().map_err(|_| "such a width")? };
        rest = &rest[count..];
        let mut precision = None;
        if let Some(after) = rest.strip_prefix('.') {
            let count = digits(after);
            precision = Some(after[..count].parse().map_err(|_| "such a precision")?);
            rest = &after[count..];
        }
        let letter = rest.chars().next().ok_or("a pattern that ends in %")?;
        let plain = matches!(letter, 'd' | 'i' | 's' | 't' | 'T' | 'f');
        if !plain || precision.is_some() && !matches!(letter, 'f' | 's') || zeros && matches!(letter, 's' | 't' | 'T') {
            let shown: String = start.chars().take(start.len() - rest.len() + 1).collect();
            return Err(format!("%{shown}"));
        }
        rest = &rest[1..];
        index += 1;
        pieces.push(Piece::Value { zeros, left, width, precision, letter, index });
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}
