//! Numbers.

use arrow::datatypes::i256;

use super::{Bound, Call, SqlError, Type, Value};
use crate::bigquery::sql::{
    cast::{divide_rounded, power},
    scalar::Scalar,
    text,
};

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    let ty = Bound::supertype(&call.args).filter(Type::is_numeric);
    let float = [Type::Float64];
    Some(match (call.name.as_str(), call.args.len()) {
        ("ABS", 1) => same(call, ty, |v| match v {
            Value::Int(v) => v.checked_abs().map(Value::Int).ok_or_else(|| "int64 overflow: ABS".into()),
            Value::Float(v) => Ok(Value::Float(v.abs())),
            other => Ok(Value::Decimal(other.decimal().wrapping_abs())),
        }),
        ("SIGN", 1) => same(call, ty, |v| {
            Ok(match v {
                Value::Int(v) => Value::Int(v.signum()),
                Value::Float(v) if *v == 0.0 || v.is_nan() => Value::Float(*v),
                Value::Float(v) => Value::Float(v.signum()),
                _ => return Err("SIGN of NUMERIC is not available in the local engine".into()),
            })
        }),
        ("CEIL" | "CEILING" | "FLOOR", 1) => {
            let up = call.name != "FLOOR";
            whole(call, ty, move |v| if up { v.ceil() } else { v.floor() }, if up { Way::Up } else { Way::Down })
        }
        ("TRUNC", 1) => whole(call, ty, f64::trunc, Way::ToZero),
        ("ROUND", 1) => whole(call, ty, f64::round, Way::Nearest),
        ("ROUND" | "TRUNC", 2) => round_to(call, call.name == "ROUND"),
        ("SQRT", 1) => call.strict(&float, Type::Float64, |args| match args[0].float() {
            v if v < 0.0 => Err(format!("Argument to SQRT cannot be negative: {}", text::float(v))),
            v => Ok(Value::Float(v.sqrt())),
        }),
        ("CBRT", 1) => call.strict(&float, Type::Float64, |args| Ok(Value::Float(args[0].float().cbrt()))),
        ("EXP", 1) => call.strict(&float, Type::Float64, |args| finite(args[0].float().exp(), &args[..1], "EXP")),
        ("LN" | "LOG", 1) => call.strict(&float, Type::Float64, |args| logarithm(args[0].float(), f64::ln)),
        ("LOG10", 1) => call.strict(&float, Type::Float64, |args| logarithm(args[0].float(), f64::log10)),
        ("LOG", 2) => call.strict(&[Type::Float64, Type::Float64], Type::Float64, |args| {
            let (value, base) = (args[0].float(), args[1].float());
            if base <= 0.0 || base == 1.0 {
                return Err(format!("Invalid base of LOG: {}", text::float(base)));
            }
            logarithm(value, |v| v.ln() / base.ln())
        }),
        ("POW" | "POWER", 2) => call
            .strict(&[Type::Float64, Type::Float64], Type::Float64, |args| {
                let (base, exponent) = (args[0].float(), args[1].float());
                let result = base.powf(exponent);
                if result.is_nan() && !base.is_nan() && !exponent.is_nan() {
                    return Err(format!(
                        "Floating point error in function: POW({}, {})",
                        text::float(base),
                        text::float(exponent)
                    ));
                }
                finite(result, &args[..2], "POW")
            })
            .and_then(|bound| match ty {
                Some(Type::Numeric | Type::BigNumeric) => Err(SqlError::not_implemented("FUNCTION POW of NUMERIC")),
                _ => Ok(bound),
            }),
        ("MOD", 2) => modulo(call, ty),
        ("DIV", 2) => call.strict(&[Type::Int64, Type::Int64], Type::Int64, |args| {
            let (a, b) = (args[0].int(), args[1].int());
            if b == 0 {
                return Err(format!("division by zero: DIV({a}, {b})"));
            }
            a.checked_div(b).map(Value::Int).ok_or_else(|| format!("int64 overflow: DIV({a}, {b})"))
        }),
        ("IEEE_DIVIDE", 2) => call.strict(&[Type::Float64, Type::Float64], Type::Float64, |args| {
            Ok(Value::Float(args[0].float() / args[1].float()))
        }),
        ("IS_NAN", 1) => call.strict(&float, Type::Bool, |args| Ok(Value::Bool(args[0].float().is_nan()))),
        ("IS_INF", 1) => call.strict(&float, Type::Bool, |args| Ok(Value::Bool(args[0].float().is_infinite()))),
        ("SIN", 1) => call.strict(&float, Type::Float64, |args| Ok(Value::Float(args[0].float().sin()))),
        ("COS", 1) => call.strict(&float, Type::Float64, |args| Ok(Value::Float(args[0].float().cos()))),
        ("TAN", 1) => call.strict(&float, Type::Float64, |args| Ok(Value::Float(args[0].float().tan()))),
        ("ASIN", 1) => call.strict(&float, Type::Float64, |args| within_one(args[0].float(), "ASIN", f64::asin)),
        ("ACOS", 1) => call.strict(&float, Type::Float64, |args| within_one(args[0].float(), "ACOS", f64::acos)),
        ("ATAN", 1) => call.strict(&float, Type::Float64, |args| Ok(Value::Float(args[0].float().atan()))),
        ("ATAN2", 2) => call.strict(&[Type::Float64, Type::Float64], Type::Float64, |args| {
            Ok(Value::Float(args[0].float().atan2(args[1].float())))
        }),
        ("RAND", 0) => {
            let function = Scalar::new("RAND", Vec::new(), Type::Float64, |_| {
                let bits = uuid::Uuid::new_v4().as_u128();
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "53 random bits")]
                let fraction = (bits as u64 >> 11) as f64 / 9_007_199_254_740_992.0;
                Ok(Value::Float(fraction))
            });
            Ok(Bound::new(function.volatile().call(Vec::new()), Type::Float64))
        }
        ("RANGE_BUCKET", 2) => range_bucket(call),
        _ => return None,
    })
}

