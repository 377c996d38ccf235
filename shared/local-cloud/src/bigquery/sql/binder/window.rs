//! Window functions.

use datafusion_common::{Column, ScalarValue};
use datafusion_expr::{
    Expr, LogicalPlanBuilder, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
    expr::{Cast, NullTreatment, WindowFunction, WindowFunctionParams},
};
use datafusion_functions_window::{
    cume_dist::cume_dist_udwf,
    lead_lag::{lag_udwf, lead_udwf},
    nth_value::{first_value_udwf, last_value_udwf, nth_value_udwf},
    ntile::ntile_udwf,
    rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf},
    row_number::row_number_udwf,
};
use sqlparser::ast::{
    self, Expr as Sql, Function, FunctionArgumentList, NamedWindowExpr, OrderByExpr, WindowSpec, WindowType,
};

use super::{
    Binder, Bound, SqlError, Type, Value,
    aggregate::Over,
    built, column,
    grouping::Regroup,
    names_of,
    operator::{group_key, sort_key},
    place, project,
    select::Frame,
};
use crate::bigquery::sql::function::aggregates;

const NAMES: [&str; 13] = [
    "CUME_DIST",
    "DENSE_RANK",
    "FIRST_VALUE",
    "LAG",
    "LAST_VALUE",
    "LEAD",
    "NTH_VALUE",
    "NTILE",
    "PERCENTILE_CONT",
    "PERCENTILE_DISC",
    "PERCENT_RANK",
    "RANK",
    "ROW_NUMBER",
];

pub(crate) fn is_name(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether the expression is a call with OVER.
pub(crate) fn is_call(sql: &Sql) -> bool {
    matches!(sql, Sql::Function(f) if f.over.is_some())
}

/// A call with OVER, and the column that it fills.
#[derive(Debug, Clone)]
pub(crate) struct WindowCall {
    pub(crate) function: WindowFunction,
    pub(crate) column: String,
}

/// A window with the names that it refers to resolved.
#[derive(Default, Clone)]
struct Window {
    partition_by: Vec<Sql>,
    order_by: Vec<OrderByExpr>,
    frame: Option<ast::WindowFrame>,
}

/// What a window function needs of its window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// An order, and no frame.
    Order,
    /// No frame.
    NoFrame,
    /// Neither an order nor a frame.
    Partition,
    Anything,
}

/// The function and what its result needs to become GoogleSQL's.
struct Chosen {
    definition: WindowFunctionDefinition,
    args: Vec<Expr>,
    distinct: bool,
    ignore_nulls: Option<bool>,
    ty: Type,
    finish: Option<fn(Expr) -> Expr>,
    needs: Needs,
}

