//! Arrays.

use datafusion_expr::Expr;

use super::{Bound, Call, SqlError, Type, Value};
use crate::bigquery::sql::{
    calendar::{self, Part},
    cast,
    scalar::{Answer, Scalar},
    text,
};

/// What one call may make.
const LONGEST: usize = 1_048_575;

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    let element = match call.args.first().map(|arg| &arg.ty) {
        Some(Type::Array(element)) => Some(element.as_ref().clone()),
        _ => None,
    };
    Some(match (call.name.as_str(), call.args.len(), element) {
        ("ARRAY_LENGTH", 1, Some(element)) => call.strict(&[element.array()], Type::Int64, |args| {
            Ok(Value::Int(i64::try_from(args[0].items().len()).unwrap_or(i64::MAX)))
        }),
        ("ARRAY_REVERSE", 1, Some(element)) => {
            let ty = element.array();
            call.strict(std::slice::from_ref(&ty), ty.clone(), |args| {
                Ok(Value::Array(args[0].items().iter().rev().cloned().collect()))
            })
        }
        ("ARRAY_FIRST" | "ARRAY_LAST", 1, Some(element)) => {
            let (last, name) = (call.name == "ARRAY_LAST", call.name.clone());
            call.strict(&[element.clone().array()], element, move |args| {
                let items = args[0].items();
                let item = if last { items.last() } else { items.first() };
                item.cloned().ok_or_else(|| format!("{name} cannot get an element of an empty array"))
            })
        }
        ("ARRAY_CONCAT", 1.., Some(_)) => {
            let Some(ty @ Type::Array(_)) = Bound::supertype(&call.args) else { return Some(Err(call.no_match())) };
            let types = vec![ty.clone(); call.args.len()];
            call.strict(&types, ty, |args| Ok(Value::Array(args.iter().flat_map(|arg| arg.items().to_vec()).collect())))
        }
        ("ARRAY_TO_STRING", 2 | 3, Some(Type::String)) => {
            let types = [Type::String.array(), Type::String, Type::String];
            call.strict(&types[..call.args.len()], Type::String, |args| {
                let nulls = args.get(2).map(Value::str);
                let texts =
                    args[0].items().iter().filter_map(|item| if item.is_null() { nulls } else { Some(item.str()) });
                Ok(Value::string(texts.collect::<Vec<_>>().join(args[1].str())))
            })
        }
        ("ARRAY_IS_DISTINCT", 1, Some(element)) if element.is_orderable() => {
            call.strict(&[element.array()], Type::Bool, |args| {
                let mut items = args[0].items().to_vec();
                items.sort_by(Value::order);
                Ok(Value::Bool(items.windows(2).all(|pair| pair[0].order(&pair[1]).is_ne())))
            })
        }
        ("GENERATE_ARRAY", 2 | 3, _) => generate_numbers(call),
        _ => return None,
    })
}

/// `value IN UNNEST(array)`.
pub(crate) fn contains(value: Bound, array: Bound) -> Result<Expr, SqlError> {
    let Type::Array(element) = &array.ty else {
        let message =
            format!("Values referenced in UNNEST must be arrays. UNNEST contains expression of type {}", array.ty);
        return Err(SqlError::invalid(message));
    };
    let probe = Bound::new(value.expr.clone(), element.as_ref().clone());
    let ty = match value.fits(element) {
        true => Some(element.as_ref().clone()),
        false => Bound::supertype([&value, &probe]),
    };
    let Some(ty) = ty.filter(Type::is_orderable) else {
        let message =
            format!("No matching signature for operator IN UNNEST for argument types: {}, {}", value.ty, array.ty);
        return Err(SqlError::invalid(message));
    };
    let many = ty.clone().array();
    let array = match array.fits(&many) {
        true => array.coerce(&many)?,
        false => cast::cast(array.expr, &array.ty, &many, false)?,
    };
    let function = Scalar::new("IN UNNEST", vec![ty.clone(), many], Type::Bool, |args| {
        let items = args[1].items();
        if items.is_empty() {
            return Ok(Value::Bool(false));
        }
        if args[0].is_null() {
            return Ok(Value::Null);
        }
        let is_nan = |v: &Value<'_>| matches!(v, Value::Float(f) if f.is_nan());
        let found = items.iter().any(|item| !item.is_null() && !is_nan(item) && item.order(&args[0]).is_eq());
        Ok(match found {
            true => Value::Bool(true),
            false if items.iter().any(Value::is_null) => Value::Null,
            false => Value::Bool(false),
        })
    });
    Ok(function.with_nulls().call(vec![value.coerce(&ty)?, array]))
}