type OfOne = for<'a> fn(&Value<'a>) -> Result<Value<'static>, String>;

/// A function that keeps its argument's type.
fn same(call: &Call, ty: Option<Type>, kernel: OfOne) -> Result<Bound, SqlError> {
    let ty = ty.ok_or_else(|| call.no_match())?;
    if call.name == "SIGN" && matches!(ty, Type::Numeric | Type::BigNumeric) {
        return Err(SqlError::not_implemented("FUNCTION SIGN of NUMERIC"));
    }
    call.strict(std::slice::from_ref(&ty), ty.clone(), move |args| kernel(&args[0]))
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
    ToZero,
    Nearest,
}

/// A whole number, as FLOAT64, or as NUMERIC where it was one.
fn whole(
    call: &Call,
    ty: Option<Type>,
    float: impl Fn(f64) -> f64 + Send + Sync + 'static,
    way: Way,
) -> Result<Bound, SqlError> {
    match ty.ok_or_else(|| call.no_match())? {
        ty @ (Type::Numeric | Type::BigNumeric) => {
            let scale = if ty == Type::Numeric { 9 } else { 38 };
            call.strict(std::slice::from_ref(&ty), ty.clone(), move |args| {
                let (value, unit) = (args[0].decimal(), power(scale));
                let cut = value.wrapping_div(unit);
                let rest = value.wrapping_rem(unit);
                let whole = match way {
                    Way::Up if rest > i256::ZERO => cut.wrapping_add(i256::ONE),
                    Way::Down if rest < i256::ZERO => cut.wrapping_sub(i256::ONE),
                    Way::Nearest => divide_rounded(value, unit),
                    _ => cut,
                };
                Ok(Value::Decimal(whole.wrapping_mul(unit)))
            })
        }
        _ => call.strict(&[Type::Float64], Type::Float64, move |args| Ok(Value::Float(float(args[0].float())))),
    }
}

