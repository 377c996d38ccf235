//! GROUP BY and the aggregation.

use datafusion_common::JoinType;
use datafusion_expr::{Expr, GroupingSet, LogicalPlanBuilder, when};
use sqlparser::ast::{self, Expr as Sql, GroupByExpr};

use super::{
    Binder, Bound, SqlError, Type, built, column, columns_of, extend,
    operator::group_key,
    place, project,
    query::ordinal,
    scope::{Named, Relation, Scope, Variable, replace},
    select::{Frame, Item, Source, contains},
};

/// The keys and calls of an aggregation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grouping {
    pub(crate) keys: Vec<Key>,
    pub(crate) calls: Vec<AggregateCall>,
    /// The sets of keys of ROLLUP, CUBE and GROUPING SETS, as indices.
    sets: Option<Vec<Vec<usize>>>,
    /// There is a GROUP BY: no rows make no group.
    grouped: bool,
}

/// A key, as it is over the rows and as a column of the groups.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) expr: Expr,
    pub(crate) ty: Type,
    pub(crate) column: String,
}

/// A call of an aggregate function, and the column of the groups that it fills.
#[derive(Debug, Clone)]
pub(crate) struct AggregateCall {
    pub(crate) function: Expr,
    pub(crate) column: String,
    /// What it answers for no rows, where that is not NULL.
    pub(crate) empty: Option<Expr>,
}

/// How expressions over rows become expressions over groups.
pub(crate) struct Regroup {
    parts: Vec<(Expr, Expr)>,
    columns: Vec<String>,
}

