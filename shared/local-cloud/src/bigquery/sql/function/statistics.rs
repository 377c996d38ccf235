//! Aggregates of distributions: quantiles, percentiles, covariance.

use super::{
    Bound, SqlError, Type, Value,
    aggregates::{coerced, collected, non_empty},
};
use crate::bigquery::sql::{
    binder::aggregate::{Arguments, Made},
    data_type::StructField,
};

/// A whole number that is a literal or parameter.
fn number(bound: Option<Bound>, name: &str) -> Result<usize, SqlError> {
    let count = match bound.and_then(|bound| bound.constant()) {
        Some(Value::Int(count)) => usize::try_from(count).ok().filter(|count| *count > 0),
        _ => None,
    };
    count.ok_or_else(|| {
        SqlError::invalid(format!("Argument 2 to {name} must be a positive integer literal or query parameter"))
    })
}

/// Exact quantiles, which approximate ones may be.
pub(super) fn quantiles(mut arguments: Arguments, no_match: &dyn Fn() -> SqlError) -> Result<Made, SqlError> {
    let count = number(arguments.values.pop(), "APPROX_QUANTILES")?;
    let ty = arguments.values.first().map(|v| v.ty.clone()).filter(Type::is_orderable).ok_or_else(no_match)?;
    let ignore_nulls = Some(arguments.ignore_nulls.unwrap_or(true));
    let arguments = Arguments { ignore_nulls, ..arguments };
    collected(&format!("APPROX_QUANTILES {count}"), arguments, 1, ty.array(), move |rows| {
        Ok(non_empty(rows, |mut values| {
            values.sort_by(Value::order);
            let last = values.len() - 1;
            Value::Array((0..=count).map(|i| values[i * last / count].clone()).collect())
        }))
    })
}

pub(super) fn top_count(mut arguments: Arguments, no_match: &dyn Fn() -> SqlError) -> Result<Made, SqlError> {
    let most = number(arguments.values.pop(), "APPROX_TOP_COUNT")?;
    let ty = arguments.values.first().map(|v| v.ty.clone()).filter(Type::is_groupable).ok_or_else(no_match)?;
    let field = |name: &str, ty| StructField { name: name.into(), ty };
    let result = Type::Struct([field("value", ty), field("count", Type::Int64)].into()).array();
    collected(&format!("APPROX_TOP_COUNT {most}"), arguments, 1, result, move |rows| {
        let mut counts: Vec<(Value<'_>, i64)> = Vec::new();
        for mut row in rows {
            let value = row.swap_remove(0);
            match counts.binary_search_by(|(known, _)| known.order(&value)) {
                Ok(at) => counts[at].1 += 1,
                Err(at) => counts.insert(at, (value, 1)),
            }
        }
        counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let top = counts.into_iter().take(most).map(|(value, n)| Value::Struct(vec![value, Value::Int(n)]));
        Ok(Value::Array(top.collect()))
    })
}

/// The covariance of pairs; `None` where there are too few.
pub(super) fn covariance(pairs: impl Iterator<Item = (f64, f64)>, sample: bool) -> Option<f64> {
    let (mut count, mut mean_x, mut mean_y, mut moment) = (0.0, 0.0, 0.0, 0.0);
    for (x, y) in pairs {
        count += 1.0;
        let dx = x - mean_x;
        mean_x += dx / count;
        mean_y += (y - mean_y) / count;
        moment += dx * (y - mean_y);
    }
    let by = if sample { count - 1.0 } else { count };
    (by > 0.0).then(|| moment / by)
}

pub(super) fn percentile(
    name: &str,
    mut arguments: Arguments,
    no_match: &dyn Fn() -> SqlError,
) -> Result<Made, SqlError> {
    let fraction = arguments.values.pop().filter(|v| v.fits(&Type::Float64)).ok_or_else(no_match)?;
    let fraction = Bound::new(fraction.coerce(&Type::Float64)?, Type::Float64);
    let Some(Value::Float(at)) = fraction.constant().filter(|v| (0.0..=1.0).contains(&v.float())) else {
        return Err(SqlError::invalid(format!(
            "The second argument of {name} must be a literal or query parameter between 0 and 1"
        )));
    };
    let ignore_nulls = Some(arguments.ignore_nulls.unwrap_or(true));
    let arguments = Arguments { ignore_nulls, ..arguments };
    let ty = arguments.values[0].ty.clone();
    if name == "PERCENTILE_DISC" {
        if !ty.is_orderable() {
            return Err(no_match());
        }
        return collected(&format!("{name} {at}"), arguments, 1, ty, move |rows| {
            let mut values: Vec<Value<'_>> = rows.into_iter().map(|mut row| row.swap_remove(0)).collect();
            values.sort_by(Value::order);
            let index = position(at, values.len(), f64::ceil).saturating_sub(1);
            Ok(values.get(index).cloned().unwrap_or(Value::Null))
        });
    }
    if matches!(ty, Type::Numeric | Type::BigNumeric) {
        return Err(SqlError::not_implemented(format_args!("FUNCTION {name} of {ty}")));
    }
    coerced(&format!("{name} {at}"), arguments, &[Type::Float64], Type::Float64, no_match, move |rows| {
        let mut values: Vec<Value<'_>> = rows.into_iter().map(|mut row| row.swap_remove(0)).collect();
        values.sort_by(Value::order);
        let Some(last) = values.len().checked_sub(1) else { return Ok(Value::Null) };
        let (low, high) = (position(at, last, f64::floor), position(at, last, f64::ceil));
        if values[low].is_null() || values[high].is_null() {
            return Ok(if values[low].is_null() { values[high].clone() } else { values[low].clone() });
        }
        #[expect(clippy::cast_precision_loss, reason = "an index")]
        let part = at * last as f64 - low as f64;
        let (low, high) = (values[low].float(), values[high].float());
        Ok(Value::Float(low + (high - low) * part))
    })
}

/// A fraction of a length, as an index.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of an index is an index"
)]
fn position(fraction: f64, length: usize, whole: fn(f64) -> f64) -> usize {
    whole(fraction * length as f64) as usize
}
