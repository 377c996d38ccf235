//! From syntax tree to plan: every name resolved, every type decided, every function found or refused.
//!
//! Each column of a plan has a name of its own (`c1`, `c2`, …) that no user sees, so DataFusion never resolves a user's
//! names. A correlated subquery is planned over the rows around it, numbered: its FROM starts with them, its aggregates
//! group by the number, and the answer is joined back by it. So any subquery can be correlated.

mod access;
pub(crate) mod aggregate;
mod array;
mod bound;
mod call;
mod expr;
mod from;
mod grouping;
mod join;
pub(crate) mod operator;
mod query;
mod scope;
mod select;
mod set_operation;
mod statement;
mod subquery;
mod table;
mod window;

use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::{TableName, TableSchema};
use datafusion_common::DataFusionError;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use hashbrown::HashMap;
use sqlparser::{
    ast::{self, Ident},
    tokenizer::Span,
};

pub(crate) use bound::{Bound, Kind, column, literal};
pub(crate) use expr::{case, once};
use query::Output;

use super::{
    QueryOutput, QueryParameters, SqlError, Statement, TableData, Warehouse,
    data_type::Type,
    engine::{Engine, of_datafusion, with_schema},
    scalar::Scalar,
    value::Value,
};
use crate::bigquery::arrow_schema::arrow_schema;

/// Binds one statement.
pub(super) struct Binder<'a> {
    engine: &'a Engine,
    warehouse: &'a dyn Warehouse,
    parameters: &'a QueryParameters,
    default_dataset: Option<String>,
    /// The last internal name that was given.
    names: usize,
    /// The queries of WITH, innermost last.
    ctes: Vec<HashMap<String, Output>>,
    /// How often each table name is written in the statement, by lower-case name.
    mentions: HashMap<String, usize>,
    /// The views that are being expanded.
    views: Vec<TableName>,
    /// What users call the columns, for errors.
    user_names: HashMap<String, String>,
    /// A name of the rows around a subquery was met where the plan does not carry them.
    correlated: bool,
    /// The instant that CURRENT_TIMESTAMP tells, the same throughout the statement.
    now: i64,
}

impl<'a> Binder<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        warehouse: &'a dyn Warehouse,
        parameters: &'a QueryParameters,
        default_dataset: Option<&str>,
    ) -> Self {
        let now = jiff::Timestamp::now().as_microsecond();
        Self {
            engine,
            warehouse,
            parameters,
            default_dataset: default_dataset.map(str::to_owned),
            names: 0,
            ctes: Vec::new(),
            mentions: HashMap::new(),
            views: Vec::new(),
            user_names: HashMap::new(),
            correlated: false,
            now,
        }
    }

    /// The values of `@name` and `?`.
    pub(super) fn parameters(&self) -> &'a QueryParameters {
        self.parameters
    }

    /// A name that no other column has.
    fn fresh(&mut self, prefix: char) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// What users call a column of the plan.
    fn user_name(&self, internal: &str) -> String {
        self.user_names.get(internal).cloned().unwrap_or_else(|| internal.to_owned())
    }

    /// Runs the query and gives its rows the names and types of its columns.
    fn answer(&mut self, output: Output) -> Result<(TableSchema, Vec<RecordBatch>), SqlError> {
        let output = self.sorted(expanded(output)?)?;
        let mut fields = Vec::with_capacity(output.columns.len());
        let mut unnamed = 0;
        for column in &output.columns {
            let name = match &column.name {
                Some(name) => name.clone(),
                None => {
                    let name = format!("f{unnamed}_");
                    unnamed += 1;
                    name
                }
            };
            if fields.iter().any(|f: &catalog::Field| f.name.eq_ignore_ascii_case(&name)) {
                let message =
                    format!("Duplicate column names in the result are not supported. Found duplicate(s): {name}");
                return Err(SqlError::invalid(message));
            }
            fields.push(column.ty.to_field(&name)?);
        }
        let exprs = output.columns.iter().map(|c| {
            let expr = bound::column(&c.column);
            match holds_array(&c.ty) {
                true => without_null_elements(expr, &c.ty, &c.name.clone().unwrap_or_default()),
                false => expr,
            }
            .alias(c.column.as_str())
        });
        let plan = project(output.plan, exprs.collect::<Vec<_>>())?;
        let schema = TableSchema { fields };
        let arrow = arrow_schema(&schema);
        let batches = self.engine.run(&plan)?;
        let batches = batches.iter().filter(|b| b.num_rows() > 0).map(|batch| with_schema(batch, &arrow));
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(|e| of_datafusion(e.into()))?;
        Ok((schema, batches))
    }

    /// Binds and runs one statement.
    pub(super) fn run(&mut self, statement: &ast::Statement, sql: &str) -> Result<QueryOutput, SqlError> {
        self.mentions = query::mentions(statement);
        match statement {
            ast::Statement::Query(query) => {
                let output = self.bind_query(query, None, None)?;
                let (schema, batches) = self.answer(output)?;
                Ok(QueryOutput { schema, batches, statement: Statement::Select, dml_affected_rows: None })
            }
            other => self.run_statement(other, sql),
        }
    }
}

