//! Strings.

use super::{Bound, Call, SqlError, Type, Value};
use crate::bigquery::sql::{scalar::Scalar, text};

const S: Type = Type::String;
const I: Type = Type::Int64;

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    let of_bytes = call.starts_with(&Type::Bytes);
    Some(match (call.name.as_str(), call.args.len()) {
        ("LENGTH" | "CHAR_LENGTH" | "CHARACTER_LENGTH", 1) if !(of_bytes && call.name == "LENGTH") => {
            call.strict(&[S], I, |args| Ok(count(args[0].str().chars().count())))
        }
        ("LENGTH" | "BYTE_LENGTH" | "OCTET_LENGTH", 1) => {
            let ty = if of_bytes { Type::Bytes } else { S };
            call.strict(&[ty], I, |args| Ok(count(args[0].bytes().len())))
        }
        (
            "UPPER" | "LOWER" | "STARTS_WITH" | "ENDS_WITH" | "SUBSTR" | "SUBSTRING" | "LEFT" | "RIGHT" | "LPAD"
            | "RPAD" | "TRIM" | "LTRIM" | "RTRIM" | "REPLACE" | "REPEAT" | "REVERSE" | "STRPOS" | "INSTR" | "SPLIT"
            | "TRANSLATE" | "ASCII" | "INITCAP",
            _,
        ) if of_bytes => Err(SqlError::not_implemented(format_args!("FUNCTION {} of BYTES", call.name))),
        ("UPPER", 1) => call.strict(&[S], S, |args| Ok(Value::string(args[0].str().to_uppercase()))),
        ("LOWER", 1) => call.strict(&[S], S, |args| Ok(Value::string(args[0].str().to_lowercase()))),
        ("INITCAP", 1) => call.strict(&[S], S, |args| Ok(Value::string(capitalised(args[0].str())))),
        ("CONCAT", 1..) => concat(call),
        ("STARTS_WITH", 2) => {
            call.strict(&[S, S], Type::Bool, |args| Ok(Value::Bool(args[0].str().starts_with(args[1].str()))))
        }
        ("ENDS_WITH", 2) => {
            call.strict(&[S, S], Type::Bool, |args| Ok(Value::Bool(args[0].str().ends_with(args[1].str()))))
        }
        ("CONTAINS_SUBSTR", 2) => contains_substr(call),
        ("SUBSTR" | "SUBSTRING", 2) => {
            call.strict(&[S, I], S, |args| Ok(Value::string(substring(args[0].str(), args[1].int(), i64::MAX))))
        }
        ("SUBSTR" | "SUBSTRING", 3) => call.strict(&[S, I, I], S, |args| match args[2].int() {
            length if length < 0 => Err("Third argument in SUBSTR() cannot be negative".into()),
            length => Ok(Value::string(substring(args[0].str(), args[1].int(), length))),
        }),
        ("LEFT" | "RIGHT", 2) => {
            let left = call.name == "LEFT";
            call.strict(&[S, I], S, move |args| {
                let text = args[0].str();
                let Ok(length) = usize::try_from(args[1].int()) else {
                    return Err("Second argument in LEFT or RIGHT cannot be negative".into());
                };
                let all = text.chars().count();
                Ok(Value::string(match left {
                    true => text.chars().take(length).collect::<String>(),
                    false => text.chars().skip(all.saturating_sub(length)).collect::<String>(),
                }))
            })
        }
        ("LPAD" | "RPAD", 2 | 3) => pad(call),
        ("TRIM" | "LTRIM" | "RTRIM", 1 | 2) => trim(call),
        ("REPLACE", 3) => call.strict(&[S, S, S], S, |args| {
            Ok(match args[1].str() {
                "" => args[0].clone(),
                from => Value::string(args[0].str().replace(from, args[2].str())),
            })
        }),
        ("REPEAT", 2) => call.strict(&[S, I], S, |args| {
            let times = usize::try_from(args[1].int()).map_err(|_| "Second argument in REPEAT cannot be negative")?;
            match args[0].str().len().checked_mul(times) {
                Some(length) if length <= 1 << 20 => Ok(Value::string(args[0].str().repeat(times))),
                _ => Err("Output of REPEAT exceeds max allowed output size of 1MB".into()),
            }
        }),
        ("REVERSE", 1) => {
            call.strict(&[S], S, |args| Ok(Value::string(args[0].str().chars().rev().collect::<String>())))
        }
        ("STRPOS", 2) => call.strict(&[S, S], I, |args| {
            Ok(args[0]
                .str()
                .find(args[1].str())
                .map_or(Value::Int(0), |at| count(args[0].str()[..at].chars().count() + 1)))
        }),
        ("INSTR", 2..=4) => instr(call),
        ("SPLIT", 1) => call.strict(&[S], S.array(), |args| Ok(split(args[0].str(), ","))),
        ("SPLIT", 2) => call.strict(&[S, S], S.array(), |args| Ok(split(args[0].str(), args[1].str()))),
        ("ASCII", 1) => call.strict(&[S], I, |args| match args[0].str().chars().next() {
            None => Ok(Value::Int(0)),
            Some(c) if c.is_ascii() => Ok(Value::Int(i64::from(u32::from(c)))),
            Some(_) => Err("Non-ASCII character in ASCII".into()),
        }),
        ("UNICODE", 1) => call.strict(&[S], I, |args| {
            Ok(Value::Int(args[0].str().chars().next().map_or(0, |c| i64::from(u32::from(c)))))
        }),
        ("CHR", 1) => call.strict(&[I], S, |args| {
            let code = args[0].int();
            let c = u32::try_from(code).ok().and_then(char::from_u32);
            match c {
                _ if code == 0 => Ok(Value::string("")),
                Some(c) => Ok(Value::string(c)),
                None => Err(format!("Invalid codepoint {code}")),
            }
        }),
        ("TO_CODE_POINTS", 1) if !of_bytes => call.strict(&[S], I.array(), |args| {
            Ok(Value::Array(args[0].str().chars().map(|c| Value::Int(i64::from(u32::from(c)))).collect()))
        }),
        ("CODE_POINTS_TO_STRING", 1) => call.strict(&[I.array()], S, |args| {
            if args[0].items().iter().any(Value::is_null) {
                return Ok(Value::Null);
            }
            let chars = args[0].items().iter().map(|code| {
                u32::try_from(code.int())
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(|| format!("Invalid codepoint {}", code.int()))
            });
            Ok(Value::string(chars.collect::<Result<String, String>>()?))
        }),
        ("TRANSLATE", 3) => call.strict(&[S, S, S], S, |args| {
            let (from, to): (Vec<char>, Vec<char>) = (args[1].str().chars().collect(), args[2].str().chars().collect());
            if from.iter().enumerate().any(|(i, c)| from[..i].contains(c)) {
                return Err("Duplicate character in TRANSLATE source characters".into());
            }
            let chars = args[0].str().chars().filter_map(|c| match from.iter().position(|f| *f == c) {
                None => Some(c),
                Some(i) => to.get(i).copied(),
            });
            Ok(Value::string(chars.collect::<String>()))
        }),
        _ => return None,
    })
}