impl Binder<'_> {
    pub(crate) fn bind_window(
        &mut self,
        frame: &mut Frame,
        name: &str,
        call: &Function,
        list: &FunctionArgumentList,
        over: &WindowType,
    ) -> Result<Bound, SqlError> {
        if !frame.windows_allowed {
            return Err(SqlError::invalid(format!("Analytic function {name} not allowed in {}", frame.clause)));
        }
        frame.windows_allowed = false;
        let bound = self.bind_call(frame, name, call, list, over);
        frame.windows_allowed = true;
        bound
    }

    fn bind_call(
        &mut self,
        frame: &mut Frame,
        name: &str,
        call: &Function,
        list: &FunctionArgumentList,
        over: &WindowType,
    ) -> Result<Bound, SqlError> {
        let window = resolve(&frame.named_windows, over, 0)?;
        let grows = window.frame.as_ref().is_none_or(|f| f.start_bound == ast::WindowFrameBound::Preceding(None));
        let over = if grows { Over::Growing } else { Over::Sliding };
        let chosen = self.choose(frame, name, call, list, over)?;
        match chosen.needs {
            Needs::Order if window.order_by.is_empty() => {
                return Err(SqlError::invalid(format!("Window ORDER BY is required for analytic function {name}")));
            }
            Needs::Partition if !window.order_by.is_empty() => {
                return Err(SqlError::invalid(format!("Window ORDER BY is not allowed for analytic function {name}")));
            }
            Needs::Order | Needs::NoFrame | Needs::Partition if window.frame.is_some() => {
                return Err(SqlError::invalid(format!(
                    "Window framing clause is not allowed for analytic function {name}"
                )));
            }
            _ => {}
        }
        if chosen.distinct && !window.order_by.is_empty() {
            return Err(SqlError::invalid("Window ORDER BY is not allowed if DISTINCT is specified"));
        }
        let mut partition_by = Vec::with_capacity(window.partition_by.len() + 1);
        for sql in &window.partition_by {
            let bound = self.bind_expr(frame, sql)?;
            if !bound.ty.is_groupable() {
                let message = format!("Partitioning by expressions of type {} is not allowed", bound.ty);
                return Err(SqlError::invalid(message).at_span(place(sql)));
            }
            partition_by.push(group_key(bound.expr, &bound.ty));
        }
        partition_by.extend(frame.relation.lateral.as_ref().map(|lateral| column(&lateral.row)));
        let (order_by, window_frame) = self.order_and_frame(frame, &window)?;
        let function = WindowFunction {
            fun: chosen.definition,
            params: WindowFunctionParams {
                args: chosen.args,
                partition_by,
                order_by,
                window_frame,
                filter: None,
                null_treatment: chosen.ignore_nulls.map(|ignore| match ignore {
                    true => NullTreatment::IgnoreNulls,
                    false => NullTreatment::RespectNulls,
                }),
                distinct: chosen.distinct,
            },
        };
        let known = frame.windows.iter().find(|w| w.function == function).map(|w| w.column.clone());
        let internal = match known {
            Some(known) => known,
            None => {
                let internal = self.fresh('w');
                frame.windows.push(WindowCall { function, column: internal.clone() });
                internal
            }
        };
        let expr = column(&internal);
        Ok(Bound::new(chosen.finish.map_or(expr.clone(), |finish| finish(expr)), chosen.ty))
    }

    fn choose(
        &mut self,
        frame: &mut Frame,
        name: &str,
        call: &Function,
        list: &FunctionArgumentList,
        over: Over,
    ) -> Result<Chosen, SqlError> {
        if !is_name(name) && !super::aggregate::is_name(name) {
            return Err(SqlError::no_function(&format!("{name} with OVER")));
        }
        let arguments = self.aggregate_arguments(frame, name, call, list, over)?;
        if !arguments.order.is_empty() || arguments.limit.is_some() || arguments.having.is_some() {
            let message =
                format!("ORDER BY, LIMIT and HAVING in arguments are not supported on analytic function {name}");
            return Err(SqlError::invalid(message));
        }
        if super::aggregate::is_name(name) || name.starts_with("PERCENTILE_") {
            let needs = if name.starts_with("PERCENTILE_") { Needs::Partition } else { Needs::Anything };
            let made = aggregates::make(name, arguments)?;
            return Ok(Chosen {
                definition: WindowFunctionDefinition::AggregateUDF(made.function),
                args: made.args,
                distinct: made.distinct,
                ignore_nulls: None,
                ty: made.ty,
                finish: made.finish,
                needs,
            });
        }
        if arguments.distinct {
            return Err(SqlError::invalid(format!("DISTINCT is not allowed for analytic function {name}")));
        }
        let takes_nulls = matches!(name, "FIRST_VALUE" | "LAST_VALUE" | "NTH_VALUE");
        let ignore_nulls = arguments.ignore_nulls;
        if ignore_nulls.is_some() && !takes_nulls {
            return Err(SqlError::invalid(format!(
                "IGNORE NULLS and RESPECT NULLS are not allowed for analytic function {name}"
            )));
        }
        let to_int: fn(Expr) -> Expr = |expr| Expr::Cast(Cast::new(Box::new(expr), Type::Int64.arrow()));
        let (definition, args, ty, finish, needs) = ranking(name, arguments.values, to_int)?;
        let definition = WindowFunctionDefinition::WindowUDF(definition);
        Ok(Chosen { definition, args, distinct: false, ignore_nulls, ty, finish, needs })
    }

    fn order_and_frame(
        &mut self,
        frame: &mut Frame,
        window: &Window,
    ) -> Result<(Vec<SortExpr>, WindowFrame), SqlError> {
        let by_value = window.frame.as_ref().is_some_and(|f| {
            let is_offset = |bound: &ast::WindowFrameBound| {
                matches!(bound, ast::WindowFrameBound::Preceding(Some(_)) | ast::WindowFrameBound::Following(Some(_)))
            };
            f.units == ast::WindowFrameUnits::Range
                && (is_offset(&f.start_bound) || f.end_bound.as_ref().is_some_and(is_offset))
        });
        let mut order_by = Vec::with_capacity(window.order_by.len());
        let mut types = Vec::with_capacity(window.order_by.len());
        for item in &window.order_by {
            let bound = self.bind_expr(frame, &item.expr)?;
            let ascending = item.options.asc.unwrap_or(true);
            let nulls_first = item.options.nulls_first.unwrap_or(ascending);
            let expr = match by_value {
                true => bound.expr,
                false => sort_key(bound.expr, &bound.ty).map_err(|e| e.at_span(place(&item.expr)))?,
            };
            order_by.push(SortExpr::new(expr, ascending, nulls_first));
            types.push(bound.ty);
        }
        let unbounded = || {
            (
                WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
                WindowFrameBound::Following(ScalarValue::UInt64(None)),
            )
        };
        let Some(written) = &window.frame else {
            let (start, end) = unbounded();
            return Ok(match order_by.is_empty() {
                true => (order_by, WindowFrame::new_bounds(WindowFrameUnits::Rows, start, end)),
                false => {
                    let frame = WindowFrame::new_bounds(WindowFrameUnits::Range, start, WindowFrameBound::CurrentRow);
                    (order_by, frame)
                }
            });
        };
        let (units, ty) = match written.units {
            ast::WindowFrameUnits::Rows => (WindowFrameUnits::Rows, Type::Int64),
            ast::WindowFrameUnits::Range => match (by_value, types.as_slice()) {
                (false, _) => (WindowFrameUnits::Range, Type::Int64),
                (true, [ty @ (Type::Int64 | Type::Float64)]) => (WindowFrameUnits::Range, ty.clone()),
                (true, [ty]) if ty.is_numeric() => {
                    return Err(SqlError::not_implemented(format_args!("A RANGE window over {ty}")));
                }
                _ => {
                    let message = "RANGE window with an offset requires exactly one numeric ORDER BY expression";
                    return Err(SqlError::invalid(message));
                }
            },
            ast::WindowFrameUnits::Groups => return Err(SqlError::invalid("Syntax error: Unexpected keyword GROUPS")),
        };
        let start = self.frame_bound(&written.start_bound, units, &ty)?;
        let end = match &written.end_bound {
            Some(end) => self.frame_bound(end, units, &ty)?,
            None => WindowFrameBound::CurrentRow,
        };
        Ok((order_by, WindowFrame::new_bounds(units, start, end)))
    }

    fn frame_bound(
        &mut self,
        bound: &ast::WindowFrameBound,
        units: WindowFrameUnits,
        ty: &Type,
    ) -> Result<WindowFrameBound, SqlError> {
        let (sql, preceding) = match bound {
            ast::WindowFrameBound::CurrentRow => return Ok(WindowFrameBound::CurrentRow),
            ast::WindowFrameBound::Preceding(sql) => (sql, true),
            ast::WindowFrameBound::Following(sql) => (sql, false),
        };
        let value = match sql {
            None => ScalarValue::UInt64(None),
            Some(sql) if units == WindowFrameUnits::Rows => {
                ScalarValue::UInt64(Some(u64::try_from(self.row_count(sql)?).unwrap_or(u64::MAX)))
            }
            Some(sql) => {
                let bad = || {
                    SqlError::invalid("Window frame offset must be a non-negative number").at_span(place(sql.as_ref()))
                };
                match (self.constant(sql)?, ty) {
                    (Some((Value::Int(v), _)), Type::Int64) if v >= 0 => ScalarValue::Int64(Some(v)),
                    (Some((value @ (Value::Int(_) | Value::Float(_)), _)), Type::Float64) if value.float() >= 0.0 => {
                        ScalarValue::Float64(Some(value.float()))
                    }
                    _ => return Err(bad()),
                }
            }
        };
        Ok(if preceding { WindowFrameBound::Preceding(value) } else { WindowFrameBound::Following(value) })
    }

    /// The windows' expressions, over rows, become expressions over groups.
    pub(crate) fn regroup_windows(&mut self, frame: &mut Frame, regroup: &Regroup) -> Result<(), SqlError> {
        let mut windows = std::mem::take(&mut frame.windows);
        for window in &mut windows {
            let params = &mut window.function.params;
            for expr in params.args.iter_mut().chain(&mut params.partition_by) {
                *expr = self.regrouped(regroup, expr.clone(), "Analytic function")?;
            }
            for sort in &mut params.order_by {
                sort.expr = self.regrouped(regroup, sort.expr.clone(), "Window ORDER BY")?;
            }
        }
        frame.windows = windows;
        Ok(())
    }

    /// Adds the windows' columns to the rows.
    pub(crate) fn add_windows(&mut self, frame: &mut Frame) -> Result<(), SqlError> {
        let mut rest = std::mem::take(&mut frame.windows);
        while let Some(first) = rest.first().cloned() {
            let like_first = |w: &WindowCall| {
                w.function.params.partition_by == first.function.params.partition_by
                    && w.function.params.order_by == first.function.params.order_by
            };
            let (together, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(like_first);
            rest = others;
            let before = names_of(&frame.relation.plan);
            let calls = together.iter().map(|w| Expr::WindowFunction(Box::new(w.function.clone())));
            let calls: Vec<Expr> = calls.collect();
            let plan = built(LogicalPlanBuilder::from(frame.relation.plan.clone()).window(calls))?;
            let mut exprs: Vec<Expr> = before.iter().map(|name| column(name)).collect();
            for (i, window) in together.iter().enumerate() {
                let made = Column::from(plan.schema().qualified_field(before.len() + i));
                exprs.push(Expr::Column(made).alias(window.column.as_str()));
            }
            frame.relation.plan = project(plan, exprs)?;
        }
        Ok(())
    }
}

