//! Aggregate functions.

use std::sync::Arc;

use datafusion_expr::{AggregateUDF, Expr, expr::AggregateFunction};
use sqlparser::ast::{
    DuplicateTreatment, Expr as Sql, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, HavingBoundKind, NullTreatment,
};

use super::{Binder, Bound, SqlError, Type, column, grouping::AggregateCall, operator::sort_key, select::Frame};
use crate::bigquery::sql::function::{aggregates, order::Direction};

const NAMES: [&str; 29] = [
    "ANY_VALUE",
    "APPROX_COUNT_DISTINCT",
    "APPROX_QUANTILES",
    "ARRAY_AGG",
    "ARRAY_CONCAT_AGG",
    "AVG",
    "BIT_AND",
    "BIT_OR",
    "BIT_XOR",
    "CORR",
    "COUNT",
    "COUNTIF",
    "COVAR_POP",
    "COVAR_SAMP",
    "LOGICAL_AND",
    "LOGICAL_OR",
    "MAX",
    "MAX_BY",
    "MIN",
    "MIN_BY",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "STRING_AGG",
    "SUM",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
    "APPROX_TOP_COUNT",
];

pub(crate) fn is_name(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether the expression is a call of an aggregate function that is no window function.
pub(crate) fn is_call(sql: &Sql) -> bool {
    matches!(sql, Sql::Function(f) if f.over.is_none() && is_name(&f.name.to_string().to_uppercase()))
}

/// What an aggregate function is called with.
pub(crate) struct Arguments {
    /// COUNT(*): no values.
    pub(crate) values: Vec<Bound>,
    pub(crate) distinct: bool,
    /// IGNORE NULLS, RESPECT NULLS.
    pub(crate) ignore_nulls: Option<bool>,
    /// HAVING MAX, HAVING MIN.
    pub(crate) having: Option<(bool, Bound)>,
    pub(crate) order: Vec<(Bound, Direction)>,
    pub(crate) limit: Option<usize>,
    /// How it is called.
    pub(crate) over: Over,
}

/// Which rows an aggregate sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Those of a group.
    Group,
    /// Those of a window that only grows from row to row.
    Growing,
    /// Those of a window that rows leave again.
    Sliding,
}

/// An aggregate with its types decided.
pub(crate) struct Made {
    pub(crate) function: Arc<AggregateUDF>,
    pub(crate) args: Vec<Expr>,
    pub(crate) distinct: bool,
    pub(crate) ty: Type,
    /// What DataFusion's result needs to become GoogleSQL's.
    pub(crate) finish: Option<fn(Expr) -> Expr>,
    /// What it answers for no rows, where that is not NULL.
    pub(crate) empty: Option<Expr>,
}

impl Binder<'_> {
    pub(crate) fn bind_aggregate(
        &mut self,
        frame: &mut Frame,
        name: &str,
        call: &Function,
        list: &FunctionArgumentList,
    ) -> Result<Bound, SqlError> {
        if !frame.aggregates_allowed {
            let message = match frame.grouping {
                Some(_) if frame.clause != "GROUP BY clause" => {
                    "Aggregations of aggregations are not allowed".to_owned()
                }
                _ => format!("Aggregate function {name} not allowed in {}", frame.clause),
            };
            return Err(SqlError::invalid(message));
        }
        let (aliases, windows) = (std::mem::take(&mut frame.aliases), frame.windows_allowed);
        frame.aggregates_allowed = false;
        frame.windows_allowed = false;
        let arguments = self.aggregate_arguments(frame, name, call, list, Over::Group);
        frame.aliases = aliases;
        frame.aggregates_allowed = true;
        frame.windows_allowed = windows;
        let made = aggregates::make(name, arguments?)?;

        let function = AggregateFunction::new_udf(made.function, made.args, made.distinct, None, Vec::new(), None);
        let function = Expr::AggregateFunction(function);
        let known = frame.grouping.iter().flat_map(|g| &g.calls).find(|c| c.function == function);
        let internal = match known {
            Some(known) => known.column.clone(),
            None => {
                let internal = self.fresh('a');
                let call = AggregateCall { function, column: internal.clone(), empty: made.empty };
                frame.grouping.get_or_insert_default().calls.push(call);
                internal
            }
        };
        let expr = column(&internal);
        Ok(Bound::new(made.finish.map_or(expr.clone(), |finish| finish(expr)), made.ty))
    }

    /// The arguments and clauses between the parentheses.
    pub(crate) fn aggregate_arguments(
        &mut self,
        frame: &mut Frame,
        name: &str,
        call: &Function,
        list: &FunctionArgumentList,
        over: Over,
    ) -> Result<Arguments, SqlError> {
        let mut arguments = Arguments {
            values: Vec::new(),
            distinct: list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
            ignore_nulls: call.null_treatment.as_ref().map(|t| *t == NullTreatment::IgnoreNulls),
            having: None,
            order: Vec::new(),
            limit: None,
            over,
        };
        match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "COUNT" => {
                if arguments.distinct {
                    return Err(SqlError::invalid("COUNT(*) cannot be used with DISTINCT"));
                }
            }
            [] if name == "COUNT" => {
                return Err(SqlError::invalid("No matching signature for aggregate function COUNT with no arguments"));
            }
            _ => {
                for sql in super::call::plain(name, list)? {
                    let bound = self.bind_expr(frame, sql)?;
                    arguments.values.push(bound);
                }
            }
        }
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    arguments.ignore_nulls = Some(*treatment == NullTreatment::IgnoreNulls);
                }
                FunctionArgumentClause::OrderBy(items) => {
                    for item in items {
                        let bound = self.bind_expr(frame, &item.expr)?;
                        let expr = sort_key(bound.expr, &bound.ty)?;
                        let ty = if bound.ty == Type::Float64 { Type::Int64 } else { bound.ty };
                        let ascending = item.options.asc.unwrap_or(true);
                        let nulls_first = item.options.nulls_first.unwrap_or(ascending);
                        arguments.order.push((Bound::new(expr, ty), Direction { ascending, nulls_first }));
                    }
                }
                FunctionArgumentClause::Limit(sql) => arguments.limit = Some(self.row_count(sql)?),
                FunctionArgumentClause::Having(bound) => {
                    let max = bound.0 == HavingBoundKind::Max;
                    let value = self.bind_expr(frame, &bound.1)?;
                    if !value.ty.is_orderable() {
                        let message = format!("HAVING modifier does not support expressions of type {}", value.ty);
                        return Err(SqlError::invalid(message));
                    }
                    arguments.having = Some((max, value));
                }
                other => {
                    return Err(SqlError::invalid(format!("Syntax error: Unexpected {other} in {name}")));
                }
            }
        }
        Ok(arguments)
    }
}
