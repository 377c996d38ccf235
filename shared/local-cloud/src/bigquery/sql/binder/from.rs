//! FROM: what it lists, and UNNEST.

use datafusion_common::{JoinType, NullHandling, UnnestOptions};
use datafusion_expr::{Expr, LogicalPlanBuilder};
use sqlparser::ast::{self, Expr as Sql, Ident, JoinConstraint, JoinOperator, TableFactor, TableWithJoins};

use super::{
    Around, Binder, SqlError, Type, alias, array, built, column, columns_of, extend, place, project,
    query::Output,
    scope::{Lateral, Named, Relation, Scope, Variable},
    select::{Frame, one_row},
    table::relation_of,
};

/// How a factor is joined to what stands left of it.
#[derive(Clone, Copy)]
pub(super) struct Link<'s> {
    pub(super) kind: JoinType,
    pub(super) constraint: &'s JoinConstraint,
    /// A comma or CROSS JOIN.
    pub(super) cross: bool,
}

/// A factor that stands for itself.
pub(super) struct Side {
    pub(super) relation: Relation,
    /// The column with the number of the row around, where the factor is correlated.
    pub(super) row: Option<String>,
}

impl Binder<'_> {
    /// Binds FROM; in a correlated subquery the rows around it come first.
    pub(crate) fn bind_from(
        &mut self,
        from: &[TableWithJoins],
        around: Around,
        lateral: Option<&Lateral>,
    ) -> Result<Relation, SqlError> {
        let mut left = lateral.map(|lateral| Relation {
            plan: lateral.base.clone(),
            scope: Scope { parent: around.clone(), ..Scope::default() },
            lateral: Some(lateral.clone()),
        });
        for item in from {
            left = Some(self.bind_joins(left, item, &around)?);
        }
        let mut relation = match left {
            Some(left) => left,
            None => one_row()?,
        };
        relation.scope.parent = around;
        Ok(relation)
    }

    fn bind_joins(
        &mut self,
        left: Option<Relation>,
        item: &TableWithJoins,
        around: &Around,
    ) -> Result<Relation, SqlError> {
        let cross = Link { kind: JoinType::Inner, constraint: &JoinConstraint::None, cross: true };
        let mut left = self.bind_factor(left, &item.relation, cross, around)?;
        for join in &item.joins {
            let link = |kind, constraint| Link { kind, constraint, cross: false };
            let link = match &join.join_operator {
                JoinOperator::Join(c) | JoinOperator::Inner(c) => link(JoinType::Inner, c),
                JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => link(JoinType::Left, c),
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) => link(JoinType::Right, c),
                JoinOperator::FullOuter(c) => link(JoinType::Full, c),
                JoinOperator::CrossJoin(constraint) => Link { kind: JoinType::Inner, constraint, cross: true },
                _ => return Err(SqlError::invalid("Syntax error: Unexpected kind of JOIN").at_span(place(join))),
            };
            left = self.bind_factor(Some(left), &join.relation, link, around)?;
        }
        Ok(left)
    }

    /// Binds one factor and joins it to the left.
    fn bind_factor(
        &mut self,
        left: Option<Relation>,
        factor: &TableFactor,
        link: Link<'_>,
        around: &Around,
    ) -> Result<Relation, SqlError> {
        match factor {
            TableFactor::UNNEST { alias: name, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                let [sql] = array_exprs.as_slice() else {
                    return Err(SqlError::not_implemented("UNNEST of several arrays"));
                };
                if *with_ordinality {
                    return Err(SqlError::invalid("Syntax error: Unexpected ORDINALITY").at_span(place(sql)));
                }
                let offset = match (with_offset, with_offset_alias) {
                    (false, _) => None,
                    (true, Some(name)) => Some(alias(name)?),
                    (true, None) => Some("offset".to_owned()),
                };
                let name = name.as_ref().map(|a| alias(&a.name)).transpose()?;
                self.bind_unnest(left, sql, name, offset, link, around)
            }
            TableFactor::Table { name, alias: table_alias, .. } if left.is_some() => {
                let idents: Vec<Ident> = name.0.iter().filter_map(|p| p.as_ident().cloned()).collect();
                let is_path = idents.len() > 1
                    && left.as_ref().is_some_and(|left| {
                        let is =
                            |v: &Variable| v.alias.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(&idents[0].value));
                        left.scope.variables.iter().any(is)
                    });
                if !is_path {
                    return self.bind_side(left, factor, link, around);
                }
                let implied = idents.last().map(|ident| ident.value.clone());
                let name = table_alias.as_ref().map(|a| alias(&a.name)).transpose()?.or(implied);
                self.bind_unnest(left, &Sql::CompoundIdentifier(idents), name, None, link, around)
            }
            _ => self.bind_side(left, factor, link, around),
        }
    }

    fn bind_side(
        &mut self,
        left: Option<Relation>,
        factor: &TableFactor,
        link: Link<'_>,
        around: &Around,
    ) -> Result<Relation, SqlError> {
        let lateral = left.as_ref().and_then(|left| left.lateral.clone());
        let right = self.bind_table(factor, around, lateral.as_ref())?;
        match left {
            None => Ok(right.relation),
            Some(left) => self.join(left, right, link, around),
        }
    }

    fn bind_table(
        &mut self,
        factor: &TableFactor,
        around: &Around,
        lateral: Option<&Lateral>,
    ) -> Result<Side, SqlError> {
        match factor {
            TableFactor::Table { name, alias: table_alias, args, version, sample, with_hints, partitions, .. } => {
                let at = place(name);
                let refuse = |what: &str| Err(SqlError::not_implemented(what).at_span(at));
                if args.is_some() {
                    return refuse(&format!("Table function {name}"));
                }
                if version.is_some() {
                    return refuse("FOR SYSTEM_TIME AS OF");
                }
                if sample.is_some() {
                    return refuse("TABLESAMPLE");
                }
                if !with_hints.is_empty() || !partitions.is_empty() {
                    return Err(SqlError::invalid("Syntax error: Unexpected table hint").at_span(at));
                }
                let parts: Option<Vec<String>> = name.0.iter().map(|p| p.as_ident().map(|i| i.value.clone())).collect();
                let parts =
                    parts.ok_or_else(|| SqlError::invalid(format!("Invalid table name: {name}")).at_span(at))?;
                let named = match table_alias {
                    Some(table_alias) => table_name(table_alias)?,
                    None => parts.last().cloned().unwrap_or_default(),
                };
                let relation = self.named_table(&parts, &named, at)?;
                Ok(Side { relation, row: None })
            }
            TableFactor::Derived { subquery, alias: table_alias, sample, .. } => {
                if sample.is_some() {
                    return Err(SqlError::not_implemented("TABLESAMPLE"));
                }
                let named = table_alias.as_ref().map(table_name).transpose()?;
                let output = self.bind_derived(subquery, around, lateral)?;
                let row = output.row.clone();
                Ok(Side { relation: relation_of(output, named), row })
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                let relation = self.bind_joins(None, table_with_joins, &Scope::uncarried(around))?;
                Ok(Side { relation, row: None })
            }
            TableFactor::UNNEST { .. } => {
                let cross = Link { kind: JoinType::Inner, constraint: &JoinConstraint::None, cross: true };
                let relation = self.bind_factor(None, factor, cross, &Scope::uncarried(around))?;
                Ok(Side { relation, row: None })
            }
            TableFactor::Pivot { .. } => Err(SqlError::not_implemented("PIVOT").at_span(place(factor))),
            TableFactor::Unpivot { .. } => Err(SqlError::not_implemented("UNPIVOT").at_span(place(factor))),
            TableFactor::MatchRecognize { .. } => {
                Err(SqlError::not_implemented("MATCH_RECOGNIZE").at_span(place(factor)))
            }
            TableFactor::Function { name, .. } => {
                Err(SqlError::not_implemented(format_args!("Table function {name}")).at_span(place(name)))
            }
            other => Err(SqlError::invalid(format!("Syntax error: Unexpected table expression: {other}"))),
        }
    }

    /// A subquery of FROM; it is planned over the rows around it only where it uses them.
    fn bind_derived(
        &mut self,
        subquery: &ast::Query,
        around: &Around,
        lateral: Option<&Lateral>,
    ) -> Result<Output, SqlError> {
        let before = self.correlated;
        self.correlated = false;
        let closed = self.bind_query(subquery, Scope::uncarried(around), None);
        let correlated = std::mem::replace(&mut self.correlated, before);
        match (closed, lateral) {
            (Err(_), Some(lateral)) if correlated => {
                let output = self.bind_query(subquery, around.clone(), Some(lateral))?;
                self.instance(&output)
            }
            (Err(error), _) => {
                self.correlated |= correlated;
                Err(error)
            }
            (Ok(output), _) => self.instance(&output),
        }
    }

    /// UNNEST of an array that may be made of what stands left of it.
    fn bind_unnest(
        &mut self,
        left: Option<Relation>,
        sql: &Sql,
        name: Option<String>,
        offset: Option<String>,
        link: Link<'_>,
        around: &Around,
    ) -> Result<Relation, SqlError> {
        let at = place(sql);
        let mut left = match left {
            Some(left) => left,
            None => one_row()?,
        };
        let outer = match link.kind {
            JoinType::Inner => false,
            JoinType::Left => true,
            _ => return Err(SqlError::not_implemented("RIGHT or FULL JOIN of UNNEST").at_span(at)),
        };
        let condition = match link.constraint {
            JoinConstraint::None => None,
            JoinConstraint::On(Sql::Value(value)) if value.value == ast::Value::Boolean(true) => None,
            JoinConstraint::On(sql) if !outer => Some(sql),
            JoinConstraint::On(_) => {
                return Err(SqlError::not_implemented("LEFT JOIN of UNNEST with a condition").at_span(at));
            }
            _ => return Err(SqlError::not_implemented("JOIN of UNNEST with USING").at_span(at)),
        };
        left.scope.parent.clone_from(around);
        let mut frame = Frame::new(left);
        frame.clause = "UNNEST";
        let bound = self.bind_expr(&mut frame, sql)?;
        let Type::Array(element) = bound.ty.clone() else {
            let message =
                format!("Values referenced in UNNEST must be arrays. UNNEST contains expression of type {}", bound.ty);
            return Err(SqlError::invalid(message).at_span(at));
        };
        let mut relation = frame.relation;
        let before = columns_of(&relation.plan);
        let item = self.fresh('u');
        let (list, ty) = match &offset {
            None => (bound.expr, element.as_ref().clone()),
            Some(_) => array::with_offsets(bound),
        };
        let plan = extend(relation.plan, vec![list.alias(item.as_str())])?;
        let handling = if outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
        let options = UnnestOptions::new().with_null_handling(handling);
        let plan = built(LogicalPlanBuilder::from(plan).unnest_column_with_options(item.as_str(), options))?;
        let (value, number) = (self.fresh('c'), self.fresh('c'));
        let mut exprs = before;
        match &offset {
            None => exprs.push(column(&item).alias(value.as_str())),
            Some(_) => {
                exprs.push(super::access::field(column(&item), &ty, 0).alias(value.as_str()));
                exprs.push(super::access::field(column(&item), &ty, 1).alias(number.as_str()));
            }
        }
        relation.plan = project(plan, exprs)?;
        if let Some(name) = &name {
            self.user_names.insert(value.clone(), name.clone());
        }
        relation.scope.variables.push(element_variable(name, column(&value), &element));
        if let Some(offset) = offset {
            relation.scope.variables.push(element_variable(Some(offset), column(&number), &Type::Int64));
        }
        if let Some(sql) = condition {
            let mut frame = Frame::new(relation);
            self.bind_where(&mut frame, sql)?;
            relation = frame.relation;
        }
        Ok(relation)
    }
}

/// A range variable whose rows are values.
pub(super) fn element_variable(alias: Option<String>, expr: Expr, ty: &Type) -> Variable {
    let columns = match ty {
        Type::Struct(fields) => fields
            .iter()
            .enumerate()
            .map(|(i, f)| Named {
                name: f.name.clone(),
                ty: f.ty.clone(),
                expr: super::access::field(expr.clone(), ty, i),
            })
            .collect(),
        _ => vec![Named { name: alias.clone().unwrap_or_default(), ty: ty.clone(), expr: expr.clone() }],
    };
    Variable { alias, columns, merged: Vec::new(), element: Some((expr, ty.clone())) }
}

fn table_name(table_alias: &ast::TableAlias) -> Result<String, SqlError> {
    if !table_alias.columns.is_empty() {
        let error = SqlError::invalid("Syntax error: Unexpected column list after a table alias");
        return Err(error.at_span(table_alias.name.span));
    }
    alias(&table_alias.name)
}