type Ranking = (std::sync::Arc<datafusion_expr::WindowUDF>, Vec<Expr>, Type, Option<fn(Expr) -> Expr>, Needs);

/// The window functions that are no aggregates.
fn ranking(name: &str, mut values: Vec<Bound>, to_int: fn(Expr) -> Expr) -> Result<Ranking, SqlError> {
    let wrong = || SqlError::invalid(format!("Number or types of arguments do not match for analytic function {name}"));
    let position = |bound: &Bound, least: i64| match bound.constant() {
        Some(Value::Int(n)) if bound.ty == Type::Int64 && n >= least => Ok(n),
        _ => Err(SqlError::invalid(format!(
            "The position argument of {name} must be an integer literal or parameter of at least {least}"
        ))),
    };
    Ok(match (name, values.len()) {
        ("ROW_NUMBER", 0) => (row_number_udwf(), Vec::new(), Type::Int64, Some(to_int), Needs::NoFrame),
        ("RANK", 0) => (rank_udwf(), Vec::new(), Type::Int64, Some(to_int), Needs::Order),
        ("DENSE_RANK", 0) => (dense_rank_udwf(), Vec::new(), Type::Int64, Some(to_int), Needs::Order),
        ("PERCENT_RANK", 0) => (percent_rank_udwf(), Vec::new(), Type::Float64, None, Needs::Order),
        ("CUME_DIST", 0) => (cume_dist_udwf(), Vec::new(), Type::Float64, None, Needs::Order),
        ("NTILE", 1) => {
            let count = datafusion_expr::lit(position(&values[0], 1)?);
            (ntile_udwf(), vec![count], Type::Int64, Some(to_int), Needs::Order)
        }
        ("FIRST_VALUE" | "LAST_VALUE", 1) => {
            let value = values.remove(0);
            let function = if name == "FIRST_VALUE" { first_value_udwf() } else { last_value_udwf() };
            (function, vec![value.expr], value.ty, None, Needs::Anything)
        }
        ("NTH_VALUE", 2) => {
            let n = datafusion_expr::lit(position(&values[1], 1)?);
            let value = values.remove(0);
            (nth_value_udwf(), vec![value.expr, n], value.ty, None, Needs::Anything)
        }
        ("LAG" | "LEAD", 1..=3) => {
            let function = if name == "LAG" { lag_udwf() } else { lead_udwf() };
            let offset = values.get(1).map(|bound| position(bound, 0)).transpose()?.unwrap_or(1);
            let value = values[0].clone();
            let mut args = vec![value.expr, datafusion_expr::lit(offset)];
            if let Some(default) = values.get(2) {
                if !default.fits(&value.ty) {
                    return Err(wrong());
                }
                let default = Bound::new(default.clone().coerce(&value.ty)?, value.ty.clone());
                if default.constant().is_none() {
                    return Err(SqlError::not_implemented(format_args!("A default of {name} that is no literal")));
                }
                args.push(default.expr);
            }
            (function, args, value.ty, None, Needs::Order)
        }
        _ => return Err(wrong()),
    })
}