impl Binder<'_> {
    /// Finds out whether the SELECT aggregates, and binds its keys.
    pub(crate) fn begin_grouping(
        &mut self,
        frame: &mut Frame,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        items: &mut [Item],
    ) -> Result<(), SqlError> {
        let aggregated = |sql: &Sql| contains(sql, super::aggregate::is_call);
        let (exprs, all) = match &select.group_by {
            GroupByExpr::All(modifiers) if modifiers.is_empty() => (&[] as &[Sql], true),
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => (exprs.as_slice(), false),
            _ => return Err(SqlError::invalid("Syntax error: Unexpected modifier of GROUP BY").at_span(place(select))),
        };
        let has_call = items.iter().any(|i| matches!(&i.source, Source::Sql(sql) if aggregated(sql)))
            || select.having.as_ref().is_some_and(aggregated)
            || select.qualify.as_ref().is_some_and(aggregated)
            || order.iter().any(|item| aggregated(&item.expr));
        if exprs.is_empty() && !all && !has_call {
            return Ok(());
        }
        frame.clause = "GROUP BY clause";
        let mut grouping = Grouping { grouped: all || !exprs.is_empty(), ..Grouping::default() };
        if all {
            for item in items.iter_mut() {
                let skip = matches!(&item.source, Source::Sql(sql) if aggregated(sql) || contains(sql, super::window::is_call));
                if !skip {
                    let bound = self.bind_item(frame, item)?;
                    if bound.constant().is_none() {
                        self.add_key(&mut grouping, bound)?;
                    }
                }
            }
        }
        for sql in exprs {
            self.bind_grouping_item(frame, &mut grouping, sql, items)?;
        }
        frame.grouping = Some(grouping);
        frame.aggregates_allowed = true;
        frame.clause = "SELECT list";
        Ok(())
    }

    /// Binds an item of the SELECT list once, for the key and for the list.
    fn bind_item(&mut self, frame: &mut Frame, item: &mut Item) -> Result<Bound, SqlError> {
        let bound = match &item.source {
            Source::Sql(sql) => self.bind_expr(frame, sql)?,
            Source::Bound(bound) => bound.clone(),
        };
        item.source = Source::Bound(bound.clone());
        Ok(bound)
    }

    fn bind_grouping_item(
        &mut self,
        frame: &mut Frame,
        grouping: &mut Grouping,
        sql: &Sql,
        items: &mut [Item],
    ) -> Result<(), SqlError> {
        let sets: Option<Vec<Vec<&Sql>>> = match sql {
            Sql::Rollup(parts) => {
                let length = parts.len();
                Some((0..=length).rev().map(|n| parts[..n].iter().flatten().collect()).collect())
            }
            Sql::Cube(parts) => {
                if parts.len() > 10 {
                    return Err(SqlError::invalid("CUBE has too many expressions").at_span(place(sql)));
                }
                let subset = |mask: usize| {
                    let kept = parts.iter().enumerate().filter(move |(i, _)| mask & (1 << i) != 0);
                    kept.flat_map(|(_, part)| part).collect::<Vec<_>>()
                };
                Some((0..1_usize << parts.len()).rev().map(subset).collect())
            }
            Sql::GroupingSets(sets) => Some(sets.iter().map(|set| set.iter().collect()).collect()),
            _ => None,
        };
        let Some(sets) = sets else {
            let index = self.bind_key(frame, grouping, sql, items)?;
            for set in grouping.sets.iter_mut().flatten() {
                set.push(index);
            }
            return Ok(());
        };
        if grouping.sets.is_some() {
            return Err(SqlError::not_implemented("GROUP BY with several grouping sets").at_span(place(sql)));
        }
        let plain: Vec<usize> = (0..grouping.keys.len()).collect();
        let mut indices = Vec::with_capacity(sets.len());
        for set in sets {
            let mut keys = plain.clone();
            for sql in set {
                keys.push(self.bind_key(frame, grouping, sql, items)?);
            }
            indices.push(keys);
        }
        grouping.sets = Some(indices);
        Ok(())
    }

    /// Binds one key: a number or a name of the SELECT list, or an expression over FROM.
    fn bind_key(
        &mut self,
        frame: &mut Frame,
        grouping: &mut Grouping,
        sql: &Sql,
        items: &mut [Item],
    ) -> Result<usize, SqlError> {
        let at = place(sql);
        let position = match sql {
            Sql::Value(value) => match ordinal(&value.value) {
                Some(number) if number == 0 || number > items.len() => {
                    return Err(SqlError::invalid(format!(
                        "GROUP BY expression references a column that does not exist: {number}"
                    ))
                    .at_span(at));
                }
                Some(number) => Some(number - 1),
                None => {
                    return Err(SqlError::invalid("Cannot GROUP BY literal values").at_span(at));
                }
            },
            Sql::Identifier(ident) => {
                let is_it = |item: &Item| item.name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(&ident.value));
                items.iter().position(is_it)
            }
            _ => None,
        };
        let bound = match position {
            Some(position) => {
                if matches!(&items[position].source, Source::Sql(sql) if contains(sql, super::aggregate::is_call)) {
                    let message = "Aggregate functions are not allowed in GROUP BY";
                    return Err(SqlError::invalid(message).at_span(at));
                }
                self.bind_item(frame, &mut items[position])?
            }
            None => self.bind_expr(frame, sql)?,
        };
        self.add_key(grouping, bound).map_err(|e| e.at_span(at))
    }

    fn add_key(&mut self, grouping: &mut Grouping, bound: Bound) -> Result<usize, SqlError> {
        if !bound.ty.is_groupable() {
            return Err(match bound.ty {
                Type::Struct(_) | Type::Array(_) => {
                    SqlError::not_implemented(format_args!("Grouping by expressions of type {}", bound.ty))
                }
                ty => SqlError::invalid(format!("Grouping by expressions of type {ty} is not allowed")),
            });
        }
        if let Some(index) = grouping.keys.iter().position(|key| key.expr == bound.expr) {
            return Ok(index);
        }
        let name = self.fresh('k');
        if let Expr::Column(c) = &bound.expr {
            let user = self.user_name(&c.name);
            self.user_names.insert(name.clone(), user);
        }
        grouping.keys.push(Key { expr: bound.expr, ty: bound.ty, column: name });
        Ok(grouping.keys.len() - 1)
    }

    /// The rows of the frame become its groups.
    pub(crate) fn aggregate(&mut self, frame: &mut Frame) -> Result<Regroup, SqlError> {
        let grouping = frame.grouping.clone().unwrap_or_default();
        let keys: Vec<Expr> =
            grouping.keys.iter().map(|k| group_key(k.expr.clone(), &k.ty).alias(k.column.as_str())).collect();
        let rows = extend(frame.relation.plan.clone(), keys)?;
        let row = frame.relation.lateral.as_ref().map(|lateral| lateral.row.clone());
        let mut by: Vec<Expr> = grouping.keys.iter().map(|k| column(&k.column)).collect();
        if let Some(sets) = &grouping.sets {
            let sets = sets.iter().map(|set| {
                let keys = set.iter().map(|i| column(&grouping.keys[*i].column));
                keys.chain(row.as_deref().map(column)).collect()
            });
            by = vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets.collect()))];
        } else {
            by.extend(row.as_deref().map(column));
        }
        let mut functions: Vec<Expr> = Vec::new();
        for call in &grouping.calls {
            if !functions.contains(&call.function) {
                functions.push(call.function.clone());
            }
        }
        let plan = built(LogicalPlanBuilder::from(rows).aggregate(by, functions.clone()))?;

        let fields: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let first = fields.len() - functions.len();
        let group_row = self.fresh('r');
        let mut exprs: Vec<Expr> = grouping.keys.iter().map(|k| column(&k.column)).collect();
        exprs.extend(row.as_deref().map(|row| column(row).alias(group_row.as_str())));
        for call in &grouping.calls {
            let index = functions.iter().position(|f| *f == call.function).unwrap_or_default();
            exprs.push(fields[first + index].clone().alias(call.column.as_str()));
        }
        let mut plan = project(plan, exprs)?;
        if let Some(lateral) = &frame.relation.lateral {
            let join = if grouping.grouped { JoinType::Inner } else { JoinType::Left };
            let on = column(&lateral.row).eq(column(&group_row));
            plan = built(LogicalPlanBuilder::from(lateral.base.clone()).join_on(plan, join, [on]))?;
            let mut exprs = columns_of(&lateral.base);
            exprs.extend(grouping.keys.iter().map(|k| column(&k.column)));
            for call in &grouping.calls {
                let value = column(&call.column);
                let value = match &call.empty {
                    Some(empty) => {
                        when(value.clone().is_null(), empty.clone()).otherwise(value).map_err(super::of_datafusion)?
                    }
                    None => value,
                };
                exprs.push(value.alias(call.column.as_str()));
            }
            plan = project(plan, exprs)?;
        }
        let relation = Relation {
            plan,
            scope: grouped_scope(&frame.relation.scope, &grouping.keys),
            lateral: frame.relation.lateral.clone(),
        };
        frame.relation = relation;
        self.apply_deferred(frame)?;
        let mut columns = super::names_of(&frame.relation.plan);
        columns.extend(frame.windows.iter().map(|w| w.column.clone()));
        let parts = grouping.keys.iter().map(|k| (k.expr.clone(), column(&k.column))).collect();
        Ok(Regroup { parts, columns })
    }

    /// An expression over rows as one over groups.
    pub(crate) fn regrouped(&self, regroup: &Regroup, expr: Expr, clause: &str) -> Result<Expr, SqlError> {
        let allowed = |name: &str| regroup.columns.iter().any(|c| c == name);
        replace(expr, &regroup.parts, &allowed).map_err(|name| {
            let name = self.user_name(&name);
            SqlError::invalid(format!(
                "{clause} expression references column {name} which is neither grouped nor aggregated"
            ))
        })
    }
}

/// The names that a subquery over the groups may use: those of the keys.
fn grouped_scope(scope: &Scope, keys: &[Key]) -> Scope {
    let kept = |named: &Vec<Named>| {
        let kept = named.iter().filter_map(|n| {
            let key = keys.iter().find(|k| k.expr == n.expr)?;
            Some(Named { name: n.name.clone(), ty: n.ty.clone(), expr: column(&key.column) })
        });
        kept.collect::<Vec<_>>()
    };
    let variables = scope.variables.iter().map(|v| Variable {
        alias: v.alias.clone(),
        columns: kept(&v.columns),
        merged: kept(&v.merged),
        element: v.element.as_ref().and_then(|(expr, ty)| {
            let key = keys.iter().find(|k| k.expr == *expr)?;
            Some((column(&key.column), ty.clone()))
        }),
    });
    Scope { variables: variables.collect(), using: kept(&scope.using), parent: scope.parent.clone() }
}
