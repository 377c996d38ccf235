//! `CAST` and `SAFE_CAST`, and the coercions that need one.

use arrow::datatypes::{DataType, i256};
use datafusion_expr::{Cast, Expr};

use super::{
    SqlError,
    calendar::DAY,
    data_type::Type,
    json::Json,
    scalar::{Answer, Scalar},
    text,
    value::Value,
};
use crate::bigquery::decimal::Decimal;

/// The expression as a value of another type; `safe` answers NULL where the value has no such form.
pub(super) fn cast(expr: Expr, from: &Type, to: &Type, safe: bool) -> Result<Expr, SqlError> {
    if from == to {
        return Ok(expr);
    }
    if (from, to) == (&Type::Int64, &Type::Float64) {
        return Ok(Expr::Cast(Cast::new(Box::new(expr), DataType::Float64)));
    }
    if !is_castable(from, to) {
        return Err(SqlError::invalid(format!("Invalid cast from {from} to {to}")));
    }
    let (of, target) = (from.clone(), to.clone());
    let function = Scalar::new("cast", vec![from.clone()], to.clone(), move |args| convert(&args[0], &of, &target));
    let function = if is_total(from, to) { function.total() } else { function };
    Ok(function.safe(safe).call(vec![expr]))
}

/// Whether every value can be cast.
fn is_total(from: &Type, to: &Type) -> bool {
    use Type::{BigNumeric, Bool, Bytes, Date, Datetime, Float64, Int64, Numeric, String, Time, Timestamp};
    matches!(
        (from, to),
        (Bool | Int64 | Numeric | BigNumeric | Float64 | Date | Time | Datetime | Timestamp, String)
            | (Bool, Int64)
            | (Int64, Bool | Numeric | BigNumeric)
            | (String, Bytes)
            | (Date, Datetime | Timestamp)
            | (Datetime, Date | Time | Timestamp)
            | (Timestamp, Date | Datetime | Time)
    )
}

fn is_castable(from: &Type, to: &Type) -> bool {
    use Type::{BigNumeric, Bool, Bytes, Date, Datetime, Float64, Int64, Numeric, String, Time, Timestamp};
    match (from, to) {
        (a, b) if a == b => true,
        (Int64 | Numeric | BigNumeric | Float64, Int64 | Numeric | BigNumeric | Float64 | String)
        | (Bool, Int64 | String)
        | (Int64, Bool)
        | (String, Bool | Int64 | Numeric | BigNumeric | Float64 | Bytes | Date | Datetime | Time | Timestamp)
        | (Bytes | Date | Datetime | Time | Timestamp, String)
        | (Date, Datetime | Timestamp)
        | (Datetime, Date | Time | Timestamp)
        | (Timestamp, Date | Datetime | Time) => true,
        (Type::Array(a), Type::Array(b)) => is_castable(a, b),
        (Type::Struct(a), Type::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| is_castable(&a.ty, &b.ty))
        }
        _ => false,
    }
}

/// One value of one type as a value of another.
pub(super) fn convert<'a>(value: &Value<'a>, from: &Type, to: &Type) -> Answer<'a> {
    use Type::{BigNumeric, Bool, Date, Datetime, Float64, Int64, Numeric, Time, Timestamp};
    if value.is_null() {
        return Ok(Value::Null);
    }
    Ok(match (from, to) {
        (a, b) if a == b => value.clone(),
        (Bool, Int64) => Value::Int(value.bool().into()),
        (Int64, Bool) => Value::Bool(value.int() != 0),
        (Int64, Float64) => Value::Float(value.float()),
        (Int64, Numeric) => Value::Decimal(scaled(i256::from(value.int()), Decimal::Numeric)?),
        (Int64, BigNumeric) => Value::Decimal(scaled(i256::from(value.int()), Decimal::Bignumeric)?),
        (Float64, Int64) => Value::Int(round_to_int(value.float())?),
        (Float64, Numeric) => Value::Decimal(of_float(value.float(), Decimal::Numeric)?),
        (Float64, BigNumeric) => Value::Decimal(of_float(value.float(), Decimal::Bignumeric)?),
        (Numeric, Int64) => Value::Int(decimal_to_int(value.decimal(), Decimal::Numeric)?),
        (BigNumeric, Int64) => Value::Int(decimal_to_int(value.decimal(), Decimal::Bignumeric)?),
        (Numeric, Float64) => Value::Float(to_float(value.decimal(), Decimal::Numeric)),
        (BigNumeric, Float64) => Value::Float(to_float(value.decimal(), Decimal::Bignumeric)),
        (Numeric, BigNumeric) => Value::Decimal(value.decimal().wrapping_mul(power(29))),
        (BigNumeric, Numeric) => {
            let narrow = divide_rounded(value.decimal(), power(29));
            Value::Decimal(in_numeric(narrow)?)
        }
        (Date, Datetime | Timestamp) => Value::Int(value.int() * DAY),
        (Datetime, Timestamp) | (Timestamp, Datetime) => value.clone(),
        (Datetime | Timestamp, Date) => Value::Int(value.int().div_euclid(DAY)),
        (Datetime | Timestamp, Time) => Value::Int(value.int().rem_euclid(DAY)),
        (Type::String, to) => text::to_value(value.str(), to)?,
        (from, Type::String) => Value::string(text::of_value(value, from)?),
        (Type::Array(a), Type::Array(b)) => {
            Value::Array(value.items().iter().map(|item| convert(item, a, b)).collect::<Result<_, _>>()?)
        }
        (Type::Struct(a), Type::Struct(b)) => {
            let pairs = a.iter().zip(b.iter()).zip(value.items());
            Value::Struct(pairs.map(|((a, b), item)| convert(item, &a.ty, &b.ty)).collect::<Result<_, _>>()?)
        }
        (from, to) => return Err(format!("Invalid cast from {from} to {to}")),
    })
}

