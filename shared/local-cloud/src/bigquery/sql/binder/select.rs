//! One SELECT: FROM, WHERE, the list, HAVING, QUALIFY, DISTINCT, ORDER BY.

use std::ops::ControlFlow;

use datafusion_expr::{Expr, LogicalPlanBuilder};
use sqlparser::ast::{self, Expr as Sql, SelectItem, ValueTableMode, Visit, Visitor};

use super::{
    Around, Binder, Bound, Kind, SqlError, Type, alias, column, columns_of, filter,
    grouping::Grouping,
    operator::{group_key, sort_key},
    place, project,
    query::{self, Output, OutputColumn, SortKey},
    scope::{Lateral, Named, Relation, Scope, replace},
    set_operation::distinct_rows,
    subquery::Deferred,
    window::WindowCall,
};
use crate::bigquery::sql::data_type::StructField;

/// A SELECT while it is bound.
pub(crate) struct Frame {
    /// The rows of FROM, after WHERE; correlated subqueries add their answers as columns.
    pub(crate) relation: Relation,
    /// Where in the statement expressions are, for errors.
    pub(crate) clause: &'static str,
    /// The names of the SELECT list, where they may be used.
    pub(crate) aliases: Vec<(String, Bound)>,
    /// The keys and calls of an aggregation.
    pub(crate) grouping: Option<Grouping>,
    pub(crate) aggregates_allowed: bool,
    pub(crate) windows: Vec<WindowCall>,
    pub(crate) windows_allowed: bool,
    pub(crate) named_windows: Vec<ast::NamedWindowDefinition>,
    /// Correlated subqueries over the rows that the aggregation makes.
    pub(crate) deferred: Vec<Deferred>,
    /// The rows cannot be given more columns here, so no subquery may be correlated.
    pub(crate) fixed: bool,
}

/// One column of the SELECT list.
pub(crate) struct Item {
    pub(crate) name: Option<String>,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    Sql(Sql),
    Bound(Bound),
}

impl Frame {
    pub(crate) fn new(relation: Relation) -> Self {
        Self {
            relation,
            clause: "SELECT list",
            aliases: Vec::new(),
            grouping: None,
            aggregates_allowed: false,
            windows: Vec::new(),
            windows_allowed: false,
            named_windows: Vec::new(),
            deferred: Vec::new(),
            fixed: false,
        }
    }

    /// A frame of one row without columns.
    pub(crate) fn constant() -> Result<Self, SqlError> {
        Ok(Self::new(one_row()?))
    }
}

/// The relation of a SELECT without FROM.
pub(crate) fn one_row() -> Result<Relation, SqlError> {
    let plan = super::built(Ok(LogicalPlanBuilder::empty(true)))?;
    Ok(Relation { plan, scope: Scope::default(), lateral: None })
}