fn generate_numbers(call: &Call) -> Result<Bound, SqlError> {
    let ty = Bound::supertype(&call.args).filter(|ty| matches!(ty, Type::Int64 | Type::Float64));
    let Some(ty) = ty else {
        return match call.args.iter().any(|arg| matches!(arg.ty, Type::Numeric | Type::BigNumeric)) {
            true => Err(SqlError::not_implemented("FUNCTION GENERATE_ARRAY of NUMERIC")),
            false => Err(call.no_match()),
        };
    };
    let types = vec![ty.clone(); call.args.len()];
    let array = ty.clone().array();
    if ty == Type::Int64 {
        return call.strict(&types, array, |args| {
            let step = args.get(2).map_or(1, Value::int);
            steps(args[0].int(), args[1].int(), step, |at| at.checked_add(step))
        });
    }
    call.strict(&types, array, |args| {
        let (start, end, step) = (args[0].float(), args[1].float(), args.get(2).map_or(1.0, Value::float));
        if step == 0.0 {
            return Err("Sequence step cannot be 0".into());
        }
        let mut items = Vec::new();
        let mut at = start;
        while if step > 0.0 { at <= end } else { at >= end } {
            if items.len() > LONGEST {
                return Err("Cannot generate arrays with more than 1048575 elements".into());
            }
            items.push(Value::Float(at));
            #[expect(clippy::cast_precision_loss, reason = "the count is small")]
            let count = items.len() as f64;
            at = start + step * count;
        }
        Ok(Value::Array(items))
    })
}

/// The values from `start` to `end`, both included.
fn steps<'a>(start: i64, end: i64, step: i64, next: impl Fn(i64) -> Option<i64>) -> Answer<'a> {
    if step == 0 {
        return Err("Sequence step cannot be 0".into());
    }
    let (mut items, mut at) = (Vec::new(), Some(start));
    while let Some(value) = at.filter(|v| if step > 0 { *v <= end } else { *v >= end }) {
        if items.len() > LONGEST {
            return Err("Cannot generate arrays with more than 1048575 elements".into());
        }
        items.push(Value::Int(value));
        at = next(value);
    }
    Ok(Value::Array(items))
}

/// GENERATE_DATE_ARRAY and GENERATE_TIMESTAMP_ARRAY.
pub(crate) fn generate_times(
    name: &str,
    start: Bound,
    end: Bound,
    step: Option<(Bound, Part)>,
    safe: bool,
) -> Result<Bound, SqlError> {
    let ty = if name == "GENERATE_DATE_ARRAY" { Type::Date } else { Type::Timestamp };
    let call = Call { name: name.to_owned(), args: vec![start, end], safe, now: 0 };
    if !call.fits(&[ty.clone(), ty.clone()]) {
        return Err(call.no_match());
    }
    let (count, part) = match step {
        Some(step) => step,
        None if ty == Type::Date => (Bound::literal(Value::Int(1), Type::Int64)?, Part::Day),
        None => return Err(SqlError::invalid(format!("{name} needs an INTERVAL"))),
    };
    let possible = match ty {
        Type::Date => calendar::add_to_date(0, 0, part).is_some(),
        _ => part.micros().is_some(),
    };
    if !possible {
        return Err(SqlError::invalid(format!("{name} does not support this date part")));
    }
    let of = ty.clone();
    let types = vec![ty.clone(), ty.clone(), Type::Int64];
    let function = Scalar::new(format!("{name} {part:?}"), types, ty.clone().array(), move |args| {
        let (start, end, step) = (args[0].int(), args[1].int(), args[2].int());
        let taken = std::cell::Cell::new(0_i64);
        steps(start, end, step, |_| {
            taken.set(taken.get() + 1);
            let count = step.checked_mul(taken.get())?;
            if of == Type::Date { calendar::add_to_date(start, count, part) } else { calendar::add(start, count, part) }
        })
        .map_err(|message| format!("{message}: from {}", text::of_value(&args[0], &of).unwrap_or_default()))
    });
    let [start, end] = <[Bound; 2]>::try_from(call.args).map_err(|_| SqlError::internal("two arguments"))?;
    let args = vec![start.coerce(&ty)?, end.coerce(&ty)?, count.expr];
    Ok(Bound::new(function.safe(safe).call(args), ty.array()))
}