/// 10 to the power of `exponent`.
pub(super) fn power(exponent: u32) -> i256 {
    i256::from(10).wrapping_pow(exponent)
}

fn scaled(value: i256, decimal: Decimal) -> Result<i256, String> {
    let scaled = value.wrapping_mul(power(decimal.scale()));
    Ok(scaled)
}

/// The quotient, rounded half away from zero.
pub(super) fn divide_rounded(value: i256, by: i256) -> i256 {
    let quotient = value.wrapping_div(by);
    let rest = value.wrapping_rem(by).wrapping_abs();
    if rest.wrapping_mul(i256::from(2)) < by.wrapping_abs() {
        return quotient;
    }
    if value.is_negative() == by.is_negative() {
        quotient.wrapping_add(i256::ONE)
    } else {
        quotient.wrapping_sub(i256::ONE)
    }
}

/// The scaled integer, where NUMERIC holds it.
pub(super) fn in_numeric(value: i256) -> Result<i256, String> {
    if value.wrapping_abs() >= power(38) { Err("numeric overflow".into()) } else { Ok(value) }
}

fn decimal_to_int(value: i256, decimal: Decimal) -> Result<i64, String> {
    let whole = divide_rounded(value, power(decimal.scale()));
    whole
        .to_i128()
        .and_then(|v| i64::try_from(v).ok())
        .ok_or_else(|| format!("int64 out of range: {}", decimal.format(value)))
}

/// The decimal as the nearest double.
pub(super) fn to_float(value: i256, decimal: Decimal) -> f64 {
    decimal.format(value).parse().unwrap_or(f64::NAN)
}

fn of_float(value: f64, decimal: Decimal) -> Result<i256, String> {
    if !value.is_finite() {
        return Err(format!(
            "Illegal conversion of non-finite floating point number to numeric: {}",
            text::float(value)
        ));
    }
    let digits = usize::try_from(decimal.scale()).unwrap_or_default();
    let exact = format!("{value:.1100}");
    let point = exact.find('.').unwrap_or(exact.len());
    let up = exact.as_bytes().get(point + 1 + digits).is_some_and(|digit| *digit >= b'5');
    let kept = decimal
        .parse(&exact[..point + 1 + digits])
        .map_err(|_| format!("numeric out of range: {}", text::float(value)))?;
    let step = if value < 0.0 { i256::MINUS_ONE } else { i256::ONE };
    Ok(if up { kept.wrapping_add(step) } else { kept })
}

/// A double as the nearest integer, half away from zero.
pub(super) fn round_to_int(value: f64) -> Result<i64, String> {
    let rounded = value.round();
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
        return Ok(rounded as i64);
    }
    Err(format!("Illegal conversion of floating point number to an integer: {}", text::float(value)))
}

/// A value as JSON. In text an integer that a double cannot hold is written as a string (`wide_as_text`), as TO_JSON_STRING does;
/// the type JSON has all of them.
pub(super) fn to_json(value: &Value<'_>, ty: &Type, wide_as_text: bool) -> Result<Json, String> {
    const EXACT: std::ops::RangeInclusive<i64> = -9_007_199_254_740_992..=9_007_199_254_740_992;
    if value.is_null() {
        return Ok(Json::Null);
    }
    Ok(match ty {
        Type::Bool => Json::Bool(value.bool()),
        Type::Int64 if !wide_as_text || EXACT.contains(&value.int()) => Json::Number(value.int().to_string()),
        Type::Int64 => Json::String(value.int().to_string()),
        Type::Float64 if value.float().is_finite() => {
            let text = text::float(value.float());
            Json::Number(text.strip_suffix(".0").map_or(text.clone(), str::to_owned))
        }
        Type::Float64 => Json::String(match value.float() {
            v if v.is_nan() => "NaN".into(),
            v if v > 0.0 => "Infinity".into(),
            _ => "-Infinity".into(),
        }),
        Type::Numeric | Type::BigNumeric => {
            let text = text::of_value(value, ty)?;
            match text.parse::<f64>() {
                Ok(float) if text::float(float).trim_end_matches(".0") == text => Json::Number(text),
                _ => Json::String(text),
            }
        }
        Type::String | Type::Geography | Type::Date | Type::Time => Json::String(text::of_value(value, ty)?),
        Type::Datetime => Json::String(text::datetime(value.int()).replacen(' ', "T", 1)),
        Type::Timestamp => Json::String(text::datetime(value.int()).replacen(' ', "T", 1) + "Z"),
        Type::Bytes => {
            use base64::{Engine, engine::general_purpose::STANDARD};
            Json::String(STANDARD.encode(value.bytes()))
        }
        Type::Json => Json::parse(value.str()).ok_or("Invalid JSON")?.sorted(),
        Type::Array(element) => Json::Array(
            value.items().iter().map(|item| to_json(item, element, wide_as_text)).collect::<Result<_, _>>()?,
        ),
        Type::Struct(fields) => {
            let members = fields.iter().zip(value.items());
            Json::Object(
                members
                    .map(|(f, item)| Ok((f.name.clone(), to_json(item, &f.ty, wide_as_text)?)))
                    .collect::<Result<_, String>>()?,
            )
        }
        Type::Interval => return Err("INTERVAL as JSON is not available in the local engine".into()),
    })
}
