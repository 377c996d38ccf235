//! Operators.

use arrow::datatypes::i256;
use datafusion_expr::{Expr, not};
use sqlparser::ast::{BinaryOperator, UnaryOperator};

use super::{Bound, SqlError, Type, Value};
use crate::bigquery::{
    decimal::Decimal,
    sql::{
        calendar,
        cast::{divide_rounded, in_numeric, power},
        function::interval,
        lazy,
        scalar::Scalar,
        text,
    },
};

/// `left operator right`.
pub(crate) fn binary(operator: &BinaryOperator, left: Bound, right: Bound) -> Result<Bound, SqlError> {
    match operator {
        BinaryOperator::And | BinaryOperator::Or => connective(operator, vec![left, right]),
        BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::Lt
        | BinaryOperator::LtEq
        | BinaryOperator::Gt
        | BinaryOperator::GtEq => compare(operator, left, right),
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide => {
            arithmetic(operator, left, right)
        }
        BinaryOperator::StringConcat => concat(operator, left, right),
        BinaryOperator::BitwiseAnd | BinaryOperator::BitwiseOr | BinaryOperator::BitwiseXor => {
            bitwise(operator, left, right)
        }
        other => Err(SqlError::not_implemented(format_args!("Operator {other}"))),
    }
}

/// `side AND side AND …`, or OR.
pub(crate) fn connective(operator: &BinaryOperator, sides: Vec<Bound>) -> Result<Bound, SqlError> {
    if let Some(bad) = sides.iter().position(|side| !side.fits(&Type::Bool)) {
        // The operator has two sides, and what it makes of the first ones is a BOOL.
        let (left, right) = match bad {
            0 => (&sides[0].ty, sides.get(1).map_or(&sides[0].ty, |next| &next.ty)),
            1 => (&sides[0].ty, &sides[1].ty),
            _ => (&Type::Bool, &sides[bad].ty),
        };
        return Err(mismatch_of(operator, left, right));
    }
    let sides = sides.into_iter().map(|side| side.coerce(&Type::Bool)).collect::<Result<Vec<_>, _>>()?;
    let expr = if *operator == BinaryOperator::And { lazy::and(sides) } else { lazy::or(sides) };
    Ok(Bound::new(expr, Type::Bool))
}

fn mismatch(operator: &BinaryOperator, left: &Bound, right: &Bound) -> SqlError {
    mismatch_of(operator, &left.ty, &right.ty)
}

fn mismatch_of(operator: &BinaryOperator, left: &Type, right: &Type) -> SqlError {
    SqlError::invalid(format!("No matching signature for operator {operator} for argument types: {left}, {right}"))
}

fn compare(operator: &BinaryOperator, left: Bound, right: Bound) -> Result<Bound, SqlError> {
    let equality = matches!(operator, BinaryOperator::Eq | BinaryOperator::NotEq);
    let Some(ty) = Bound::supertype([&left, &right]) else { return Err(mismatch(operator, &left, &right)) };
    match &ty {
        Type::Json | Type::Geography | Type::Array(_) => {
            let message = format!(
                "{} is not defined for arguments of type {ty}",
                if equality { "Equality" } else { "Comparison" }
            );
            return Err(SqlError::invalid(message));
        }
        Type::Struct(_) | Type::Interval => {
            return Err(SqlError::not_implemented(format_args!("Comparing values of type {ty}")));
        }
        _ => {}
    }
    let (l, r) = (left.coerce(&ty)?, right.coerce(&ty)?);
    Ok(Bound::new(compared(operator, l, r, &ty), Type::Bool))
}

/// The comparison of two values of one type. NaN equals nothing and is not less than anything.
fn compared(operator: &BinaryOperator, l: Expr, r: Expr, ty: &Type) -> Expr {
    if *ty == Type::Float64 {
        let by = operator.clone();
        let name = format!("float {operator}");
        let function = Scalar::new(name, vec![Type::Float64, Type::Float64], Type::Bool, move |args| {
            let (a, b) = (args[0].float(), args[1].float());
            #[expect(clippy::float_cmp, reason = "GoogleSQL compares exactly")]
            Ok(Value::Bool(match by {
                BinaryOperator::Eq => a == b,
                BinaryOperator::NotEq => a != b,
                BinaryOperator::Lt => a < b,
                BinaryOperator::LtEq => a <= b,
                BinaryOperator::Gt => a > b,
                _ => a >= b,
            }))
        });
        return function.total().call(vec![l, r]);
    }
    match operator {
        BinaryOperator::Eq => l.eq(r),
        BinaryOperator::NotEq => l.not_eq(r),
        BinaryOperator::Lt => l.lt(r),
        BinaryOperator::LtEq => l.lt_eq(r),
        BinaryOperator::Gt => l.gt(r),
        _ => l.gt_eq(r),
    }
}

/// Whether two values of one type are equal.
pub(crate) fn equal(l: Expr, r: Expr, ty: &Type) -> Expr {
    compared(&BinaryOperator::Eq, l, r, ty)
}

