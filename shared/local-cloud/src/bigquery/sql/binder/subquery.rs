//! Subqueries in expressions. One that uses nothing around it is run at once and becomes a literal; a correlated one is
//! planned over the rows around it and becomes a column of theirs.

use std::sync::Arc;

use datafusion_common::JoinType;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit, when};
use hashbrown::HashMap;
use sqlparser::ast;

use super::{
    Binder, Bound, SqlError, Type, Value, built, column, literal, names_of, of_datafusion, operator, place, project,
    query::{Output, SortKey},
    scope::{Lateral, Parent, Relation},
    select::Frame,
};
use crate::bigquery::sql::{collect::Collect, engine::Source, function, value::read};

/// What is asked of a subquery.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// Its one value.
    Scalar,
    /// Whether it has rows.
    Exists,
    /// Whether the value is among its rows.
    In(Bound),
    /// All its values.
    Array,
}

/// A correlated subquery over rows that are not made yet.
#[derive(Debug, Clone)]
pub(crate) struct Deferred {
    query: ast::Query,
    question: Question,
    column: String,
}

impl Binder<'_> {
    pub(crate) fn bind_subquery(
        &mut self,
        frame: &mut Frame,
        query: &ast::Query,
        question: Question,
    ) -> Result<Bound, SqlError> {
        let before = std::mem::replace(&mut self.correlated, false);
        let probe = Arc::new(Parent { scope: frame.relation.scope.clone(), carried: false });
        let closed = self.bind_query(query, Some(probe), None);
        let correlated = std::mem::replace(&mut self.correlated, before);
        match closed {
            Ok(output) => self.answered(output, question),
            Err(error) if !correlated => Err(error),
            Err(_) if frame.fixed => {
                Err(SqlError::not_implemented(format_args!("A correlated subquery in the {}", frame.clause))
                    .at_span(place(query)))
            }
            Err(_) if frame.grouping.is_some() && frame.aggregates_allowed => self.defer(frame, query, question),
            Err(_) => {
                let name = self.fresh('s');
                let ty = self.apply(&mut frame.relation, query, question, &name)?;
                Ok(Bound::new(column(&name), ty))
            }
        }
    }

    /// The value of a subquery that is run at once.
    fn answered(&mut self, output: Output, question: Question) -> Result<Bound, SqlError> {
        if let Question::Exists = question {
            let plan = built(LogicalPlanBuilder::from(output.plan).limit(0, Some(1)))?;
            let rows: usize = self.engine.run(&plan)?.iter().map(|b| b.num_rows()).sum();
            return Bound::literal(Value::Bool(rows > 0), Type::Bool);
        }
        let ty = one_type(&output)?;
        let output = self.sorted(output)?;
        let plan = project(output.plan, vec![column(&output.columns[0].column)])?;
        let mut values = Vec::new();
        for batch in self.engine.run(&plan)? {
            let array = batch.column(0);
            values.extend((0..array.len()).map(|row| read(array.as_ref(), &ty, row).into_owned()));
        }
        match question {
            Question::Scalar => match values.len() {
                0 => Bound::literal(Value::Null, ty),
                1 => Bound::literal(values.remove(0), ty),
                _ => Err(SqlError::invalid("Scalar subquery produced more than one element")),
            },
            Question::Array => Bound::literal(Value::Array(values), array_type(&ty)?),
            Question::In(bound) => {
                let array = Bound::literal(Value::Array(values), ty.array())?;
                Ok(Bound::new(function::array::contains(bound, array)?, Type::Bool))
            }
            Question::Exists => Err(SqlError::internal("EXISTS is answered above")),
        }
    }

    /// Over groups: the rows are not there yet, only their names and types.
    fn defer(&mut self, frame: &mut Frame, query: &ast::Query, question: Question) -> Result<Bound, SqlError> {
        let name = self.fresh('s');
        let plan = &frame.relation.plan;
        let fields: Vec<_> = plan.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let empty = Source { schema, batches: Vec::new() }.scan(&names_of(plan))?;
        let mut rows = Relation { plan: empty, ..frame.relation.clone() };
        let ty = self.apply(&mut rows, query, question.clone(), &name)?;
        frame.deferred.push(Deferred { query: query.clone(), question, column: name.clone() });
        Ok(Bound::new(column(&name), ty))
    }

    /// The subqueries over groups, now that the groups are there.
    pub(crate) fn apply_deferred(&mut self, frame: &mut Frame) -> Result<(), SqlError> {
        for Deferred { query, question, column } in std::mem::take(&mut frame.deferred) {
            if let Question::In(_) = question {
                return Err(SqlError::not_implemented("A correlated IN subquery over groups"));
            }
            self.apply(&mut frame.relation, &query, question, &column)?;
        }
        Ok(())
    }

    /// Adds the answer of a correlated subquery to the rows around it, as a column of this name.
    fn apply(
        &mut self,
        rows: &mut Relation,
        query: &ast::Query,
        question: Question,
        name: &str,
    ) -> Result<Type, SqlError> {
        let kept = names_of(&rows.plan);
        let (plan, number) = self.numbered(rows.plan.clone(), Vec::new(), Vec::new())?;
        let source = self.engine.materialise(&plan)?;
        let names = names_of(&plan);
        let left = source.scan(&names)?;

        let renamed: Vec<String> = names.iter().map(|_| self.fresh('b')).collect();
        for (old, new) in names.iter().zip(&renamed) {
            let user = self.user_name(old);
            self.user_names.insert(new.clone(), user);
        }
        let map: HashMap<String, String> = names.iter().cloned().zip(renamed.iter().cloned()).collect();
        let row = map.get(&number).cloned().unwrap_or_default();
        let lateral = Lateral { base: source.scan(&renamed)?, row };
        let around = Arc::new(Parent { scope: rows.scope.renamed(&map), carried: true });
        let output = self.bind_query(query, Some(around), Some(&lateral))?;
        let Some(output_row) = output.row.clone() else {
            return Err(SqlError::internal("A correlated subquery lost its rows"));
        };

        let answer = self.fresh('s');
        let answer_row = self.fresh('r');
        let (reduced, ty, absent) = self.reduce(output, &question, &left, &number, &output_row, &answer)?;
        let reduced = project(reduced, vec![column(&output_row).alias(answer_row.as_str()), column(&answer)])?;
        let on = column(&number).eq(column(&answer_row));
        let joined = built(LogicalPlanBuilder::from(left).join_on(reduced, JoinType::Left, [on]))?;
        let value = column(&answer);
        let value = match absent {
            Some(absent) => when(column(&answer_row).is_null(), absent).otherwise(value).map_err(of_datafusion)?,
            None => value,
        };
        let mut exprs: Vec<Expr> = kept.iter().map(|name| column(name)).collect();
        exprs.push(value.alias(name));
        rows.plan = project(joined, exprs)?;
        Ok(ty)
    }

    /// One answer for each row around the subquery, its type, and the answer for rows that have none.
    fn reduce(
        &mut self,
        output: Output,
        question: &Question,
        left: &LogicalPlan,
        number: &str,
        row: &str,
        answer: &str,
    ) -> Result<(LogicalPlan, Type, Option<Expr>), SqlError> {
        let by_row = |plan: LogicalPlan, aggregate: Expr| {
            let grouped = built(LogicalPlanBuilder::from(plan).aggregate(vec![column(row)], vec![aggregate]))?;
            let fields: Vec<Expr> = grouped.schema().columns().into_iter().map(Expr::Column).collect();
            project(grouped, vec![column(row), fields[1].clone().alias(answer)])
        };
        match question {
            Question::Exists => {
                let rows = super::set_operation::distinct_rows(project(output.plan, vec![column(row)])?)?;
                let plan = project(rows, vec![column(row), lit(true).alias(answer)])?;
                Ok((plan, Type::Bool, Some(lit(false))))
            }
            Question::Scalar => {
                let ty = one_type(&output)?;
                let single = Collect::new("single_value", vec![ty.clone()], ty.clone(), |mut rows| match rows.len() {
                    0 => Ok(Value::Null),
                    1 => Ok(rows.remove(0).remove(0)),
                    _ => Err("Scalar subquery produced more than one element".into()),
                });
                let aggregate = single.call(vec![column(&output.columns[0].column)]);
                Ok((by_row(output.plan, aggregate)?, ty, None))
            }
            Question::Array => {
                let element = one_type(&output)?;
                let ty = array_type(&element)?;
                let (types, args, order) = self.ordered(&output, &element)?;
                let name = format!("array_of_rows{order:?}");
                let collect = Collect::new(name, types, ty.clone(), move |mut rows| {
                    rows.sort_by(|a, b| function::order::compare(&a[1..], &b[1..], &order));
                    Ok(Value::Array(rows.into_iter().map(|mut row| row.remove(0)).collect()))
                });
                let absent = literal(Value::Array(Vec::new()), &ty)?;
                Ok((by_row(output.plan, collect.call(args))?, ty, Some(absent)))
            }
            Question::In(bound) => {
                let ty = one_type(&output)?;
                let value = Bound::new(column(&output.columns[0].column), ty);
                let equal = operator::binary(
                    &ast::BinaryOperator::Eq,
                    Bound { kind: super::Kind::Plain, ..bound.clone() },
                    value,
                )?;
                let on = column(number).eq(column(row));
                let joined = built(LogicalPlanBuilder::from(left.clone()).join_on(output.plan, JoinType::Inner, [on]))?;
                let joined = project(joined, vec![column(row), equal.expr.alias(answer)])?;
                let any = Collect::new("any_equal", vec![Type::Bool], Type::Bool, |rows| {
                    let known = rows.iter().all(|row| !row[0].is_null());
                    let any = rows.iter().any(|row| row[0].bool());
                    Ok(if any || known { Value::Bool(any) } else { Value::Null })
                });
                let grouped = built(
                    LogicalPlanBuilder::from(joined).aggregate(vec![column(row)], vec![any.call(vec![column(answer)])]),
                )?;
                let fields: Vec<Expr> = grouped.schema().columns().into_iter().map(Expr::Column).collect();
                let plan = project(grouped, vec![column(row), fields[1].clone().alias(answer)])?;
                Ok((plan, Type::Bool, Some(lit(false))))
            }
        }
    }

    /// The value and the sort keys of a subquery's rows, as arguments of an aggregate.
    #[expect(clippy::type_complexity, reason = "three parallel lists, taken apart at once")]
    fn ordered(
        &self,
        output: &Output,
        element: &Type,
    ) -> Result<(Vec<Type>, Vec<Expr>, Vec<function::order::Direction>), SqlError> {
        let mut types = vec![element.clone()];
        let mut args = vec![column(&output.columns[0].column)];
        let mut order = Vec::with_capacity(output.order.len());
        for SortKey { column: name, ascending, nulls_first } in &output.order {
            let field = output.plan.schema().field_with_unqualified_name(name).map_err(of_datafusion)?;
            types.push(function::order::type_of(field.data_type())?);
            args.push(column(name));
            order.push(function::order::Direction { ascending: *ascending, nulls_first: *nulls_first });
        }
        Ok((types, args, order))
    }
}

/// The type of the one column that a subquery in an expression has.
fn one_type(output: &Output) -> Result<Type, SqlError> {
    match output.columns.as_slice() {
        [one] => Ok(one.ty.clone()),
        columns => {
            let message = format!(
                "Scalar subquery cannot have more than one column unless using SELECT AS STRUCT to build STRUCT values; it has {}",
                columns.len()
            );
            Err(SqlError::invalid(message))
        }
    }
}

fn array_type(element: &Type) -> Result<Type, SqlError> {
    if matches!(element, Type::Array(_)) {
        return Err(SqlError::invalid(
            "Cannot use array subquery with column of type ARRAY because nested arrays are not supported",
        ));
    }
    Ok(element.clone().array())
}
