//! Aggregate functions: a few are DataFusion's own, most are one closure over the rows of a group.

use std::sync::Arc;

use arrow::datatypes::{DataType, i256};
use datafusion_expr::{AggregateUDF, Expr, expr::Cast, lit, when};
use datafusion_functions_aggregate::{
    average::avg_udaf,
    count::count_udaf,
    min_max::{max_udaf, min_udaf},
    sum::sum_udaf,
};

use super::{
    Bound, SqlError, Type, Value,
    order::{self, Direction},
    statistics::{covariance, percentile, quantiles, top_count},
};
use crate::bigquery::sql::{
    binder::{
        aggregate::{Arguments, Made, Over},
        operator::group_key,
    },
    cast::{divide_rounded, in_numeric},
    collect::{Collect, Rows},
    engine::of_datafusion,
    scalar::{Answer, Scalar},
    value::Value as Cell,
};

/// Makes the aggregate that the name and the arguments mean.
pub(crate) fn make(name: &str, arguments: Arguments) -> Result<Made, SqlError> {
    let types: Vec<String> = arguments.values.iter().map(|v| v.ty.to_string()).collect();
    let no_match = || {
        let types = types.join(", ");
        SqlError::invalid(format!("No matching signature for aggregate function {name} for argument types: {types}"))
    };
    check_clauses(name, &arguments)?;
    let first = arguments.values.first().cloned();
    let count = arguments.values.len();
    match (name, count) {
        ("COUNT", 0) => Ok(counted(lit(1_i64), false)),
        ("COUNT" | "APPROX_COUNT_DISTINCT", 1) => {
            let value = first.ok_or_else(no_match)?;
            let distinct = arguments.distinct || name == "APPROX_COUNT_DISTINCT";
            if distinct && !value.ty.is_groupable() {
                return Err(SqlError::invalid(format!(
                    "Aggregate functions with DISTINCT cannot be used with arguments of type {}",
                    value.ty
                )));
            }
            if distinct && arguments.over != Over::Group {
                let arguments = Arguments { distinct: true, ignore_nulls: Some(true), ..arguments };
                return Ok(Made {
                    empty: Some(lit(0_i64)),
                    ..collected(name, arguments, 1, Type::Int64, |rows| Ok(size(rows.len())))?
                });
            }
            Ok(counted(group_key(value.expr, &value.ty), distinct))
        }
        ("COUNTIF", 1) => {
            let value = first.filter(|v| v.fits(&Type::Bool)).ok_or_else(no_match)?;
            if arguments.distinct {
                return Err(SqlError::not_implemented("COUNTIF(DISTINCT …)"));
            }
            let one = when(value.coerce(&Type::Bool)?, lit(1_i64)).end().map_err(of_datafusion)?;
            Ok(counted(one, false))
        }
        ("SUM", 1) => sum(arguments, first.ok_or_else(no_match)?).unwrap_or_else(|| Err(no_match())),
        ("AVG", 1) => average(arguments, first.ok_or_else(no_match)?).unwrap_or_else(|| Err(no_match())),
        ("MIN" | "MAX", 1) => extreme(name, first.ok_or_else(no_match)?).unwrap_or_else(|| Err(no_match())),
        ("MIN_BY" | "MAX_BY", 2) => {
            let mut arguments = arguments;
            let by = arguments.values.pop().ok_or_else(no_match)?;
            if !by.ty.is_orderable() {
                return Err(no_match());
            }
            arguments.having = Some((name == "MAX_BY", by));
            any_value(arguments)
        }
        ("ANY_VALUE", 1) => any_value(arguments),
        ("ARRAY_AGG", 1) => {
            let ty = first.ok_or_else(no_match)?.ty;
            if matches!(ty, Type::Array(_)) {
                return Err(SqlError::invalid(format!(
                    "The argument to ARRAY_AGG must not be an array type but was {ty}"
                )));
            }
            collected(name, arguments, 1, ty.array(), |rows| Ok(non_empty(rows, Value::Array)))
        }
        ("ARRAY_CONCAT_AGG", 1) => {
            let ty = first.filter(|v| matches!(v.ty, Type::Array(_))).ok_or_else(no_match)?.ty;
            let arguments = Arguments { ignore_nulls: Some(true), ..arguments };
            collected(name, arguments, 1, ty, |rows| {
                Ok(non_empty(rows, |arrays| Value::Array(arrays.iter().flat_map(|a| a.items().to_vec()).collect())))
            })
        }
        ("STRING_AGG", 1 | 2) => string_agg(arguments, &no_match),
        ("LOGICAL_AND" | "LOGICAL_OR", 1) => {
            let and = name == "LOGICAL_AND";
            let arguments = Arguments { ignore_nulls: Some(true), ..arguments };
            coerced(name, arguments, &[Type::Bool], Type::Bool, &no_match, move |rows| {
                let folded = rows.iter().map(|row| row[0].bool()).reduce(|a, b| if and { a && b } else { a || b });
                Ok(folded.map_or(Value::Null, Value::Bool))
            })
        }
        ("BIT_AND" | "BIT_OR" | "BIT_XOR", 1) => {
            let fold: fn(i64, i64) -> i64 = match name {
                "BIT_AND" => |a, b| a & b,
                "BIT_OR" => |a, b| a | b,
                _ => |a, b| a ^ b,
            };
            let arguments = Arguments { ignore_nulls: Some(true), ..arguments };
            coerced(name, arguments, &[Type::Int64], Type::Int64, &no_match, move |rows| {
                Ok(rows.iter().map(|row| row[0].int()).reduce(fold).map_or(Value::Null, Value::Int))
            })
        }
        ("APPROX_QUANTILES", 2) => quantiles(arguments, &no_match),
        ("APPROX_TOP_COUNT", 2) => top_count(arguments, &no_match),
        ("STDDEV" | "STDDEV_SAMP" | "STDDEV_POP" | "VARIANCE" | "VAR_SAMP" | "VAR_POP", 1) => {
            let (root, sample) = (name.starts_with("STDDEV"), !name.ends_with("_POP"));
            let arguments = Arguments { ignore_nulls: Some(true), ..arguments };
            coerced(name, arguments, &[Type::Float64], Type::Float64, &no_match, move |rows| {
                let spread = covariance(rows.iter().map(|row| (row[0].float(), row[0].float())), sample);
                Ok(spread.map_or(Value::Null, |v| Value::Float(if root { v.sqrt() } else { v })))
            })
        }
        ("COVAR_POP" | "COVAR_SAMP" | "CORR", 2) => {
            let (correlation, sample) = (name == "CORR", name == "COVAR_SAMP");
            coerced(name, arguments, &[Type::Float64, Type::Float64], Type::Float64, &no_match, move |rows| {
                let both = rows.iter().filter(|row| !row[0].is_null() && !row[1].is_null());
                let pairs: Vec<(f64, f64)> = both.map(|row| (row[0].float(), row[1].float())).collect();
                let together = covariance(pairs.iter().copied(), sample);
                if !correlation || pairs.len() < 2 {
                    let none = correlation || together.is_none();
                    return Ok(if none { Value::Null } else { Value::Float(together.unwrap_or_default()) });
                }
                let of = |pick: fn(&(f64, f64)) -> f64| covariance(pairs.iter().map(|p| (pick(p), pick(p))), false);
                let (x, y) = (of(|p| p.0).unwrap_or_default(), of(|p| p.1).unwrap_or_default());
                Ok(Value::Float(together.unwrap_or_default() / (x * y).sqrt()))
            })
        }
        ("PERCENTILE_CONT" | "PERCENTILE_DISC", 2) => percentile(name, arguments, &no_match),
        _ => Err(no_match()),
    }
}