impl Binder<'_> {
    pub(crate) fn bind_select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        around: Around,
        lateral: Option<&Lateral>,
    ) -> Result<Output, SqlError> {
        refuse_clauses(select)?;
        let relation = self.bind_from(&select.from, around, lateral)?;
        let mut frame = Frame::new(relation);
        frame.named_windows.clone_from(&select.named_window);
        if let Some(condition) = &select.selection {
            self.bind_where(&mut frame, condition)?;
        }
        frame.clause = "SELECT list";
        let mut items = self.expand(&mut frame, &select.projection)?;
        self.begin_grouping(&mut frame, select, order, &mut items)?;

        frame.windows_allowed = true;
        let mut bounds = Vec::with_capacity(items.len());
        for item in &items {
            let bound = match &item.source {
                Source::Sql(sql) => self.bind_expr(&mut frame, sql)?,
                Source::Bound(bound) => bound.clone(),
            };
            bounds.push(bound);
        }
        let named = items.iter().zip(&bounds).filter_map(|(item, bound)| Some((item.name.clone()?, bound.clone())));
        frame.aliases = named.collect();
        frame.clause = "ORDER BY clause";
        let keys = self.bind_order(&mut frame, order, &bounds)?;
        frame.clause = "QUALIFY clause";
        let qualify = select.qualify.as_ref().map(|sql| self.bind_condition(&mut frame, sql)).transpose()?;
        frame.clause = "HAVING clause";
        frame.windows_allowed = false;
        let having = select.having.as_ref().map(|sql| self.bind_condition(&mut frame, sql)).transpose()?;
        if qualify.is_some() && frame.windows.is_empty() {
            let message =
                "The QUALIFY clause requires analytic function to be present in the QUALIFY clause or the SELECT list";
            return Err(SqlError::invalid(message));
        }
        self.assemble(frame, select, Parts { items, bounds, keys, having, qualify })
    }

    /// Conditions without subqueries first: fewer rows for those that have them.
    pub(crate) fn bind_where(&mut self, frame: &mut Frame, condition: &Sql) -> Result<(), SqlError> {
        frame.clause = "WHERE clause";
        let mut conjuncts = Vec::new();
        split_conjuncts(condition, &mut conjuncts);
        let (with, without): (Vec<&Sql>, Vec<&Sql>) = conjuncts.into_iter().partition(|sql| has_subquery(sql));
        for conjunct in without.into_iter().chain(with) {
            let names = super::names_of(&frame.relation.plan);
            let bound = self.bind_condition(frame, conjunct)?;
            let plan = filter(frame.relation.plan.clone(), bound)?;
            frame.relation.plan = project(plan, names.iter().map(|name| column(name)).collect())?;
        }
        Ok(())
    }

    /// A BOOL.
    pub(crate) fn bind_condition(&mut self, frame: &mut Frame, sql: &Sql) -> Result<Expr, SqlError> {
        let bound = self.bind_expr(frame, sql)?;
        if !bound.fits(&Type::Bool) {
            let message = format!("{} should return type BOOL, but returns {}", frame.clause, bound.ty);
            return Err(SqlError::invalid(message).at_span(place(sql)));
        }
        bound.coerce(&Type::Bool)
    }

    /// The SELECT list with its stars expanded.
    fn expand(&mut self, frame: &mut Frame, projection: &[SelectItem]) -> Result<Vec<Item>, SqlError> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(sql) => {
                    items.push(Item { name: implied_name(sql), source: Source::Sql(sql.clone()) });
                }
                SelectItem::ExprWithAlias { expr, alias: name } => {
                    items.push(Item { name: Some(alias(name)?), source: Source::Sql(expr.clone()) });
                }
                SelectItem::Wildcard(options) => {
                    let columns = frame.relation.scope.star();
                    if frame.relation.scope.variables.is_empty() {
                        let error = SqlError::invalid("SELECT * must have a FROM clause");
                        return Err(error.at_span(options.wildcard_token.0.span));
                    }
                    items.extend(star_items(columns, options)?);
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    let sql = match kind {
                        ast::SelectItemQualifiedWildcardKind::Expr(sql) => sql.clone(),
                        ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                            let idents: Option<Vec<_>> = name.0.iter().map(|p| p.as_ident().cloned()).collect();
                            let idents = idents.unwrap_or_default();
                            match idents.as_slice() {
                                [one] => Sql::Identifier(one.clone()),
                                _ => Sql::CompoundIdentifier(idents),
                            }
                        }
                    };
                    let columns = self.star_of(frame, &sql)?;
                    items.extend(star_items(columns, options)?);
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(SqlError::invalid("Syntax error: Unexpected alias list").at_span(place(item)));
                }
            }
        }
        Ok(items)
    }

    /// The columns of `x.*`.
    fn star_of(&mut self, frame: &mut Frame, sql: &Sql) -> Result<Vec<Named>, SqlError> {
        if let Sql::Identifier(ident) = sql {
            let variables = &frame.relation.scope.variables;
            let found =
                variables.iter().find(|v| v.alias.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(&ident.value)));
            if let Some(variable) = found
                && variable.element.as_ref().is_none_or(|(_, ty)| matches!(ty, Type::Struct(_)))
            {
                let mut columns = variable.merged.clone();
                columns.extend(variable.columns.iter().cloned());
                return Ok(columns);
            }
        }
        let bound = self.bind_expr(frame, sql)?;
        let Type::Struct(fields) = &bound.ty else {
            let message = format!("Dot-star is not supported for type {}", bound.ty);
            return Err(SqlError::invalid(message).at_span(place(sql)));
        };
        let fields = fields.iter().enumerate().map(|(i, field)| Named {
            name: field.name.clone(),
            ty: field.ty.clone(),
            expr: super::access::field(bound.expr.clone(), &bound.ty, i),
        });
        Ok(fields.collect())
    }

    fn bind_order(
        &mut self,
        frame: &mut Frame,
        order: &[ast::OrderByExpr],
        bounds: &[Bound],
    ) -> Result<Vec<(Expr, SortKey)>, SqlError> {
        let mut keys = Vec::with_capacity(order.len());
        for item in order {
            let at = place(&item.expr);
            let number = match &item.expr {
                Sql::Value(value) => query::ordinal(&value.value),
                _ => None,
            };
            let bound = match number {
                Some(number) => bounds.get(number.wrapping_sub(1)).cloned().ok_or_else(|| {
                    let message = format!("ORDER BY is out of range: {number}; the SELECT list has {}", bounds.len());
                    SqlError::invalid(message).at_span(at)
                })?,
                None => self.bind_expr(frame, &item.expr)?,
            };
            let key = self.fresh('o');
            let expr = sort_key(bound.expr, &bound.ty).map_err(|e| e.at_span(at))?;
            keys.push((expr, query::sort_key(key, item)));
        }
        Ok(keys)
    }

    /// Puts the bound pieces together.
    fn assemble(&mut self, mut frame: Frame, select: &ast::Select, parts: Parts) -> Result<Output, SqlError> {
        let Parts { items, mut bounds, mut keys, mut having, mut qualify } = parts;
        if frame.grouping.is_some() {
            let regroup = self.aggregate(&mut frame)?;
            for bound in &mut bounds {
                bound.expr = self.regrouped(&regroup, bound.expr.clone(), "SELECT list")?;
            }
            for (expr, _) in &mut keys {
                *expr = self.regrouped(&regroup, expr.clone(), "ORDER BY clause")?;
            }
            having = having.map(|expr| self.regrouped(&regroup, expr, "HAVING clause")).transpose()?;
            qualify = qualify.map(|expr| self.regrouped(&regroup, expr, "QUALIFY clause")).transpose()?;
            self.regroup_windows(&mut frame, &regroup)?;
        } else if having.is_some() {
            return Err(SqlError::invalid("The HAVING clause requires GROUP BY or aggregation to be present"));
        }
        if let Some(condition) = having {
            frame.relation.plan = filter(frame.relation.plan, condition)?;
        }
        self.add_windows(&mut frame)?;
        if let Some(condition) = qualify {
            frame.relation.plan = filter(frame.relation.plan, condition)?;
        }

        let mut columns = Vec::with_capacity(items.len());
        let mut exprs = Vec::with_capacity(items.len() + keys.len());
        let as_struct =
            matches!(select.value_table_mode, Some(ValueTableMode::AsStruct | ValueTableMode::DistinctAsStruct));
        if as_struct {
            let (bound, names) = (as_struct_value(&items, bounds), self.fresh('c'));
            exprs.push(bound.expr.alias(names.as_str()));
            columns.push(OutputColumn { name: None, ty: bound.ty, column: names, kind: Kind::Plain });
        } else {
            for (item, bound) in items.iter().zip(bounds) {
                let column = self.fresh('c');
                if let Some(name) = &item.name {
                    self.user_names.insert(column.clone(), name.clone());
                }
                exprs.push(bound.expr.alias(column.as_str()));
                columns.push(OutputColumn { name: item.name.clone(), ty: bound.ty, column, kind: bound.kind });
            }
        }
        let as_value =
            matches!(select.value_table_mode, Some(ValueTableMode::AsValue | ValueTableMode::DistinctAsValue));
        if as_value && columns.len() != 1 {
            return Err(SqlError::invalid("SELECT AS VALUE query must have exactly one column"));
        }
        let row = frame.relation.lateral.as_ref().map(|lateral| lateral.row.clone());
        let mut plan = frame.relation.plan;
        if is_distinct(select) {
            plan = self.distinct(plan, &columns, exprs, &mut keys, row.as_deref())?;
        } else {
            exprs.extend(row.iter().map(|row| column(row)));
            exprs.extend(keys.iter().map(|(expr, key)| expr.clone().alias(key.column.as_str())));
            plan = project(plan, exprs)?;
        }
        let order = keys.into_iter().map(|(_, key)| key).collect();
        Ok(Output { plan, columns, order, row, is_value: as_struct || as_value })
    }

    fn distinct(
        &mut self,
        plan: datafusion_expr::LogicalPlan,
        columns: &[OutputColumn],
        exprs: Vec<Expr>,
        keys: &mut [(Expr, SortKey)],
        row: Option<&str>,
    ) -> Result<datafusion_expr::LogicalPlan, SqlError> {
        let mut parts = Vec::with_capacity(columns.len());
        let mut distinct = Vec::with_capacity(columns.len());
        for (out, expr) in columns.iter().zip(exprs) {
            if !out.ty.is_groupable() {
                let name = out.name.clone().unwrap_or_default();
                let message = format!("Column {name} of type {} cannot be used in SELECT DISTINCT", out.ty);
                return Err(SqlError::invalid(message));
            }
            let unnamed = expr.unalias();
            parts.push((unnamed.clone(), column(&out.column)));
            distinct.push(group_key(unnamed, &out.ty).alias(out.column.as_str()));
        }
        distinct.extend(row.map(column));
        let plan = distinct_rows(project(plan, distinct)?)?;
        let mut sorted = columns_of(&plan);
        for (expr, key) in keys.iter() {
            let expr = replace(expr.clone(), &parts, &|_| false).map_err(|name| {
                let name = self.user_name(&name);
                SqlError::invalid(format!(
                    "ORDER BY clause expression references column {name} which is not visible after SELECT DISTINCT"
                ))
            })?;
            sorted.push(expr.alias(key.column.as_str()));
        }
        project(plan, sorted)
    }
}

