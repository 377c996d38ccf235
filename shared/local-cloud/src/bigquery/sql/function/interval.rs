//! INTERVAL values, and what they are added to.

use arrow::datatypes::IntervalMonthDayNano;
use sqlparser::ast::BinaryOperator;

use super::{Bound, SqlError, Type, Value};
use crate::bigquery::sql::{
    calendar::{self, DAY, Part},
    scalar::Scalar,
    text,
    zone::Zone,
};

/// `INTERVAL count part`.
pub(crate) fn make(count: Bound, part: Part) -> Result<Bound, SqlError> {
    let unit = match part {
        Part::Year => IntervalMonthDayNano::new(12, 0, 0),
        Part::Quarter => IntervalMonthDayNano::new(3, 0, 0),
        Part::Month => IntervalMonthDayNano::new(1, 0, 0),
        Part::Week(0) => IntervalMonthDayNano::new(0, 7, 0),
        Part::Day => IntervalMonthDayNano::new(0, 1, 0),
        Part::Hour | Part::Minute | Part::Second | Part::Millisecond | Part::Microsecond => {
            IntervalMonthDayNano::new(0, 0, part.micros().unwrap_or_default() * 1_000)
        }
        _ => return Err(SqlError::invalid(format!("Unsupported date part in INTERVAL: {part:?}"))),
    };
    let name = format!("interval {part:?}");
    let function = Scalar::new(name, vec![Type::Int64], Type::Interval, move |args| {
        let count = args[0].int();
        let overflow = || "Interval out of range".to_owned();
        let small =
            |unit: i32| i64::from(unit).checked_mul(count).and_then(|n| i32::try_from(n).ok()).ok_or_else(overflow);
        let nanos = unit.nanoseconds.checked_mul(count).ok_or_else(overflow)?;
        Ok(Value::Interval(IntervalMonthDayNano::new(small(unit.months)?, small(unit.days)?, nanos)))
    });
    Ok(Bound::new(function.call(vec![count.expr]), Type::Interval))
}

/// `value ± interval`; `None` where no side is an interval.
pub(crate) fn arithmetic(operator: &BinaryOperator, left: &Bound, right: &Bound) -> Option<Result<Bound, SqlError>> {
    let (value, interval, sign) = match (&left.ty, operator, &right.ty) {
        (_, BinaryOperator::Plus, Type::Interval) => (left, right, 1),
        (_, BinaryOperator::Minus, Type::Interval) => (left, right, -1),
        (Type::Interval, BinaryOperator::Plus, _) => (right, left, 1),
        (Type::Interval, _, _) | (_, _, Type::Interval) => {
            return Some(Err(SqlError::not_implemented(format_args!("Operator {operator} of INTERVAL"))));
        }
        _ => return None,
    };
    let result = match &value.ty {
        Type::Date | Type::Datetime => Type::Datetime,
        Type::Timestamp => Type::Timestamp,
        other => {
            return Some(Err(SqlError::not_implemented(format_args!("Operator {operator} of {other} and INTERVAL"))));
        }
    };
    let of = value.ty.clone();
    let name = format!("moved {sign}");
    let function = Scalar::new(name, vec![value.ty.clone(), Type::Interval], result.clone(), move |args| {
        let start = if of == Type::Date { args[0].int() * DAY } else { args[0].int() };
        let interval = args[1].interval();
        if of == Type::Timestamp && interval.months != 0 {
            return Err("INTERVAL with MONTH or YEAR cannot be added to a TIMESTAMP".into());
        }
        let months = calendar::add(start, sign * i64::from(interval.months), Part::Month);
        let moved = months
            .and_then(|at| calendar::add(at, sign * i64::from(interval.days), Part::Day))
            .and_then(|at| calendar::add(at, sign * interval.nanoseconds / 1_000, Part::Microsecond));
        moved.map(Value::Int).ok_or_else(|| {
            let shown = if of == Type::Timestamp { text::timestamp(start, Zone::UTC) } else { text::datetime(start) };
            format!("Adding the interval to {shown} causes overflow")
        })
    });
    Some(Ok(Bound::new(function.call(vec![value.expr.clone(), interval.expr.clone()]), result)))
}