/// Refuses the clauses that the function does not take.
fn check_clauses(name: &str, arguments: &Arguments) -> Result<(), SqlError> {
    let orders = matches!(name, "ARRAY_AGG" | "STRING_AGG" | "ARRAY_CONCAT_AGG");
    let nulls = matches!(name, "ARRAY_AGG" | "APPROX_QUANTILES" | "PERCENTILE_CONT" | "PERCENTILE_DISC");
    let refused = if (!arguments.order.is_empty() || arguments.limit.is_some()) && !orders {
        Some("ORDER BY or LIMIT in arguments")
    } else if arguments.ignore_nulls.is_some() && !nulls {
        Some("IGNORE NULLS or RESPECT NULLS")
    } else if arguments.having.is_some() && name != "ANY_VALUE" {
        return Err(SqlError::not_implemented(format_args!("{name} with HAVING")));
    } else {
        None
    };
    match refused {
        Some(what) => Err(SqlError::invalid(format!("{what} is not supported on {name}"))),
        None => Ok(()),
    }
}

fn size<'a>(n: usize) -> Value<'a> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// The first values of the rows, or NULL where there are none.
pub(super) fn non_empty<'a>(rows: Rows<'a>, make: impl Fn(Vec<Value<'a>>) -> Value<'a>) -> Value<'a> {
    if rows.is_empty() {
        return Value::Null;
    }
    make(rows.into_iter().map(|mut row| row.swap_remove(0)).collect())
}