fn count<'a>(n: usize) -> Value<'a> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// `value LIKE pattern`.
pub(crate) fn like(args: Vec<Bound>) -> Result<Bound, SqlError> {
    let call = Call { name: "operator LIKE".into(), args, safe: false, now: 0 };
    let ty = if call.starts_with(&Type::Bytes) { Type::Bytes } else { S };
    let kernel = |value: &Value<'_>, pattern: &Value<'_>| -> Result<bool, String> {
        let pieces = pieces(pattern.str())?;
        Ok(matches(&value.str().chars().collect::<Vec<_>>(), &pieces))
    };
    if ty == Type::Bytes {
        return Err(SqlError::not_implemented("Operator LIKE of BYTES"));
    }
    if let Some(pattern) = call.text(1) {
        let pieces = pieces(&pattern).map_err(SqlError::invalid)?;
        let function = Scalar::new(format!("LIKE {pattern}"), vec![S, S], Type::Bool, move |args| {
            Ok(Value::Bool(matches(&args[0].str().chars().collect::<Vec<_>>(), &pieces)))
        });
        return call.apply(function.total(), &[S, S], Type::Bool);
    }
    call.strict(&[S, S], Type::Bool, move |args| Ok(Value::Bool(kernel(&args[0], &args[1])?)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Char(char),
    One,
    Any,
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut chars) = (Vec::new(), pattern.chars());
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Char(chars.next().ok_or("LIKE pattern ends with a backslash")?),
            c => Piece::Char(c),
        });
    }
    Ok(pieces)
}

