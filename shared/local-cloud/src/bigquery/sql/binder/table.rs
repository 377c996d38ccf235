//! The tables that FROM names: stored ones, views, and the queries of WITH.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use catalog::TableName;
use sqlparser::{ast, tokenizer::Span};

use super::{
    Binder, SqlError, TableData, Type, column,
    from::element_variable,
    of_datafusion,
    query::Output,
    scope::{Named, Relation, Scope, Variable},
};
use crate::bigquery::sql::{
    engine::{Source, with_schema},
    parse::parse,
};

impl Binder<'_> {
    /// A WITH query, a table or a view.
    pub(super) fn named_table(&mut self, parts: &[String], named: &str, at: Span) -> Result<Relation, SqlError> {
        if let [name] = parts {
            let name = name.to_lowercase();
            if let Some(output) = self.ctes.iter().rev().find_map(|frame| frame.get(&name)).cloned() {
                let output = self.instance(&output)?;
                return Ok(relation_of(output, Some(named.to_owned())));
            }
        }
        let table = self.table_name(parts, at)?;
        if let Some(data) = self.warehouse.table(&table.dataset, &table.table) {
            return self.stored_table(&data, named);
        }
        let Some(sql) = self.warehouse.view(&table.dataset, &table.table) else {
            return Err(self.not_found(&table).at_span(at));
        };
        let output = self.bind_view(&table, &sql)?;
        let output = self.instance(&output)?;
        Ok(relation_of(output, Some(named.to_owned())))
    }

    pub(crate) fn not_found(&self, table: &TableName) -> SqlError {
        let project = self.warehouse.project();
        SqlError::not_found(format!(
            "Not found: Table {project}:{}.{} was not found in location US",
            table.dataset, table.table
        ))
    }

    /// `table`, `dataset.table` or `project.dataset.table`.
    pub(crate) fn table_name(&self, parts: &[String], at: Span) -> Result<TableName, SqlError> {
        if parts.iter().any(|part| part.eq_ignore_ascii_case("INFORMATION_SCHEMA")) {
            return Err(SqlError::not_implemented("INFORMATION_SCHEMA").at_span(at));
        }
        let (dataset, table) = match parts {
            [table] => match &self.default_dataset {
                Some(dataset) => (dataset.clone(), table.clone()),
                None => {
                    let message = format!("Table \"{table}\" must be qualified with a dataset (e.g. dataset.table)");
                    return Err(SqlError::invalid(message).at_span(at));
                }
            },
            [dataset, table] => (dataset.clone(), table.clone()),
            [project, dataset, table] => {
                if project != self.warehouse.project() {
                    let message = format!("Not found: Table {project}:{dataset}.{table} was not found in location US");
                    return Err(SqlError::not_found(message).at_span(at));
                }
                (dataset.clone(), table.clone())
            }
            _ => {
                let name = parts.join(".");
                return Err(SqlError::invalid(format!("Invalid table name: `{name}`")).at_span(at));
            }
        };
        if table.contains('*') {
            return Err(SqlError::not_implemented("A wildcard table").at_span(at));
        }
        Ok(TableName { dataset, table })
    }

    /// A table's rows, and the names of its columns.
    pub(crate) fn stored_table(&mut self, data: &TableData, named: &str) -> Result<Relation, SqlError> {
        let fields = Type::of_schema(&data.schema);
        let mut columns = Vec::with_capacity(fields.len());
        let mut names = Vec::with_capacity(fields.len());
        for field in &fields {
            let name = self.fresh('c');
            self.user_names.insert(name.clone(), field.name.clone());
            columns.push(Named { name: field.name.clone(), ty: field.ty.clone(), expr: column(&name) });
            names.push(name);
        }
        let arrow = fields.iter().zip(&names).map(|(field, name)| Field::new(name, field.ty.arrow(), true));
        let schema = Arc::new(Schema::new(arrow.collect::<Vec<_>>()));
        let batches = if self.engine.is_dry() { &[] } else { data.batches.as_slice() };
        let batches = batches.iter().map(|batch| with_schema(batch, &schema)).collect::<Result<_, _>>();
        let batches = batches.map_err(|e| of_datafusion(e.into()))?;
        let plan = Source { schema, batches }.scan(&names)?;
        let variable = Variable { alias: Some(named.to_owned()), columns, merged: Vec::new(), element: None };
        let scope = Scope { variables: vec![variable], ..Scope::default() };
        Ok(Relation { plan, scope, lateral: None })
    }

    /// The query of a view, which sees none of the names of the statement.
    fn bind_view(&mut self, view: &TableName, sql: &str) -> Result<Output, SqlError> {
        if self.views.contains(view) {
            return Err(SqlError::invalid(format!("View {view} refers to itself")));
        }
        let ast::Statement::Query(query) = parse(sql)? else {
            return Err(SqlError::invalid(format!("View {view} is no query")));
        };
        self.views.push(view.clone());
        let ctes = std::mem::take(&mut self.ctes);
        let dataset = self.default_dataset.take();
        let statement = ast::Statement::Query(query.clone());
        let mentions = std::mem::replace(&mut self.mentions, super::query::mentions(&statement));
        let output = self.bind_query(&query, None, None);
        self.mentions = mentions;
        self.default_dataset = dataset;
        self.ctes = ctes;
        self.views.pop();
        output.map_err(|mut error| {
            error.message = format!("In view {view}: {}", error.message);
            error
        })
    }
}

/// A query's result as rows with names.
pub(super) fn relation_of(output: Output, named: Option<String>) -> Relation {
    let variable = match output.columns.as_slice() {
        [one] if output.is_value => element_variable(named, column(&one.column), &one.ty),
        columns => {
            let columns = columns.iter().map(|c| Named {
                name: c.name.clone().unwrap_or_default(),
                ty: c.ty.clone(),
                expr: column(&c.column),
            });
            Variable { alias: named, columns: columns.collect(), merged: Vec::new(), element: None }
        }
    };
    let scope = Scope { variables: vec![variable], ..Scope::default() };
    Relation { plan: output.plan, scope, lateral: None }
}
