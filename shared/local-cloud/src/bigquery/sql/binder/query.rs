//! Queries: WITH, the body, ORDER BY and LIMIT.

use std::ops::ControlFlow;

use datafusion_common::Column;
use datafusion_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowFunctionDefinition,
    expr::{Cast, WindowFunction},
};
use datafusion_functions_window::row_number::row_number_udwf;
use hashbrown::HashMap;
use sqlparser::ast::{self, Expr as Sql, SetExpr};

use super::{
    Around, Binder, Kind, SqlError, Type, Value, alias, built, column, extend, filter, names_of, place, project,
    scope::Lateral,
};

/// A bound query.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The plan: the columns, the sort keys, and the number of the row around where there is one.
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<OutputColumn>,
    /// The order that was asked for; the plan is in no order.
    pub(crate) order: Vec<SortKey>,
    /// The column with the number of the row around the subquery.
    pub(crate) row: Option<String>,
    /// Each row is one value: SELECT AS STRUCT, SELECT AS VALUE.
    pub(crate) is_value: bool,
}

/// A column of a query's result.
#[derive(Debug, Clone)]
pub(crate) struct OutputColumn {
    /// None: the query gave it none.
    pub(crate) name: Option<String>,
    pub(crate) ty: Type,
    pub(crate) column: String,
    /// What a set operation may do with it because it is a literal.
    pub(crate) kind: Kind,
}

/// A column to sort by.
#[derive(Debug, Clone)]
pub(crate) struct SortKey {
    pub(crate) column: String,
    pub(crate) ascending: bool,
    pub(crate) nulls_first: bool,
}

impl SortKey {
    pub(crate) fn sort(&self) -> SortExpr {
        SortExpr::new(column(&self.column), self.ascending, self.nulls_first)
    }
}

/// How often each name is written as a table.
pub(crate) fn mentions(statement: &ast::Statement) -> HashMap<String, usize> {
    let mut mentions = HashMap::new();
    let _ = ast::visit_relations(statement, |name| {
        if let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
        {
            *mentions.entry(ident.value.to_lowercase()).or_insert(0) += 1;
        }
        ControlFlow::<()>::Continue(())
    });
    mentions
}