/// Matches greedily, going back to the last `%` only.
fn matches(value: &[char], pieces: &[Piece]) -> bool {
    let (mut v, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while v < value.len() {
        match pieces.get(p) {
            Some(Piece::Any) => {
                star = Some((p, v));
                p += 1;
            }
            Some(Piece::One) => (v, p) = (v + 1, p + 1),
            Some(Piece::Char(c)) if *c == value[v] => (v, p) = (v + 1, p + 1),
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (v, p) = (*from, *at + 1);
                }
                None => return false,
            },
        }
    }
    pieces[p..].iter().all(|piece| *piece == Piece::Any)
}

fn concat(call: &Call) -> Result<Bound, SqlError> {
    let ty = Bound::supertype(&call.args).filter(|ty| matches!(ty, Type::String | Type::Bytes));
    let ty = ty.ok_or_else(|| call.no_match())?;
    let types = vec![ty.clone(); call.args.len()];
    if ty == Type::Bytes {
        let join = |args: &[Value<'_>]| args.iter().flat_map(|arg| arg.bytes().to_vec()).collect::<Vec<u8>>();
        return call.strict(&types, ty, move |args| Ok(Value::Bytes(join(args).into())));
    }
    call.strict(&types, ty, |args| Ok(Value::string(args.iter().map(Value::str).collect::<String>())))
}

/// The characters from a position, which counts from 1, or from the end where it is negative.
fn substring(value: &str, position: i64, length: i64) -> String {
    let all = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
    let start = match position {
        0 => 0,
        p if p > 0 => p - 1,
        p => (all + p).max(0),
    };
    let skip = usize::try_from(start).unwrap_or_default();
    value.chars().skip(skip).take(usize::try_from(length).unwrap_or(usize::MAX)).collect()
}

fn capitalised(value: &str) -> String {
    const DELIMITERS: &str = " \t\n\r\u{b}\u{c}[](){}/|<>!?@\"^#$&~_,.:;*%+-";
    let mut start = true;
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        start = DELIMITERS.contains(c);
    }
    out
}

fn pad(call: &Call) -> Result<Bound, SqlError> {
    let left = call.name == "LPAD";
    let types = if call.args.len() == 2 { vec![S, I] } else { vec![S, I, S] };
    call.strict(&types, S, move |args| {
        let length = usize::try_from(args[1].int())
            .map_err(|_| "Second argument (output size) for LPAD/RPAD cannot be negative")?;
        let pattern = args.get(2).map_or(" ", Value::str);
        if pattern.is_empty() {
            return Err("Third argument (pad pattern) for LPAD/RPAD cannot be empty".into());
        }
        if length > 1 << 20 {
            return Err("Output of LPAD/RPAD exceeds max allowed output size of 1MB".into());
        }
        let have = args[0].str().chars().count();
        let padding: String = pattern.chars().cycle().take(length.saturating_sub(have)).collect();
        let kept: String = args[0].str().chars().take(length).collect();
        Ok(Value::string(if left { padding + &kept } else { kept + &padding }))
    })
}