/// ROUND(x, n) and TRUNC(x, n).
fn round_to(call: &Call, nearest: bool) -> Result<Bound, SqlError> {
    let ty = match &call.args[0].ty {
        Type::Int64 => Type::Float64,
        ty => ty.clone(),
    };
    match ty {
        Type::Float64 => call.strict(&[Type::Float64, Type::Int64], Type::Float64, move |args| {
            let (value, digits) = (args[0].float(), args[1].int());
            if !value.is_finite() || digits > 300 {
                return Ok(Value::Float(value));
            }
            if digits < -308 {
                return Ok(Value::Float(0.0));
            }
            Ok(Value::Float(decimal_places(value, digits, nearest)))
        }),
        ty @ (Type::Numeric | Type::BigNumeric) => {
            let scale = if ty == Type::Numeric { 9 } else { 38 };
            call.strict(&[ty.clone(), Type::Int64], ty, move |args| {
                let (value, digits) = (args[0].decimal(), args[1].int());
                let Ok(drop) = u32::try_from(scale - digits) else { return Ok(Value::Decimal(value)) };
                if drop > 75 {
                    return Ok(Value::Decimal(i256::ZERO));
                }
                let unit = power(drop);
                let cut = if nearest { divide_rounded(value, unit) } else { value.wrapping_div(unit) };
                Ok(Value::Decimal(cut.wrapping_mul(unit)))
            })
        }
        _ => Err(call.no_match()),
    }
}

/// Rounds by the decimal digits of the double: half away from zero.
fn decimal_places(value: f64, digits: i64, nearest: bool) -> f64 {
    let scale = 10_f64.powi(i32::try_from(digits.abs()).unwrap_or(308));
    let scaled = if digits >= 0 { value * scale } else { value / scale };
    if !scaled.is_finite() {
        return value;
    }
    let whole = if nearest { scaled.round() } else { scaled.trunc() };
    if digits >= 0 { whole / scale } else { whole * scale }
}

fn logarithm<'a>(value: f64, log: impl Fn(f64) -> f64) -> Result<Value<'a>, String> {
    if value <= 0.0 {
        return Err(format!("Argument of a logarithm must be positive: {}", text::float(value)));
    }
    Ok(Value::Float(log(value)))
}

fn within_one<'a>(value: f64, name: &str, function: fn(f64) -> f64) -> Result<Value<'a>, String> {
    if value.abs() > 1.0 {
        return Err(format!("Argument of {name} must be between -1 and 1: {}", text::float(value)));
    }
    Ok(Value::Float(function(value)))
}

fn finite<'a>(result: f64, args: &[Value<'_>], name: &str) -> Result<Value<'a>, String> {
    if result.is_infinite() && args.iter().all(|arg| arg.float().is_finite()) {
        let args: Vec<String> = args.iter().map(|arg| text::float(arg.float())).collect();
        return Err(format!("Floating point overflow in function: {name}({})", args.join(", ")));
    }
    Ok(Value::Float(result))
}

fn modulo(call: &Call, ty: Option<Type>) -> Result<Bound, SqlError> {
    match ty {
        Some(Type::Int64) => call.strict(&[Type::Int64, Type::Int64], Type::Int64, |args| {
            let (a, b) = (args[0].int(), args[1].int());
            if b == 0 {
                return Err(format!("division by zero: MOD({a}, {b})"));
            }
            Ok(Value::Int(a.wrapping_rem(b)))
        }),
        Some(ty @ (Type::Numeric | Type::BigNumeric)) => call.strict(&[ty.clone(), ty.clone()], ty, |args| {
            if args[1].decimal() == i256::ZERO {
                return Err("division by zero: MOD".into());
            }
            Ok(Value::Decimal(args[0].decimal().wrapping_rem(args[1].decimal())))
        }),
        _ => Err(call.no_match()),
    }
}

fn range_bucket(call: &Call) -> Result<Bound, SqlError> {
    let Type::Array(element) = call.args[1].ty.clone() else { return Err(call.no_match()) };
    if !element.is_orderable() {
        return Err(call.no_match());
    }
    call.strict(&[element.as_ref().clone(), element.array()], Type::Int64, |args| {
        if args[1].items().iter().any(Value::is_null) {
            return Err("Elements of RANGE_BUCKET's array cannot be NULL".into());
        }
        let below = args[1].items().partition_point(|item| item.order(&args[0]).is_le());
        Ok(Value::Int(i64::try_from(below).unwrap_or(i64::MAX)))
    })
}