impl Binder<'_> {
    /// Binds a query. `around` are the names around a subquery, `lateral` the rows around it where it is correlated.
    pub(crate) fn bind_query(
        &mut self,
        query: &ast::Query,
        around: Around,
        lateral: Option<&Lateral>,
    ) -> Result<Output, SqlError> {
        let refuse = |what: &str| Err(SqlError::not_implemented(what));
        if !query.pipe_operators.is_empty() {
            return refuse("Pipe syntax");
        }
        if query.fetch.is_some() || !query.locks.is_empty() || query.for_clause.is_some() {
            return Err(SqlError::invalid("Syntax error: Unexpected clause after the query"));
        }
        let Some(with) = &query.with else { return self.bind_body(query, around, lateral) };
        if with.recursive {
            return refuse("WITH RECURSIVE");
        }
        self.ctes.push(HashMap::new());
        let output = self.bind_ctes(with).and_then(|()| self.bind_body(query, around, lateral));
        self.ctes.pop();
        output
    }

    fn bind_ctes(&mut self, with: &ast::With) -> Result<(), SqlError> {
        for cte in &with.cte_tables {
            let name = alias(&cte.alias.name)?.to_lowercase();
            let at = cte.alias.name.span;
            if !cte.alias.columns.is_empty() {
                return Err(SqlError::not_implemented("A column list in WITH").at_span(at));
            }
            let mut output = self.bind_query(&cte.query, None, None)?;
            if self.mentions.get(&name).is_some_and(|mentions| *mentions > 1) {
                let names = names_of(&output.plan);
                output.plan = self.engine.materialise(&output.plan)?.scan(&names)?;
            }
            let Some(frame) = self.ctes.last_mut() else { continue };
            if frame.insert(name, output).is_some() {
                return Err(SqlError::invalid(format!("Duplicate alias {} for WITH subquery", cte.alias.name.value))
                    .at_span(at));
            }
        }
        Ok(())
    }

    fn bind_body(&mut self, query: &ast::Query, around: Around, lateral: Option<&Lateral>) -> Result<Output, SqlError> {
        let order = match &query.order_by {
            None => &[],
            Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(exprs), interpolate: None }) => exprs.as_slice(),
            Some(_) => return Err(SqlError::not_implemented("ORDER BY ALL")),
        };
        let output = match query.body.as_ref() {
            SetExpr::Select(select) => self.bind_select(select, order, around, lateral)?,
            body => {
                let mut output = self.bind_set(body, around, lateral)?;
                self.order_by_outputs(&mut output, order)?;
                output
            }
        };
        match &query.limit_clause {
            Some(limit) => self.limited(output, limit),
            None => Ok(output),
        }
    }

    /// A query whose body is no SELECT: parentheses, or a set operation.
    pub(crate) fn bind_set(
        &mut self,
        body: &SetExpr,
        around: Around,
        lateral: Option<&Lateral>,
    ) -> Result<Output, SqlError> {
        match body {
            SetExpr::Select(select) => self.bind_select(select, &[], around, lateral),
            SetExpr::Query(query) => self.bind_query(query, around, lateral),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.bind_set_operation(left, *op, *set_quantifier, right, &around, lateral)
            }
            other => Err(SqlError::invalid("Syntax error: Expected a query").at_span(place(other))),
        }
    }

    /// ORDER BY after a set operation: result columns by name or number.
    fn order_by_outputs(&mut self, output: &mut Output, order: &[ast::OrderByExpr]) -> Result<(), SqlError> {
        for item in order {
            let at = place(&item.expr);
            let found = match &item.expr {
                Sql::Identifier(ident) => output
                    .columns
                    .iter()
                    .find(|c| c.name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(&ident.value))),
                Sql::Value(value) => ordinal(&value.value).and_then(|i| output.columns.get(i.wrapping_sub(1))),
                _ => return Err(SqlError::not_implemented("ORDER BY an expression after a set operation").at_span(at)),
            };
            let Some(found) = found.cloned() else {
                return Err(SqlError::invalid(format!("Unrecognized name: {}", item.expr)).at_span(at));
            };
            let key = self.fresh('o');
            let expr = super::operator::sort_key(column(&found.column), &found.ty).map_err(|e| e.at_span(at))?;
            output.plan = extend(output.plan.clone(), vec![expr.alias(key.as_str())])?;
            output.order.push(sort_key(key, item));
        }
        Ok(())
    }

    /// Sorts the plan, where an order was asked for.
    pub(crate) fn sorted(&mut self, mut output: Output) -> Result<Output, SqlError> {
        if !output.order.is_empty() {
            let sort: Vec<_> = output.order.iter().map(SortKey::sort).collect();
            output.plan = built(LogicalPlanBuilder::from(output.plan).sort(sort))?;
        }
        Ok(output)
    }

    fn limited(&mut self, output: Output, limit: &ast::LimitClause) -> Result<Output, SqlError> {
        let ast::LimitClause::LimitOffset { limit, offset, limit_by } = limit else {
            return Err(SqlError::invalid("Syntax error: Unexpected \",\" in LIMIT"));
        };
        if !limit_by.is_empty() {
            return Err(SqlError::invalid("Syntax error: Unexpected BY in LIMIT"));
        }
        let fetch = limit.as_ref().map(|e| self.row_count(e)).transpose()?;
        let skip = offset.as_ref().map(|o| self.row_count(&o.value)).transpose()?.unwrap_or(0);
        let Some(row) = output.row.clone() else {
            let mut output = self.sorted(output)?;
            output.plan = built(LogicalPlanBuilder::from(output.plan).limit(skip, fetch))?;
            return Ok(output);
        };
        let mut output = output;
        let order = output.order.iter().map(SortKey::sort).collect();
        let (plan, number) = self.numbered(output.plan, vec![column(&row)], order)?;
        let bound = |n: usize| datafusion_expr::lit(i64::try_from(n).unwrap_or(i64::MAX));
        let mut condition = column(&number).gt(bound(skip));
        if let Some(fetch) = fetch {
            condition = condition.and(column(&number).lt_eq(bound(skip.saturating_add(fetch))));
        }
        output.plan = filter(plan, condition)?;
        Ok(output)
    }

    /// The plan with one more column: the number of the row in its partition, from 1.
    pub(crate) fn numbered(
        &mut self,
        plan: LogicalPlan,
        partition_by: Vec<Expr>,
        order_by: Vec<SortExpr>,
    ) -> Result<(LogicalPlan, String), SqlError> {
        let names = names_of(&plan);
        let mut window = WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new());
        window.params.partition_by = partition_by;
        window.params.order_by = order_by;
        let plan = built(LogicalPlanBuilder::from(plan).window(vec![Expr::WindowFunction(Box::new(window))]))?;
        let number = self.fresh('r');
        let last = Expr::Column(Column::from(plan.schema().qualified_field(names.len())));
        let last = Expr::Cast(Cast::new(Box::new(last), Type::Int64.arrow())).alias(number.as_str());
        let mut exprs: Vec<Expr> = names.iter().map(|name| column(name)).collect();
        exprs.push(last);
        Ok((project(plan, exprs)?, number))
    }

    /// The number of LIMIT or OFFSET: a literal or a parameter.
    pub(crate) fn row_count(&mut self, expr: &Sql) -> Result<usize, SqlError> {
        let bad = || SqlError::invalid("LIMIT expects an integer literal or parameter").at_span(place(expr));
        match self.constant(expr)? {
            Some((Value::Int(count), Type::Int64)) => usize::try_from(count).map_err(|_| {
                SqlError::invalid(format!("Negative value in LIMIT or OFFSET: {count}")).at_span(place(expr))
            }),
            _ => Err(bad()),
        }
    }

    /// The value of an expression of literals and parameters alone.
    pub(crate) fn constant(&mut self, expr: &Sql) -> Result<Option<(Value<'static>, Type)>, SqlError> {
        let mut frame = super::select::Frame::constant()?;
        let bound = self.bind_expr(&mut frame, expr)?;
        Ok(bound.constant().map(|value| (value, bound.ty)))
    }

    /// The query's result under names that no other column has.
    pub(crate) fn instance(&mut self, output: &Output) -> Result<Output, SqlError> {
        let mut copy = output.clone();
        let mut exprs = Vec::new();
        for out in &mut copy.columns {
            let name = self.fresh('c');
            exprs.push(column(&out.column).alias(name.as_str()));
            if let Some(user) = &out.name {
                self.user_names.insert(name.clone(), user.clone());
            }
            out.column = name;
        }
        if let Some(row) = &mut copy.row {
            let name = self.fresh('r');
            exprs.push(column(row).alias(name.as_str()));
            *row = name;
        }
        copy.order.clear();
        copy.plan = project(copy.plan, exprs)?;
        Ok(copy)
    }
}

/// The sort key of an item of ORDER BY: NULLs come first going up, last going down.
pub(crate) fn sort_key(column: String, item: &ast::OrderByExpr) -> SortKey {
    let ascending = item.options.asc.unwrap_or(true);
    SortKey { column, ascending, nulls_first: item.options.nulls_first.unwrap_or(ascending) }
}

/// The number of `ORDER BY 2`.
pub(crate) fn ordinal(value: &ast::Value) -> Option<usize> {
    match value {
        ast::Value::Number(digits, _) => digits.parse().ok(),
        _ => None,
    }
}