/// `-x`, `NOT x`, `~x`.
pub(crate) fn unary(operator: UnaryOperator, bound: Bound) -> Result<Bound, SqlError> {
    let refuse = |bound: &Bound| {
        SqlError::invalid(format!("No matching signature for operator {operator} for argument types: {}", bound.ty))
    };
    match operator {
        UnaryOperator::Not => {
            if !bound.fits(&Type::Bool) {
                return Err(refuse(&bound));
            }
            Ok(Bound::new(not(bound.coerce(&Type::Bool)?), Type::Bool))
        }
        UnaryOperator::Plus if bound.ty.is_numeric() => Ok(bound),
        UnaryOperator::Minus if bound.ty.is_numeric() => {
            let ty = bound.ty.clone();
            let zero = Bound::literal(
                match ty {
                    Type::Int64 => Value::Int(0),
                    Type::Float64 => Value::Float(-0.0),
                    _ => Value::Decimal(i256::ZERO),
                },
                ty,
            )?;
            match bound.constant() {
                Some(value) => negated(&value, bound),
                None => arithmetic(&BinaryOperator::Minus, zero, bound),
            }
        }
        UnaryOperator::BitwiseNot if bound.ty == Type::Int64 => {
            let function = Scalar::new("~", vec![Type::Int64], Type::Int64, |args| Ok(Value::Int(!args[0].int())));
            Ok(Bound::new(function.call(vec![bound.expr]), Type::Int64))
        }
        _ => Err(refuse(&bound)),
    }
}

fn negated(value: &Value<'_>, bound: Bound) -> Result<Bound, SqlError> {
    let negative = match value {
        Value::Int(v) => Value::Int(v.checked_neg().ok_or_else(|| SqlError::invalid("int64 overflow"))?),
        Value::Float(v) => Value::Float(-v),
        Value::Decimal(v) => Value::Decimal(v.wrapping_neg()),
        other => other.clone(),
    };
    let kind = match bound.kind {
        super::Kind::Decimal(digits) => super::Kind::Decimal(format!("-{digits}")),
        other => other,
    };
    Ok(Bound { kind, ..Bound::literal(negative, bound.ty)? })
}

fn arithmetic(operator: &BinaryOperator, left: Bound, right: Bound) -> Result<Bound, SqlError> {
    if let Some(moved) = interval::arithmetic(operator, &left, &right) {
        return moved;
    }
    if let Some(days) = days(operator, &left, &right) {
        return days;
    }
    let Some(mut ty) = Bound::supertype([&left, &right]).filter(Type::is_numeric) else {
        return Err(mismatch(operator, &left, &right));
    };
    if *operator == BinaryOperator::Divide && ty == Type::Int64 {
        ty = Type::Float64;
    }
    let (l, r) = (left.coerce(&ty)?, right.coerce(&ty)?);
    Ok(Bound::new(calculation(operator, &ty, false)?.call(vec![l, r]), ty))
}

/// The arithmetic of two numbers of one type; `safe` answers NULL where there is no result.
pub(crate) fn calculation(operator: &BinaryOperator, ty: &Type, safe: bool) -> Result<Scalar, SqlError> {
    let op = operator.clone();
    let name = format!("{ty} {operator}");
    let types = vec![ty.clone(), ty.clone()];
    let scalar = match ty {
        Type::Int64 => Scalar::new(name, types, ty.clone(), move |args| {
            let (a, b) = (args[0].int(), args[1].int());
            let result = match op {
                BinaryOperator::Plus => a.checked_add(b),
                BinaryOperator::Minus => a.checked_sub(b),
                _ => a.checked_mul(b),
            };
            result.map(Value::Int).ok_or_else(|| format!("int64 overflow: {a} {op} {b}"))
        }),
        Type::Float64 => Scalar::new(name, types, ty.clone(), move |args| {
            let (a, b) = (args[0].float(), args[1].float());
            let result = match op {
                BinaryOperator::Plus => a + b,
                BinaryOperator::Minus => a - b,
                BinaryOperator::Multiply => a * b,
                _ if b == 0.0 => return Err(format!("division by zero: {} / {}", short(a), short(b))),
                _ => a / b,
            };
            if result.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(format!("double overflow: {} {op} {}", text::float(a), text::float(b)));
            }
            Ok(Value::Float(result))
        }),
        Type::BigNumeric if matches!(op, BinaryOperator::Multiply | BinaryOperator::Divide) => {
            return Err(SqlError::not_implemented(format_args!("Operator {op} of BIGNUMERIC")));
        }
        _ => {
            let big = *ty == Type::BigNumeric;
            Scalar::new(name, types, ty.clone(), move |args| {
                let (a, b) = (args[0].decimal(), args[1].decimal());
                let unit = power(Decimal::Numeric.scale());
                let overflow = || if big { "bignumeric overflow" } else { "numeric overflow" }.to_owned();
                let result = match op {
                    BinaryOperator::Plus => a.checked_add(b).ok_or_else(overflow)?,
                    BinaryOperator::Minus => a.checked_sub(b).ok_or_else(overflow)?,
                    BinaryOperator::Multiply => divide_rounded(a.checked_mul(b).ok_or_else(overflow)?, unit),
                    _ if b == i256::ZERO => return Err("division by zero".into()),
                    _ => divide_rounded(a.checked_mul(unit).ok_or_else(overflow)?, b),
                };
                Ok(Value::Decimal(if big { result } else { in_numeric(result)? }))
            })
        }
    };
    Ok(scalar.safe(safe))
}