/// The window that OVER means, with named windows put in.
fn resolve(named: &[ast::NamedWindowDefinition], over: &WindowType, depth: usize) -> Result<Window, SqlError> {
    match over {
        WindowType::NamedWindow(name) => resolve_named(named, name, depth),
        WindowType::WindowSpec(spec) => resolve_spec(named, spec, depth),
    }
}

fn resolve_named(named: &[ast::NamedWindowDefinition], name: &ast::Ident, depth: usize) -> Result<Window, SqlError> {
    let unknown = || SqlError::invalid(format!("Unrecognized window alias {}", name.value)).at_span(name.span);
    if depth > named.len() {
        return Err(SqlError::invalid(format!("Window {} refers to itself", name.value)).at_span(name.span));
    }
    let found = named.iter().find(|definition| definition.0.value.eq_ignore_ascii_case(&name.value));
    match &found.ok_or_else(unknown)?.1 {
        NamedWindowExpr::NamedWindow(other) => resolve_named(named, other, depth + 1),
        NamedWindowExpr::WindowSpec(spec) => resolve_spec(named, spec, depth + 1),
    }
}

fn resolve_spec(named: &[ast::NamedWindowDefinition], spec: &WindowSpec, depth: usize) -> Result<Window, SqlError> {
    let mut window = match &spec.window_name {
        Some(name) => resolve_named(named, name, depth)?,
        None => Window::default(),
    };
    if !spec.partition_by.is_empty() {
        window.partition_by.clone_from(&spec.partition_by);
    }
    if !spec.order_by.is_empty() {
        window.order_by.clone_from(&spec.order_by);
    }
    if spec.window_frame.is_some() {
        window.frame.clone_from(&spec.window_frame);
    }
    Ok(window)
}