fn counted(value: Expr, distinct: bool) -> Made {
    Made { function: count_udaf(), args: vec![value], distinct, ty: Type::Int64, finish: None, empty: Some(lit(0_i64)) }
}

fn plain(function: Arc<AggregateUDF>, value: Expr, ty: Type) -> Made {
    Made { function, args: vec![value], distinct: false, ty, finish: None, empty: None }
}

/// How the rows are picked and put in order before the closure sees them.
#[derive(Debug, Clone)]
struct Picking {
    values: usize,
    /// The place of the value of HAVING, and whether its greatest is wanted.
    having: Option<(usize, bool)>,
    ignore_nulls: bool,
    distinct: bool,
    order: Vec<Direction>,
    limit: Option<usize>,
}

impl Picking {
    fn pick<'a>(&self, mut rows: Rows<'a>) -> Rows<'a> {
        if let Some((at, greatest)) = self.having {
            rows.retain(|row| !row[at].is_null());
            let best = rows.iter().map(|row| row[at].clone()).reduce(|a, b| {
                let takes_b = if greatest { b.order(&a).is_gt() } else { b.order(&a).is_lt() };
                if takes_b { b } else { a }
            });
            if let Some(best) = best {
                rows.retain(|row| row[at].order(&best).is_eq());
            }
        }
        if self.ignore_nulls {
            rows.retain(|row| !row[0].is_null());
        }
        if self.distinct {
            let mut seen: Vec<Value<'a>> = Vec::new();
            rows.retain(|row| match seen.binary_search_by(|known| known.order(&row[0])) {
                Ok(_) => false,
                Err(at) => {
                    seen.insert(at, row[0].clone());
                    true
                }
            });
        }
        if !self.order.is_empty() {
            let from = rows.first().map_or(0, Vec::len) - self.order.len().min(rows.first().map_or(0, Vec::len));
            rows.sort_by(|a, b| order::compare(&a[from..], &b[from..], &self.order));
        }
        if let Some(limit) = self.limit {
            rows.truncate(limit);
        }
        for row in &mut rows {
            row.truncate(self.values);
        }
        rows
    }
}

/// An aggregate by a closure over the first `values` arguments.
pub(super) fn collected(
    name: &str,
    arguments: Arguments,
    values: usize,
    result: Type,
    kernel: impl for<'a> Fn(Rows<'a>) -> Answer<'a> + Send + Sync + 'static,
) -> Result<Made, SqlError> {
    let (mut types, mut args) = (Vec::new(), Vec::new());
    for bound in arguments.values {
        types.push(bound.ty);
        args.push(bound.expr);
    }
    if arguments.distinct && !types[0].is_groupable() {
        return Err(SqlError::invalid(format!(
            "{name} with DISTINCT cannot be used with arguments of type {}",
            types[0]
        )));
    }
    let having = arguments.having.map(|(greatest, bound)| {
        types.push(bound.ty);
        args.push(bound.expr);
        (types.len() - 1, greatest)
    });
    if arguments.distinct
        && arguments.order.iter().any(|(bound, _)| {
            group_key(bound.expr.clone(), &bound.ty) != group_key(args[0].clone(), &types[0])
                && types[0] != Type::Float64
        })
    {
        return Err(SqlError::invalid(format!(
            "An aggregate function that has both DISTINCT and ORDER BY arguments can only ORDER BY expressions that are arguments to the function: {name}"
        )));
    }
    let mut order = Vec::with_capacity(arguments.order.len());
    for (bound, direction) in arguments.order {
        types.push(bound.ty);
        args.push(bound.expr);
        order.push(direction);
    }
    let picking = Picking {
        values,
        having,
        ignore_nulls: arguments.ignore_nulls == Some(true),
        distinct: arguments.distinct,
        order,
        limit: arguments.limit,
    };
    let key = format!("{name} {picking:?}");
    let function = Collect::new(key, types, result.clone(), move |rows| kernel(picking.pick(rows))).udaf();
    Ok(Made { function, args, distinct: false, ty: result, finish: None, empty: None })
}