/// The bound pieces of a SELECT.
struct Parts {
    items: Vec<Item>,
    bounds: Vec<Bound>,
    keys: Vec<(Expr, SortKey)>,
    having: Option<Expr>,
    qualify: Option<Expr>,
}

fn is_distinct(select: &ast::Select) -> bool {
    matches!(select.distinct, Some(ast::Distinct::Distinct))
        || matches!(select.value_table_mode, Some(ValueTableMode::DistinctAsStruct | ValueTableMode::DistinctAsValue))
}

fn as_struct_value(items: &[Item], bounds: Vec<Bound>) -> Bound {
    let fields = items
        .iter()
        .zip(&bounds)
        .map(|(item, bound)| StructField { name: item.name.clone().unwrap_or_default(), ty: bound.ty.clone() });
    super::array::struct_of(fields.collect(), bounds.into_iter().map(|b| b.expr).collect())
}

/// The columns of a star with EXCEPT and REPLACE.
fn star_items(columns: Vec<Named>, options: &ast::WildcardAdditionalOptions) -> Result<Vec<Item>, SqlError> {
    let span = options.wildcard_token.0.span;
    if options.opt_ilike.is_some() || options.opt_exclude.is_some() || options.opt_rename.is_some() {
        return Err(SqlError::invalid("Syntax error: Unexpected modifier of *").at_span(span));
    }
    let is = |name: &str, ident: &ast::Ident| name.eq_ignore_ascii_case(&ident.value);
    let except: Vec<&ast::Ident> = options
        .opt_except
        .iter()
        .flat_map(|e| std::iter::once(&e.first_element).chain(&e.additional_elements))
        .collect();
    for ident in &except {
        if !columns.iter().any(|c| is(&c.name, ident)) {
            let message = format!("Column {} in SELECT * EXCEPT list does not exist", ident.value);
            return Err(SqlError::invalid(message).at_span(ident.span));
        }
    }
    let replacements = options.opt_replace.iter().flat_map(|r| &r.items).collect::<Vec<_>>();
    for item in &replacements {
        if !columns.iter().any(|c| is(&c.name, &item.column_name)) {
            let message = format!("Column {} in SELECT * REPLACE list does not exist", item.column_name.value);
            return Err(SqlError::invalid(message).at_span(item.column_name.span));
        }
    }
    let kept = columns.into_iter().filter(|c| !except.iter().any(|ident| is(&c.name, ident)));
    let items = kept.map(|c| match replacements.iter().find(|r| is(&c.name, &r.column_name)) {
        Some(replacement) => Item { name: Some(c.name), source: Source::Sql(replacement.expr.clone()) },
        None => {
            let name = Some(c.name).filter(|name| !name.is_empty());
            Item { name, source: Source::Bound(Bound::new(c.expr, c.ty)) }
        }
    });
    Ok(items.collect())
}

