//! Orders inside aggregates.

use std::cmp::Ordering;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::{SqlError, Type, Value};

/// A direction of ORDER BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) ascending: bool,
    pub(crate) nulls_first: bool,
}

/// Compares two rows of sort keys.
pub(crate) fn compare(a: &[Value<'_>], b: &[Value<'_>], directions: &[Direction]) -> Ordering {
    for ((a, b), direction) in a.iter().zip(b).zip(directions) {
        let order = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if direction.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if direction.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if direction.ascending => a.order(b),
            (false, false) => b.order(a),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// A type with the order of the Arrow type; which of several such types it is makes no difference to the order.
pub(crate) fn type_of(arrow: &DataType) -> Result<Type, SqlError> {
    Ok(match arrow {
        DataType::Boolean => Type::Bool,
        DataType::Int64 => Type::Int64,
        DataType::Float64 => Type::Float64,
        DataType::Decimal128(..) => Type::Numeric,
        DataType::Decimal256(..) => Type::BigNumeric,
        DataType::Utf8 => Type::String,
        DataType::Binary => Type::Bytes,
        DataType::Date32 => Type::Date,
        DataType::Time64(_) => Type::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => Type::Datetime,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Type::Timestamp,
        DataType::Interval(IntervalUnit::MonthDayNano) => Type::Interval,
        other => return Err(SqlError::internal(format!("No order for {other}"))),
    })
}