/// An aggregate by a closure, over arguments of these types.
pub(super) fn coerced(
    name: &str,
    mut arguments: Arguments,
    types: &[Type],
    result: Type,
    no_match: &dyn Fn() -> SqlError,
    kernel: impl for<'a> Fn(Rows<'a>) -> Answer<'a> + Send + Sync + 'static,
) -> Result<Made, SqlError> {
    for (value, ty) in arguments.values.iter_mut().zip(types) {
        if !value.fits(ty) {
            return Err(no_match());
        }
        *value = Bound::new(value.clone().coerce(ty)?, ty.clone());
    }
    collected(name, arguments, types.len(), result, kernel)
}

fn sum(arguments: Arguments, value: Bound) -> Option<Result<Made, SqlError>> {
    let distinct = arguments.distinct;
    // Doubles are added up anew for each row of a sliding window: taking one off again would not give the same.
    let anew = distinct || arguments.over == Over::Sliding;
    Some(match value.ty {
        Type::Int64 if !distinct => {
            let wide = Expr::Cast(Cast::new(Box::new(value.expr), DataType::Decimal128(38, 0)));
            Ok(Made { finish: Some(to_int), ..plain(sum_udaf(), wide, Type::Int64) })
        }
        Type::Int64 => collected("SUM", ignoring(arguments), 1, Type::Int64, |rows| {
            let sum = rows.iter().map(|row| i128::from(row[0].int())).reduce(|a, b| a + b);
            sum.map_or(Ok(Value::Null), |sum| {
                i64::try_from(sum).map(Value::Int).map_err(|_| "int64 overflow in SUM".into())
            })
        }),
        Type::Float64 if !anew => Ok(plain(sum_udaf(), value.expr, Type::Float64)),
        Type::Float64 => collected("SUM", ignoring(arguments), 1, Type::Float64, |rows| {
            Ok(rows.iter().map(|row| row[0].float()).reduce(|a, b| a + b).map_or(Value::Null, Value::Float))
        }),
        ref ty @ (Type::Numeric | Type::BigNumeric) => {
            let big = *ty == Type::BigNumeric;
            collected("SUM", ignoring(arguments), 1, value.ty.clone(), move |rows| {
                let sum = decimal_sum(&rows)?;
                sum.map_or(Ok(Value::Null), |sum| Ok(Value::Decimal(if big { sum } else { in_numeric(sum)? })))
            })
        }
        _ => return None,
    })
}

fn ignoring(arguments: Arguments) -> Arguments {
    Arguments { ignore_nulls: Some(true), ..arguments }
}

fn decimal_sum(rows: &Rows<'_>) -> Result<Option<i256>, String> {
    let mut sum = None;
    for row in rows {
        let value = row[0].decimal();
        sum = Some(match sum {
            None => value,
            Some(sum) => i256::checked_add(sum, value).ok_or("numeric overflow in SUM")?,
        });
    }
    Ok(sum)
}

/// The sum of integers as INT64: DataFusion adds them up as DECIMAL(38, 0).
fn to_int(sum: Expr) -> Expr {
    let function = Scalar::new("int64 of sum", vec![Type::Numeric], Type::Int64, |args| {
        let sum = args[0].decimal().to_i128().and_then(|sum| i64::try_from(sum).ok());
        sum.map(Value::Int).ok_or_else(|| "int64 overflow in SUM".into())
    });
    function.call(vec![sum])
}