fn trim(call: &Call) -> Result<Bound, SqlError> {
    let (left, right) = (call.name != "RTRIM", call.name != "LTRIM");
    let types = if call.args.len() == 1 { vec![S] } else { vec![S, S] };
    call.strict(&types, S, move |args| {
        let set = args.get(1).map(|set| set.str().to_owned());
        let trimmed = |c: char| match &set {
            Some(set) => set.contains(c),
            None => c.is_whitespace(),
        };
        let mut value = args[0].str();
        if left {
            value = value.trim_start_matches(trimmed);
        }
        if right {
            value = value.trim_end_matches(trimmed);
        }
        Ok(Value::string(value))
    })
}

/// INSTR(value, part[, position[, occurrence]]).
fn instr(call: &Call) -> Result<Bound, SqlError> {
    let types = [S, S, I, I];
    call.strict(&types[..call.args.len()], I, |args| {
        let (value, part): (Vec<char>, Vec<char>) = (args[0].str().chars().collect(), args[1].str().chars().collect());
        let position = args.get(2).map_or(1, Value::int);
        let occurrence = args.get(3).map_or(1, Value::int);
        if position == 0 || occurrence <= 0 {
            return Err("Position of INSTR cannot be 0, and occurrence must be positive".into());
        }
        let last = value.len().checked_sub(part.len());
        let Some(last) = last.filter(|_| !part.is_empty()) else { return Ok(Value::Int(0)) };
        let found = |at: &usize| value[*at..*at + part.len()] == part[..];
        let nth = usize::try_from(occurrence - 1).unwrap_or(usize::MAX);
        let distance = usize::try_from(position.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let at = if position > 0 {
            (distance..=last).filter(found).nth(nth)
        } else {
            let from = value.len().checked_sub(distance + 1);
            from.and_then(|from| (0..=from.min(last)).rev().filter(found).nth(nth))
        };
        Ok(at.map_or(Value::Int(0), |at| count(at + 1)))
    })
}

fn split<'a>(value: &str, delimiter: &str) -> Value<'a> {
    if delimiter.is_empty() {
        return Value::Array(value.chars().map(Value::string).collect());
    }
    Value::Array(value.split(delimiter).map(Value::string).collect())
}

/// Looks for a text in a value or in what it is made of, without regard to case.
fn contains_substr(call: &Call) -> Result<Bound, SqlError> {
    fn search(value: &Value<'_>, ty: &Type, part: &str) -> Result<Option<bool>, String> {
        let any = |found: Vec<Option<bool>>| match () {
            () if found.contains(&Some(true)) => Some(true),
            () if found.contains(&None) => None,
            () => Some(false),
        };
        Ok(match (ty, value) {
            (_, Value::Null) => None,
            (Type::Array(element), Value::Array(items)) => {
                any(items.iter().map(|item| search(item, element, part)).collect::<Result<_, _>>()?)
            }
            (Type::Struct(fields), Value::Struct(items)) => {
                let pairs = fields.iter().zip(items).map(|(f, item)| search(item, &f.ty, part));
                any(pairs.collect::<Result<_, _>>()?)
            }
            _ => Some(text::of_value(value, ty)?.to_lowercase().contains(part)),
        })
    }
    let ty = call.args[0].ty.clone();
    if matches!(ty, Type::Bytes | Type::Json | Type::Geography | Type::Interval) {
        return Err(SqlError::not_implemented(format_args!("FUNCTION CONTAINS_SUBSTR of {ty}")));
    }
    let searched = ty.clone();
    call.strict(&[ty, S], Type::Bool, move |args| {
        let found = search(&args[0], &searched, &args[1].str().to_lowercase())?;
        Ok(found.map_or(Value::Null, Value::Bool))
    })
}