/// A double without the `.0` of a whole one.
fn short(value: f64) -> String {
    let text = text::float(value);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// `date + 1` and `date - 1` count days.
fn days(operator: &BinaryOperator, left: &Bound, right: &Bound) -> Option<Result<Bound, SqlError>> {
    let (date, count) = match (&left.ty, operator, &right.ty) {
        (Type::Date, BinaryOperator::Plus | BinaryOperator::Minus, Type::Int64) => (left, right),
        (Type::Int64, BinaryOperator::Plus, Type::Date) => (right, left),
        (Type::Date, BinaryOperator::Minus, Type::Date)
        | (Type::Timestamp, BinaryOperator::Minus, Type::Timestamp)
        | (Type::Datetime, BinaryOperator::Minus, Type::Datetime) => {
            return Some(Err(SqlError::not_implemented(format_args!("Operator - of {} and {}", left.ty, right.ty))));
        }
        _ => return None,
    };
    let sign = if *operator == BinaryOperator::Plus { 1 } else { -1 };
    let name = format!("date {operator}");
    let function = Scalar::new(name, vec![Type::Date, Type::Int64], Type::Date, move |args| {
        let moved = args[1].int().checked_mul(sign).and_then(|count| args[0].int().checked_add(count));
        let day = moved.filter(|day| calendar::DAYS.contains(day));
        day.map(Value::Int).ok_or_else(|| {
            format!("Adding {} days to date {} causes overflow", args[1].int(), text::date(args[0].int()))
        })
    });
    Some(Ok(Bound::new(function.call(vec![date.expr.clone(), count.expr.clone()]), Type::Date)))
}

fn concat(operator: &BinaryOperator, left: Bound, right: Bound) -> Result<Bound, SqlError> {
    let ty = Bound::supertype([&left, &right]);
    let Some(ty) = ty.filter(|ty| matches!(ty, Type::String | Type::Bytes | Type::Array(_))) else {
        return Err(mismatch(operator, &left, &right));
    };
    let (l, r) = (left.coerce(&ty)?, right.coerce(&ty)?);
    let function = Scalar::new("||", vec![ty.clone(), ty.clone()], ty.clone(), |args| {
        Ok(match (&args[0], &args[1]) {
            (Value::Str(a), Value::Str(b)) => Value::string(format!("{a}{b}")),
            (Value::Array(a), Value::Array(b)) => Value::Array(a.iter().chain(b).cloned().collect()),
            (a, b) => Value::Bytes([a.bytes(), b.bytes()].concat().into()),
        })
    });
    Ok(Bound::new(function.total().call(vec![l, r]), ty))
}

fn bitwise(operator: &BinaryOperator, left: Bound, right: Bound) -> Result<Bound, SqlError> {
    if !left.fits(&Type::Int64) || !right.fits(&Type::Int64) {
        return Err(mismatch(operator, &left, &right));
    }
    let op = operator.clone();
    let types = vec![Type::Int64, Type::Int64];
    let function = Scalar::new(format!("bits {operator}"), types, Type::Int64, move |args| {
        let (a, b) = (args[0].int(), args[1].int());
        Ok(Value::Int(match op {
            BinaryOperator::BitwiseAnd => a & b,
            BinaryOperator::BitwiseOr => a | b,
            _ => a ^ b,
        }))
    });
    Ok(Bound::new(function.call(vec![left.coerce(&Type::Int64)?, right.coerce(&Type::Int64)?]), Type::Int64))
}

/// What is sorted by: DataFusion sorts NaN last, GoogleSQL first.
pub(crate) fn sort_key(expr: Expr, ty: &Type) -> Result<Expr, SqlError> {
    match ty {
        Type::Float64 => {
            let function = Scalar::new("float_order", vec![Type::Float64], Type::Int64, |args| {
                let value = args[0].float();
                if value.is_nan() {
                    return Ok(Value::Int(i64::MIN));
                }
                let bits = (value + 0.0).to_bits().cast_signed();
                Ok(Value::Int(if bits < 0 { bits ^ i64::MAX } else { bits }))
            });
            Ok(function.total().call(vec![expr]))
        }
        ty if ty.is_orderable() => Ok(expr),
        ty => Err(SqlError::invalid(format!("ORDER BY does not support expressions of type {ty}"))),
    }
}

/// What is grouped by: 0.0 and -0.0 are one group, and so are all NaNs.
pub(crate) fn group_key(expr: Expr, ty: &Type) -> Expr {
    if *ty != Type::Float64 {
        return expr;
    }
    let function = Scalar::new("float_key", vec![Type::Float64], Type::Float64, |args| {
        let value = args[0].float();
        Ok(Value::Float(if value.is_nan() { f64::NAN } else { value + 0.0 }))
    });
    function.total().call(vec![expr])
}
