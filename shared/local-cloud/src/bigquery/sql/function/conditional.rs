//! IF and its kin, and the SAFE_ arithmetic.

use datafusion_expr::Expr;
use sqlparser::ast::BinaryOperator;

use super::{Bound, Call, SqlError, Type, Value};
use crate::bigquery::sql::{
    binder::{case, once, operator},
    scalar::{Scalar, can_fail},
};

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    Some(match (call.name.as_str(), call.args.as_slice()) {
        ("IF", [condition, then, otherwise]) => choose(call, condition, then, otherwise),
        ("IFNULL", [_, _]) | ("COALESCE", [_, ..]) => coalesce(call),
        ("NULLIF", [value, other]) => nullif(call, value, other),
        ("SAFE_DIVIDE", [_, _]) => safe(call, &BinaryOperator::Divide),
        ("SAFE_ADD", [_, _]) => safe(call, &BinaryOperator::Plus),
        ("SAFE_SUBTRACT", [_, _]) => safe(call, &BinaryOperator::Minus),
        ("SAFE_MULTIPLY", [_, _]) => safe(call, &BinaryOperator::Multiply),
        ("SAFE_NEGATE", [value]) if value.ty.is_numeric() => {
            let zero = Bound::literal(Value::Int(0), Type::Int64);
            zero.and_then(|zero| safe_of(&BinaryOperator::Minus, &zero, value, call))
        }
        ("GREATEST" | "LEAST", [_, ..]) => extreme(call, call.name == "GREATEST"),
        ("ERROR", [message]) if message.ty == Type::String => {
            let function = Scalar::new("ERROR", vec![Type::String], Type::Int64, |args| Err(args[0].str().to_owned()));
            Ok(Bound {
                expr: function.volatile().call(vec![message.expr.clone()]),
                ty: Type::Int64,
                kind: crate::bigquery::sql::binder::Kind::Plain,
            })
        }
        _ => return None,
    })
}

fn choose(call: &Call, condition: &Bound, then: &Bound, otherwise: &Bound) -> Result<Bound, SqlError> {
    call.unsafe_only()?;
    if !condition.fits(&Type::Bool) {
        return Err(call.no_match());
    }
    let condition = condition.clone().coerce(&Type::Bool)?;
    case(vec![condition], vec![then.clone(), otherwise.clone()], "IF")
}

fn coalesce(call: &Call) -> Result<Bound, SqlError> {
    call.unsafe_only()?;
    let (last, first) = call.args.split_last().ok_or_else(|| call.no_match())?;
    if first.is_empty() {
        return Ok(last.clone());
    }
    if first.iter().any(|arg| arg.expr.is_volatile()) {
        return first_of(call);
    }
    let whens = first.iter().map(|arg| arg.expr.clone().is_not_null()).collect();
    case(whens, call.args.clone(), &call.name).map_err(|_| call.no_match())
}

/// COALESCE with every argument evaluated, and once: what differs each time must not be looked at and then made anew.
fn first_of(call: &Call) -> Result<Bound, SqlError> {
    let ty = Bound::supertype(&call.args).ok_or_else(|| call.no_match())?;
    if call.args[1..].iter().any(|arg| can_fail(&arg.expr)) {
        let message = format!("{} of a value that differs each time before one that can fail", call.name);
        return Err(SqlError::not_implemented(message));
    }
    let types = vec![ty.clone(); call.args.len()];
    let function = Scalar::new(call.name.clone(), types.clone(), ty.clone(), |args| {
        Ok(args.iter().find(|arg| !arg.is_null()).cloned().unwrap_or(Value::Null))
    });
    call.apply(function.with_nulls().total(), &types, ty)
}

fn nullif(call: &Call, value: &Bound, other: &Bound) -> Result<Bound, SqlError> {
    call.unsafe_only()?;
    once(value, "NULLIF")?;
    let equal = operator::binary(&BinaryOperator::Eq, value.clone(), other.clone()).map_err(|_| call.no_match())?;
    let ty = Bound::supertype([value, other]).ok_or_else(|| call.no_match())?;
    let value = Bound::new(value.clone().coerce(&ty)?, ty);
    case(vec![equal.expr], vec![Bound::null()?, value], "NULLIF")
}

fn safe(call: &Call, by: &BinaryOperator) -> Result<Bound, SqlError> {
    safe_of(by, &call.args[0], &call.args[1], call)
}

fn safe_of(by: &BinaryOperator, left: &Bound, right: &Bound, call: &Call) -> Result<Bound, SqlError> {
    let ty = Bound::supertype([left, right]).filter(Type::is_numeric).ok_or_else(|| call.no_match())?;
    let ty = if *by == BinaryOperator::Divide && ty == Type::Int64 { Type::Float64 } else { ty };
    let args: Vec<Expr> = vec![left.clone().coerce(&ty)?, right.clone().coerce(&ty)?];
    Ok(Bound::new(operator::calculation(by, &ty, true)?.call(args), ty))
}

/// The greatest or least of the arguments; NULL where one is NULL, NaN where one is NaN.
fn extreme(call: &Call, greatest: bool) -> Result<Bound, SqlError> {
    let ty = Bound::supertype(&call.args).filter(Type::is_orderable).ok_or_else(|| call.no_match())?;
    let types = vec![ty.clone(); call.args.len()];
    call.strict(&types, ty, move |args| {
        if let Some(nan) = args.iter().find(|v| matches!(v, Value::Float(f) if f.is_nan())) {
            return Ok(nan.clone());
        }
        let extreme = args.iter().cloned().reduce(|a, b| {
            let takes_b = if greatest { b.order(&a).is_gt() } else { b.order(&a).is_lt() };
            if takes_b { b } else { a }
        });
        Ok(extreme.unwrap_or(Value::Null))
    })
}
