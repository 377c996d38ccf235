//! JOIN with ON and USING.

use datafusion_common::JoinType;
use datafusion_expr::{Expr, LogicalPlanBuilder, when};
use sqlparser::ast::{Ident, JoinConstraint};

use super::{
    Around, Binder, Bound, SqlError, Type, built, column,
    from::{Link, Side},
    of_datafusion,
    scope::{Named, Relation, Scope, Variable},
    select::{Frame, has_subquery},
};

impl Binder<'_> {
    pub(super) fn join(
        &mut self,
        left: Relation,
        right: Side,
        link: Link<'_>,
        around: &Around,
    ) -> Result<Relation, SqlError> {
        let Side { relation: right, row } = right;
        for variable in &right.scope.variables {
            let same = |v: &&Variable| v.alias.is_some() && v.alias == variable.alias;
            if let Some(Variable { alias: Some(name), .. }) = left.scope.variables.iter().find(same) {
                return Err(SqlError::invalid(format!("Duplicate table alias {name} in the same FROM clause")));
            }
        }
        let (left_plan, right_plan, lateral) = (left.plan, right.plan, left.lateral);
        if lateral.is_some() && matches!(link.kind, JoinType::Right | JoinType::Full) {
            return Err(SqlError::not_implemented("RIGHT or FULL JOIN in a correlated subquery"));
        }
        let mut scope = Scope { parent: around.clone(), ..Scope::default() };
        scope.variables = left.scope.variables;
        scope.using = left.scope.using;
        let mut condition = Vec::new();
        if let (Some(row), Some(lateral)) = (&row, &lateral) {
            condition.push(column(&lateral.row).eq(column(row)));
        }
        let mut later = None;
        match link.constraint {
            JoinConstraint::Using(names) => {
                let mut other = Scope { variables: right.scope.variables, using: right.scope.using, parent: None };
                for name in names {
                    let Some(ident) = name.0.last().and_then(|p| p.as_ident()) else { continue };
                    condition.push(use_column(&mut scope, &mut other, ident, link.kind)?);
                }
                let others = scope.using.len().saturating_sub(names.len());
                scope.using.rotate_left(others);
                scope.using.extend(other.using);
                scope.variables.extend(other.variables);
            }
            JoinConstraint::On(sql) => {
                scope.variables.extend(right.scope.variables);
                scope.using.extend(right.scope.using);
                if has_subquery(sql) && link.kind == JoinType::Inner {
                    later = Some(sql);
                } else {
                    let rows = Relation { plan: left_plan.clone(), scope: scope.clone(), lateral: None };
                    let mut frame = Frame::new(rows);
                    frame.clause = "JOIN ON clause";
                    frame.fixed = true;
                    condition.push(self.bind_condition(&mut frame, sql)?);
                }
            }
            JoinConstraint::None => {
                if !link.cross {
                    return Err(SqlError::invalid(
                        "Syntax error: JOIN must have an immediately following ON or USING clause",
                    ));
                }
                scope.variables.extend(right.scope.variables);
                scope.using.extend(right.scope.using);
            }
            JoinConstraint::Natural => return Err(SqlError::invalid("Syntax error: Unexpected keyword NATURAL")),
        }
        let builder = LogicalPlanBuilder::from(left_plan);
        let plan = match condition.is_empty() {
            true => built(builder.cross_join(right_plan))?,
            false => built(builder.join_on(right_plan, link.kind, condition))?,
        };
        let mut relation = Relation { plan, scope, lateral };
        if let Some(sql) = later {
            let mut frame = Frame::new(relation);
            self.bind_where(&mut frame, sql)?;
            relation = frame.relation;
        }
        Ok(relation)
    }
}

/// Merges the column that USING names on both sides; the condition that they are equal.
fn use_column(left: &mut Scope, right: &mut Scope, ident: &Ident, kind: JoinType) -> Result<Expr, SqlError> {
    let l = take_column(left, ident, "left")?;
    let r = take_column(right, ident, "right")?;
    let (lb, rb) = (Bound::new(l.expr, l.ty.clone()), Bound::new(r.expr, r.ty.clone()));
    let Some(ty) = l.ty.supertype(&r.ty).filter(Type::is_orderable) else {
        let message = format!("Column {} in USING has incompatible types on either side of the join", ident.value);
        return Err(SqlError::invalid(message).at_span(ident.span));
    };
    let (le, re) = (lb.coerce(&ty)?, rb.coerce(&ty)?);
    let condition = super::operator::equal(le.clone(), re.clone(), &ty);
    let expr = match kind {
        JoinType::Right => re,
        JoinType::Full => when(le.clone().is_not_null(), le).otherwise(re).map_err(of_datafusion)?,
        _ => le,
    };
    left.using.push(Named { name: l.name, ty, expr });
    Ok(condition)
}

/// Takes a column of this name out of the ones that are spoken of without an alias.
fn take_column(scope: &mut Scope, ident: &Ident, side: &str) -> Result<Named, SqlError> {
    let is = |n: &Named| n.name.eq_ignore_ascii_case(&ident.value);
    if let Some(index) = scope.using.iter().position(is) {
        return Ok(scope.using.remove(index));
    }
    let holders: Vec<usize> =
        (0..scope.variables.len()).filter(|i| scope.variables[*i].columns.iter().any(is)).collect();
    let [holder] = holders.as_slice() else {
        let what = if holders.is_empty() { "not found" } else { "ambiguous" };
        let message = format!("Column {} in USING clause is {what} on {side} side of join", ident.value);
        return Err(SqlError::invalid(message).at_span(ident.span));
    };
    let variable = &mut scope.variables[*holder];
    let index = variable.columns.iter().position(is).unwrap_or_default();
    let taken = variable.columns.remove(index);
    variable.merged.push(taken.clone());
    Ok(taken)
}