/// SELECT AS STRUCT gives the fields as columns where its rows are the result.
fn expanded(mut output: Output) -> Result<Output, SqlError> {
    let [only] = output.columns.as_slice() else { return Ok(output) };
    let (true, Type::Struct(fields)) = (output.is_value, &only.ty) else { return Ok(output) };
    let (of, ty) = (column(&only.column), only.ty.clone());
    let columns = fields.iter().enumerate().map(|(i, field)| query::OutputColumn {
        name: Some(field.name.clone()).filter(|name| !name.is_empty()),
        ty: field.ty.clone(),
        column: format!("{}_{i}", only.column),
        kind: Kind::Plain,
    });
    let columns: Vec<_> = columns.collect();
    let more = columns.iter().enumerate().map(|(i, c)| access::field(of.clone(), &ty, i).alias(c.column.as_str()));
    output.plan = extend(output.plan, more.collect())?;
    output.columns = columns;
    Ok(output)
}

fn holds_array(ty: &Type) -> bool {
    match ty {
        Type::Array(_) => true,
        Type::Struct(fields) => fields.iter().any(|f| holds_array(&f.ty)),
        _ => false,
    }
}

/// The value of a result column: BigQuery has no array with a NULL in a result, and a NULL array is an empty one.
fn without_null_elements(expr: Expr, ty: &Type, name: &str) -> Expr {
    fn check<'v>(value: &Value<'v>, ty: &Type, name: &str) -> Result<Value<'v>, String> {
        match (ty, value) {
            (Type::Array(_), Value::Null) => Ok(Value::Array(Vec::new())),
            (Type::Array(element), Value::Array(items)) => {
                if items.iter().any(Value::is_null) {
                    return Err(format!("Array cannot have a null element; error in writing field {name}"));
                }
                Ok(Value::Array(items.iter().map(|item| check(item, element, name)).collect::<Result<_, _>>()?))
            }
            (Type::Struct(fields), Value::Struct(items)) => {
                let members = fields.iter().zip(items).map(|(f, item)| check(item, &f.ty, name));
                Ok(Value::Struct(members.collect::<Result<_, _>>()?))
            }
            _ => Ok(value.clone()),
        }
    }
    let (inner, field) = (ty.clone(), name.to_owned());
    Scalar::new(format!("result[{name}]"), vec![ty.clone()], ty.clone(), move |args| check(&args[0], &inner, &field))
        .with_nulls()
        .call(vec![expr])
}

/// The plan with other columns.
fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan, SqlError> {
    built(LogicalPlanBuilder::from(plan).project(exprs))
}

/// The plan with more columns.
fn extend(plan: LogicalPlan, more: Vec<Expr>) -> Result<LogicalPlan, SqlError> {
    let mut exprs = columns_of(&plan);
    exprs.extend(more);
    project(plan, exprs)
}

fn columns_of(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

fn names_of(plan: &LogicalPlan) -> Vec<String> {
    plan.schema().fields().iter().map(|f| f.name().clone()).collect()
}

fn filter(plan: LogicalPlan, condition: Expr) -> Result<LogicalPlan, SqlError> {
    built(LogicalPlanBuilder::from(plan).filter(condition))
}

fn built(builder: Result<LogicalPlanBuilder, DataFusionError>) -> Result<LogicalPlan, SqlError> {
    builder.and_then(LogicalPlanBuilder::build).map_err(of_datafusion)
}

/// An identifier as written, and whether it was a string in quotes, which GoogleSQL knows no identifiers as.
fn alias(ident: &Ident) -> Result<String, SqlError> {
    match ident.quote_style {
        Some('\'' | '"') => {
            let message = format!("Syntax error: Unexpected string literal \"{}\"", ident.value);
            Err(SqlError::invalid(message).at_span(ident.span))
        }
        _ => Ok(ident.value.clone()),
    }
}

/// The place of a piece of the statement.
fn place(piece: &impl ast::Spanned) -> Span {
    piece.span()
}

/// Shared by all who hand relations around.
type Around = Option<Arc<scope::Parent>>;