/// The name of a column that was given none: that of the column or field that it is.
fn implied_name(sql: &Sql) -> Option<String> {
    match sql {
        Sql::Identifier(ident) if !ident.value.starts_with('@') => Some(ident.value.clone()),
        Sql::CompoundIdentifier(idents) => idents.last().map(|ident| ident.value.clone()),
        Sql::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(ast::AccessExpr::Dot(Sql::Identifier(ident))) => Some(ident.value.clone()),
            _ => None,
        },
        Sql::Nested(inner) => implied_name(inner),
        _ => None,
    }
}

fn refuse_clauses(select: &ast::Select) -> Result<(), SqlError> {
    let refused = [
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "SELECT INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.exclude.is_some(), "EXCLUDE"),
        (matches!(select.distinct, Some(ast::Distinct::On(_))), "DISTINCT ON"),
    ];
    match refused.iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(SqlError::invalid(format!("Syntax error: Unexpected {what}")).at_span(place(select))),
        None => Ok(()),
    }
}

pub(crate) fn split_conjuncts<'s>(sql: &'s Sql, out: &mut Vec<&'s Sql>) {
    match sql {
        Sql::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            split_conjuncts(left, out);
            split_conjuncts(right, out);
        }
        Sql::Nested(inner) => split_conjuncts(inner, out),
        other => out.push(other),
    }
}

/// Looks for a kind of expression outside subqueries.
struct Search<F> {
    depth: usize,
    found: F,
}

impl<F: Fn(&Sql) -> bool> Visitor for Search<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, sql: &Sql) -> ControlFlow<()> {
        if self.depth == 0 && (self.found)(sql) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Whether an expression outside subqueries is of the kind.
pub(crate) fn contains(sql: &impl Visit, found: impl Fn(&Sql) -> bool) -> bool {
    sql.visit(&mut Search { depth: 0, found }).is_break()
}

pub(crate) fn has_subquery(sql: &Sql) -> bool {
    contains(sql, |sql| {
        matches!(sql, Sql::Subquery(_) | Sql::Exists { .. } | Sql::InSubquery { .. })
            || matches!(sql, Sql::Function(f) if matches!(f.args, ast::FunctionArguments::Subquery(_)))
    })
}