fn average(arguments: Arguments, value: Bound) -> Option<Result<Made, SqlError>> {
    Some(match &value.ty {
        Type::Int64 | Type::Float64 if !arguments.distinct && arguments.over != Over::Sliding => {
            match value.coerce(&Type::Float64) {
                Ok(expr) => Ok(plain(avg_udaf(), expr, Type::Float64)),
                Err(error) => Err(error),
            }
        }
        Type::Int64 | Type::Float64 => coerced(
            "AVG",
            ignoring(arguments),
            &[Type::Float64],
            Type::Float64,
            &|| SqlError::internal("AVG"),
            |rows| {
                #[expect(clippy::cast_precision_loss, reason = "a count")]
                let count = rows.len() as f64;
                let sum = rows.iter().map(|row| row[0].float()).reduce(|a, b| a + b);
                Ok(sum.map_or(Value::Null, |sum| Value::Float(sum / count)))
            },
        ),
        Type::Numeric | Type::BigNumeric => collected("AVG", ignoring(arguments), 1, value.ty.clone(), |rows| {
            let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let sum = decimal_sum(&rows)?;
            Ok(sum.map_or(Value::Null, |sum| Value::Decimal(divide_rounded(sum, i256::from(count)))))
        }),
        _ => return None,
    })
}

fn extreme(name: &str, value: Bound) -> Option<Result<Made, SqlError>> {
    let greatest = name == "MAX";
    if !value.ty.is_orderable() {
        return None;
    }
    let function = if greatest { max_udaf() } else { min_udaf() };
    if value.ty != Type::Float64 {
        return Some(Ok(plain(function, value.expr, value.ty)));
    }
    // NaN is the answer wherever there is one: doubles are compared as integers of the same order, with NaN at the end.
    let key = Scalar::new(format!("{name} key"), vec![Type::Float64], Type::Int64, move |args| {
        let value = args[0].float();
        let bits = (value + 0.0).to_bits().cast_signed();
        Ok(Value::Int(match value.is_nan() {
            true if greatest => i64::MAX,
            true => i64::MIN,
            false if bits < 0 => bits ^ i64::MAX,
            false => bits,
        }))
    });
    let made = plain(function, key.call(vec![value.expr]), Type::Float64);
    Some(Ok(Made { finish: Some(of_key), ..made }))
}

/// The double of a key of MIN or MAX.
fn of_key(key: Expr) -> Expr {
    let function = Scalar::new("double of key", vec![Type::Int64], Type::Float64, |args| {
        let key = args[0].int();
        Ok(Value::Float(match key {
            i64::MIN | i64::MAX => f64::NAN,
            key if key < 0 => f64::from_bits((key ^ i64::MAX).cast_unsigned()),
            key => f64::from_bits(key.cast_unsigned()),
        }))
    });
    function.call(vec![key])
}

fn any_value(arguments: Arguments) -> Result<Made, SqlError> {
    let ty = arguments.values.first().map(|v| v.ty.clone()).ok_or_else(|| SqlError::internal("ANY_VALUE"))?;
    collected("ANY_VALUE", arguments, 1, ty, |rows| {
        let known = rows.iter().position(|row| !row[0].is_null());
        Ok(known.map_or(Value::Null, |at| rows[at][0].clone()))
    })
}

fn string_agg(mut arguments: Arguments, no_match: &dyn Fn() -> SqlError) -> Result<Made, SqlError> {
    let separator = match arguments.values.len() {
        2 => {
            let separator = arguments.values.pop().ok_or_else(no_match)?;
            match separator.constant() {
                Some(Value::Str(text)) => text.into_owned(),
                _ => return Err(SqlError::invalid("Argument 2 to STRING_AGG must be a literal or query parameter")),
            }
        }
        _ => ",".to_owned(),
    };
    match arguments.values.first() {
        Some(value) if value.fits(&Type::String) => {}
        Some(value) if value.ty == Type::Bytes => return Err(SqlError::not_implemented("STRING_AGG of BYTES")),
        _ => return Err(no_match()),
    }
    let name = format!("STRING_AGG {separator:?}");
    coerced(&name, ignoring(arguments), &[Type::String], Type::String, no_match, move |rows| {
        Ok(non_empty(rows, |texts| Value::string(texts.iter().map(Cell::str).collect::<Vec<_>>().join(&separator))))
    })
}
