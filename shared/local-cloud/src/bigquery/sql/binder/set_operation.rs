//! UNION, EXCEPT, INTERSECT.

use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, expr::AggregateFunction, lit};
use datafusion_functions_aggregate::sum::sum_udaf;
use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier};

use super::{
    Around, Binder, Bound, Kind, SqlError, built, column, extend, filter,
    operator::group_key,
    place, project,
    query::{Output, OutputColumn},
    scope::Lateral,
};

impl Binder<'_> {
    pub(crate) fn bind_set_operation(
        &mut self,
        left: &SetExpr,
        operator: SetOperator,
        quantifier: SetQuantifier,
        right: &SetExpr,
        around: &Around,
        lateral: Option<&Lateral>,
    ) -> Result<Output, SqlError> {
        let at = place(right);
        let distinct = match (operator, quantifier) {
            (SetOperator::Union, SetQuantifier::All) => false,
            (SetOperator::Union | SetOperator::Except | SetOperator::Intersect, SetQuantifier::Distinct) => true,
            (SetOperator::Union | SetOperator::Except | SetOperator::Intersect, SetQuantifier::None) => {
                let message = format!("Syntax error: Expected keyword ALL or keyword DISTINCT after {operator}");
                return Err(SqlError::invalid(message).at_span(at));
            }
            (SetOperator::Except | SetOperator::Intersect, SetQuantifier::All) => {
                return Err(SqlError::invalid(format!("{operator} ALL is not supported")).at_span(at));
            }
            _ => return Err(SqlError::not_implemented(format_args!("{operator} {quantifier}")).at_span(at)),
        };
        let left = self.bind_set(left, around.clone(), lateral)?;
        let right = self.bind_set(right, around.clone(), lateral)?;
        if left.columns.len() != right.columns.len() {
            let message = format!(
                "Queries in {operator} have mismatched column count; query 1 has {} columns, query 2 has {} columns",
                left.columns.len(),
                right.columns.len()
            );
            return Err(SqlError::invalid(message).at_span(at));
        }
        let mut columns = Vec::with_capacity(left.columns.len());
        for (i, (l, r)) in left.columns.iter().zip(&right.columns).enumerate() {
            let (lb, rb) = (bound(l), bound(r));
            let Some(ty) = Bound::supertype([&lb, &rb]) else {
                let message = format!("Column {} in {operator} has incompatible types: {}, {}", i + 1, l.ty, r.ty);
                return Err(SqlError::invalid(message).at_span(at));
            };
            if distinct && !ty.is_groupable() {
                let message = format!(
                    "Column {} in {operator} DISTINCT has type that does not support set operation comparisons: {ty}",
                    i + 1
                );
                return Err(SqlError::invalid(message).at_span(at));
            }
            let column = self.fresh('c');
            if let Some(name) = &l.name {
                self.user_names.insert(column.clone(), name.clone());
            }
            let kind = if (&l.kind, &r.kind) == (&Kind::Null, &Kind::Null) { Kind::Null } else { Kind::Plain };
            columns.push(OutputColumn { name: l.name.clone(), ty, column, kind });
        }
        let row = lateral.map(|_| self.fresh('r'));
        let left = side(left, &columns, row.as_deref(), distinct)?;
        let right = side(right, &columns, row.as_deref(), distinct)?;
        let plan = match (operator, distinct) {
            (SetOperator::Union, false) => union(left, right)?,
            (SetOperator::Union, true) => distinct_rows(union(left, right)?)?,
            (operator, _) => self.compared(left, right, operator == SetOperator::Intersect)?,
        };
        Ok(Output { plan, columns, order: Vec::new(), row, is_value: false })
    }

    /// The distinct rows of the left that are, or are not, on the right, NULLs being the same.
    fn compared(&mut self, left: LogicalPlan, right: LogicalPlan, both: bool) -> Result<LogicalPlan, SqlError> {
        let names = super::names_of(&left);
        let (l, r) = (self.fresh('l'), self.fresh('l'));
        let marked =
            |plan, on_left: i64| extend(plan, vec![lit(on_left).alias(l.as_str()), lit(1 - on_left).alias(r.as_str())]);
        let all = union(marked(left, 1)?, marked(right, 0)?)?;
        let sum = |name: &str| {
            Expr::AggregateFunction(AggregateFunction::new_udf(
                sum_udaf(),
                vec![column(name)],
                false,
                None,
                Vec::new(),
                None,
            ))
        };
        let keys: Vec<Expr> = names.iter().map(|name| column(name)).collect();
        let grouped = built(LogicalPlanBuilder::from(all).aggregate(keys.clone(), vec![sum(&l), sum(&r)]))?;
        let fields: Vec<Expr> = grouped.schema().columns().into_iter().map(Expr::Column).collect();
        let (on_left, on_right) = (fields[names.len()].clone(), fields[names.len() + 1].clone());
        let wanted = if both { on_right.gt(lit(0_i64)) } else { on_right.eq(lit(0_i64)) };
        project(filter(grouped, on_left.gt(lit(0_i64)).and(wanted))?, keys)
    }
}

fn bound(output: &OutputColumn) -> Bound {
    Bound { expr: column(&output.column), ty: output.ty.clone(), kind: output.kind.clone() }
}

/// One side under the names and types of the result.
fn side(output: Output, columns: &[OutputColumn], row: Option<&str>, distinct: bool) -> Result<LogicalPlan, SqlError> {
    let mut exprs = Vec::with_capacity(columns.len() + 1);
    for (from, to) in output.columns.iter().zip(columns) {
        let mut expr = bound(from).coerce(&to.ty)?;
        if distinct {
            expr = group_key(expr, &to.ty);
        }
        exprs.push(expr.alias(to.column.as_str()));
    }
    if let (Some(from), Some(to)) = (&output.row, row) {
        exprs.push(column(from).alias(to));
    }
    project(output.plan, exprs)
}

fn union(left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let names = super::names_of(&left);
    let plan = built(LogicalPlanBuilder::from(left).union(right))?;
    let fields = plan.schema().columns().into_iter().zip(names).map(|(c, name)| Expr::Column(c).alias(name));
    let fields = fields.collect();
    project(plan, fields)
}

/// The distinct rows.
pub(crate) fn distinct_rows(plan: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let keys = super::columns_of(&plan);
    built(LogicalPlanBuilder::from(plan).aggregate(keys, Vec::<Expr>::new()))
}
