//! Statements that are no queries: what they ask of the store is worked out, and left to the caller to do.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::Schema};
use catalog::{Field, FieldType, Mode, TableName, TableSchema};
use sqlparser::{
    ast::{self, ColumnOption, Expr as Sql, ObjectName, ObjectType, SetExpr},
    tokenizer::Location,
};

use super::{
    Binder, Bound, QueryOutput, SqlError, Statement, TableData, Type, Value, column, filter, literal, of_datafusion,
    place, project, scope::Named, select::Frame, with_schema,
};
use crate::bigquery::{
    arrow_schema::arrow_schema,
    sql::{cast::cast, value::build},
};

impl Binder<'_> {
    pub(crate) fn run_statement(&mut self, statement: &ast::Statement, sql: &str) -> Result<QueryOutput, SqlError> {
        let done = |statement, rows| QueryOutput {
            schema: TableSchema { fields: Vec::new() },
            batches: Vec::new(),
            statement,
            dml_affected_rows: rows,
        };
        match statement {
            ast::Statement::CreateTable(create) => self.create_table(create).map(|s| done(s, None)),
            ast::Statement::CreateView(create) => self.create_view(create, sql).map(|s| done(s, None)),
            ast::Statement::Drop { object_type, if_exists, names, .. } => {
                let view = match object_type {
                    ObjectType::Table => false,
                    ObjectType::View => true,
                    other => return Err(SqlError::not_implemented(format_args!("DROP {other}"))),
                };
                let [name] = names.as_slice() else {
                    return Err(SqlError::invalid("Syntax error: Unexpected \",\" in DROP"));
                };
                let name = self.target(name)?;
                Ok(done(Statement::Drop { name, view, if_exists: *if_exists }, None))
            }
            ast::Statement::Truncate(truncate) => {
                let [target] = truncate.table_names.as_slice() else {
                    return Err(SqlError::invalid("Syntax error: Unexpected \",\" in TRUNCATE"));
                };
                let table = self.target(&target.name)?;
                self.existing(&table, &target.name)?;
                Ok(done(Statement::Truncate { table }, None))
            }
            ast::Statement::Insert(insert) => {
                let (table, batches) = self.insert(insert)?;
                let rows = count(&batches);
                Ok(done(Statement::Insert { table, batches }, Some(rows)))
            }
            ast::Statement::Delete(delete) => {
                let (table, kept, before) = self.delete(delete)?;
                let rows = before.saturating_sub(count(&kept));
                Ok(done(Statement::Delete { table, kept }, Some(rows)))
            }
            other => {
                let text = other.to_string();
                let words: Vec<&str> = text.split_whitespace().take(2).collect();
                let what = match words.as_slice() {
                    [first @ ("CREATE" | "ALTER" | "DROP"), second] => format!("{first} {second}"),
                    [first, ..] => (*first).to_owned(),
                    [] => "This statement".to_owned(),
                };
                Err(SqlError::not_implemented(format_args!("Statement {what}")).at_span(place(other)))
            }
        }
    }

    /// The table that a statement names.
    fn target(&self, name: &ObjectName) -> Result<TableName, SqlError> {
        let parts: Option<Vec<String>> = name.0.iter().map(|p| p.as_ident().map(|i| i.value.clone())).collect();
        let parts = parts.ok_or_else(|| SqlError::invalid(format!("Invalid table name: {name}")))?;
        self.table_name(&parts, place(name))
    }

    fn existing(&self, table: &TableName, name: &ObjectName) -> Result<TableData, SqlError> {
        let found = self.warehouse.table(&table.dataset, &table.table);
        found.ok_or_else(|| self.not_found(table).at_span(place(name)))
    }

    fn create_table(&mut self, create: &ast::CreateTable) -> Result<Statement, SqlError> {
        let at = place(&create.name);
        let refused = [
            (create.temporary, "CREATE TEMP TABLE"),
            (create.external, "CREATE EXTERNAL TABLE"),
            (create.snapshot, "CREATE SNAPSHOT TABLE"),
            (create.like.is_some(), "CREATE TABLE LIKE"),
            (create.clone.is_some(), "CREATE TABLE CLONE"),
            (!create.constraints.is_empty(), "A table constraint"),
        ];
        if let Some((_, what)) = refused.iter().find(|(found, _)| *found) {
            return Err(SqlError::not_implemented(what).at_span(at));
        }
        let name = self.target(&create.name)?;
        let declared = create.columns.iter().map(declared_field).collect::<Result<Vec<_>, _>>()?;
        let (schema, batches) = match &create.query {
            None if declared.is_empty() => {
                return Err(SqlError::invalid("CREATE TABLE must have a column list or AS SELECT").at_span(at));
            }
            None => (TableSchema { fields: declared }, Vec::new()),
            Some(query) => {
                let output = self.bind_query(query, None, None)?;
                let answer = self.answer(output)?;
                if !declared.is_empty() {
                    return Err(SqlError::not_implemented("CREATE TABLE with a column list and AS SELECT").at_span(at));
                }
                answer
            }
        };
        Ok(Statement::CreateTable {
            name,
            schema,
            batches,
            or_replace: create.or_replace,
            if_not_exists: create.if_not_exists,
        })
    }

    fn create_view(&mut self, create: &ast::CreateView, sql: &str) -> Result<Statement, SqlError> {
        let at = place(&create.name);
        if create.materialized {
            return Err(SqlError::not_implemented("CREATE MATERIALIZED VIEW").at_span(at));
        }
        if !create.columns.is_empty() {
            return Err(SqlError::not_implemented("CREATE VIEW with a column list").at_span(at));
        }
        let name = self.target(&create.name)?;
        let output = self.bind_query(&create.query, None, None)?;
        let (schema, _) = self.answer(output)?;
        let start = place(create.query.as_ref()).start;
        let sql = text_from(sql, start).map_or_else(|| create.query.to_string(), str::to_owned);
        Ok(Statement::CreateView {
            name,
            sql,
            schema,
            or_replace: create.or_replace,
            if_not_exists: create.if_not_exists,
        })
    }

    fn insert(&mut self, insert: &ast::Insert) -> Result<(TableName, Vec<RecordBatch>), SqlError> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::invalid("Syntax error: Expected a table name after INSERT"));
        };
        let table = self.target(name)?;
        let data = self.existing(&table, name)?;
        let fields = &data.schema.fields;
        let mut places = Vec::with_capacity(insert.columns.len());
        for name in &insert.columns {
            let text = name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone()).unwrap_or_default();
            let Some(index) = fields.iter().position(|f| f.name.eq_ignore_ascii_case(&text)) else {
                let message = format!("Column {text} is not present in table {}", data.name);
                return Err(SqlError::invalid(message).at_span(place(name)));
            };
            if places.contains(&index) {
                return Err(
                    SqlError::invalid(format!("INSERT has columns with duplicate name: {text}")).at_span(place(name))
                );
            }
            places.push(index);
        }
        if places.is_empty() {
            places = (0..fields.len()).collect();
        }
        let Some(source) = &insert.source else {
            return Err(SqlError::invalid("Syntax error: Expected VALUES or a query after INSERT"));
        };
        let batches = match source.body.as_ref() {
            SetExpr::Values(values) => self.insert_values(fields, &places, values)?,
            _ => self.insert_query(fields, &places, source)?,
        };
        let required: Vec<usize> = (0..fields.len()).filter(|i| fields[*i].mode == Mode::Required).collect();
        for batch in &batches {
            if let Some(index) = required.iter().find(|i| batch.column(**i).null_count() > 0) {
                return Err(SqlError::invalid(format!("Required field {} cannot be null", fields[*index].name)));
            }
        }
        let arrow = arrow_schema(&data.schema);
        let batches = batches.iter().filter(|b| b.num_rows() > 0).map(|batch| with_schema(batch, &arrow));
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(|e| of_datafusion(e.into()))?;
        Ok((table, batches))
    }

    fn insert_values(
        &mut self,
        fields: &[Field],
        places: &[usize],
        values: &ast::Values,
    ) -> Result<Vec<RecordBatch>, SqlError> {
        let types: Vec<Type> = fields.iter().map(Type::of_field).collect();
        let mut columns: Vec<Vec<Value<'static>>> =
            types.iter().map(|_| Vec::with_capacity(values.rows.len())).collect();
        for row in &values.rows {
            let row = &row.content;
            if row.len() != places.len() {
                let message =
                    format!("Inserted row has wrong column count; Has {}, expected {}", row.len(), places.len());
                return Err(SqlError::invalid(message));
            }
            for (index, field) in fields.iter().enumerate() {
                let ty = &types[index];
                let at = places.iter().position(|p| *p == index);
                let sql = at.map(|at| &row[at]);
                let value = match sql {
                    None => absent(ty),
                    Some(Sql::Identifier(ident)) if ident.value.eq_ignore_ascii_case("DEFAULT") => {
                        if field.default_value_expression.is_some() {
                            return Err(SqlError::not_implemented("DEFAULT of a column with a default value"));
                        }
                        absent(ty)
                    }
                    Some(sql) => self.value_of(sql, ty, &field.name)?,
                };
                columns[index].push(value);
            }
        }
        let names = fields.iter().zip(&types);
        let schema = Schema::new(
            names.map(|(f, ty)| arrow::datatypes::Field::new(&f.name, ty.arrow(), true)).collect::<Vec<_>>(),
        );
        let arrays = types.iter().zip(columns).map(|(ty, values)| build(ty, values)).collect::<Result<Vec<_>, _>>();
        let batch = arrays.and_then(|arrays| RecordBatch::try_new(Arc::new(schema), arrays));
        Ok(vec![batch.map_err(|e| of_datafusion(e.into()))?])
    }

    /// The value of an expression without columns, as a column of the type takes it.
    fn value_of(&mut self, sql: &Sql, ty: &Type, name: &str) -> Result<Value<'static>, SqlError> {
        let mut frame = Frame::constant()?;
        let bound = self.bind_expr(&mut frame, sql)?;
        let expr = assigned(bound, ty, name).map_err(|e| e.at_span(place(sql)))?;
        if let Some(value) = Bound::new(expr.clone(), ty.clone()).constant() {
            return Ok(value);
        }
        let plan = project(frame.relation.plan, vec![expr.alias("value")])?;
        let batches = self.engine.run(&plan)?;
        let value = batches
            .iter()
            .find(|b| b.num_rows() > 0)
            .map(|b| crate::bigquery::sql::value::read(b.column(0).as_ref(), ty, 0).into_owned());
        Ok(value.unwrap_or(Value::Null))
    }

    fn insert_query(
        &mut self,
        fields: &[Field],
        places: &[usize],
        source: &ast::Query,
    ) -> Result<Vec<RecordBatch>, SqlError> {
        let output = super::expanded(self.bind_query(source, None, None)?)?;
        if output.columns.len() != places.len() {
            let message =
                format!("Inserted row has wrong column count; Has {}, expected {}", output.columns.len(), places.len());
            return Err(SqlError::invalid(message));
        }
        let output = self.sorted(output)?;
        let mut exprs = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let ty = Type::of_field(field);
            let expr = match places.iter().position(|p| *p == index) {
                Some(at) => {
                    let from = &output.columns[at];
                    assigned(Bound::new(column(&from.column), from.ty.clone()), &ty, &field.name)?
                }
                None => literal(absent(&ty), &ty)?,
            };
            let expr =
                if super::holds_array(&ty) { super::without_null_elements(expr, &ty, &field.name) } else { expr };
            exprs.push(expr.alias(format!("v{index}")));
        }
        self.engine.run(&project(output.plan, exprs)?)
    }

    fn delete(&mut self, delete: &ast::Delete) -> Result<(TableName, Vec<RecordBatch>, u64), SqlError> {
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
        let [ast::TableWithJoins { relation: ast::TableFactor::Table { name, alias, .. }, joins }] = from.as_slice()
        else {
            return Err(SqlError::invalid("Syntax error: Expected one table after DELETE"));
        };
        if !joins.is_empty() || delete.using.is_some() || !delete.order_by.is_empty() || delete.limit.is_some() {
            return Err(SqlError::invalid("Syntax error: Unexpected clause in DELETE"));
        }
        let Some(condition) = &delete.selection else {
            return Err(SqlError::invalid("DELETE must have a WHERE clause").at_span(place(name)));
        };
        let table = self.target(name)?;
        let data = self.existing(&table, name)?;
        let before = count(&data.batches);
        let named = alias.as_ref().map_or_else(|| table.table.clone(), |a| a.name.value.clone());
        let relation = self.stored_table(&data, &named)?;
        let columns: Vec<Named> = relation.scope.star();
        let mut frame = Frame::new(relation);
        frame.clause = "WHERE clause";
        let condition = self.bind_condition(&mut frame, condition)?;
        let plan = filter(frame.relation.plan, condition.is_not_true())?;
        let exprs = columns.into_iter().enumerate().map(|(i, c)| c.expr.alias(format!("v{i}")));
        let kept = self.engine.run(&project(plan, exprs.collect())?)?;
        let arrow = arrow_schema(&data.schema);
        let kept = kept.iter().filter(|b| b.num_rows() > 0).map(|batch| with_schema(batch, &arrow));
        let kept = kept.collect::<Result<Vec<_>, _>>().map_err(|e| of_datafusion(e.into()))?;
        Ok((table, kept, before))
    }
}

fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|b| b.num_rows() as u64).sum()
}

/// What a column that is given no value holds.
fn absent(ty: &Type) -> Value<'static> {
    match ty {
        Type::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// The expression as a value of the column.
fn assigned(bound: Bound, ty: &Type, name: &str) -> Result<datafusion_expr::Expr, SqlError> {
    if bound.fits(ty) {
        return bound.coerce(ty);
    }
    match (&bound.ty, ty) {
        (Type::Struct(a), Type::Struct(b)) if a.len() == b.len() => cast(bound.expr, &bound.ty, ty, false),
        (Type::Array(a), Type::Array(b)) if a.coerces_to(b) => cast(bound.expr, &bound.ty, ty, false),
        _ => {
            let message = format!("Value of type {} cannot be assigned to {name}, which has type {ty}", bound.ty);
            Err(SqlError::invalid(message))
        }
    }
}

/// The rest of the statement from this place on, without its semicolon.
fn text_from(sql: &str, start: Location) -> Option<&str> {
    let line = usize::try_from(start.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(start.column.checked_sub(1)?).ok()?;
    let before: usize = sql.split_inclusive('\n').take(line).map(str::len).sum();
    let offset = sql[before..].char_indices().nth(column)?.0;
    Some(sql[before + offset..].trim_end().trim_end_matches(';').trim_end())
}

/// A column of CREATE TABLE.
fn declared_field(definition: &ast::ColumnDef) -> Result<Field, SqlError> {
    let mut field = field_of(&definition.name.value, &definition.data_type)?;
    for option in &definition.options {
        match &option.option {
            ColumnOption::NotNull if field.mode == Mode::Nullable => field.mode = Mode::Required,
            ColumnOption::Null => {}
            ColumnOption::Options(options) => {
                for option in options {
                    if let ast::SqlOption::KeyValue { key, value: Sql::Value(value) } = option
                        && key.value.eq_ignore_ascii_case("description")
                        && let Some(Ok(Value::Str(text))) = crate::bigquery::sql::literal::of_sql(&value.value)
                    {
                        field.description = Some(text.into_owned());
                    }
                }
            }
            ColumnOption::Default(expr) => field.default_value_expression = Some(expr.to_string()),
            other => {
                return Err(
                    SqlError::not_implemented(format_args!("Column option {other}")).at_span(definition.name.span)
                );
            }
        }
    }
    Ok(field)
}

/// A column of a type with its length, precision and scale.
fn field_of(name: &str, sql: &ast::DataType) -> Result<Field, SqlError> {
    use ast::{DataType as Type_, ExactNumberInfo};
    let plain = |field_type| Field::new(name, field_type, Mode::Nullable);
    Ok(match sql {
        Type_::String(Some(length)) => Field { max_length: Some(length.to_string()), ..plain(FieldType::String) },
        Type_::Bytes(Some(length)) => Field { max_length: Some(length.to_string()), ..plain(FieldType::Bytes) },
        Type_::Numeric(info) | Type_::Decimal(info) | Type_::BigNumeric(info) | Type_::BigDecimal(info) => {
            let big = matches!(sql, Type_::BigNumeric(_) | Type_::BigDecimal(_));
            let mut field = plain(if big { FieldType::Bignumeric } else { FieldType::Numeric });
            match info {
                ExactNumberInfo::None => {}
                ExactNumberInfo::Precision(precision) => field.precision = Some(precision.to_string()),
                ExactNumberInfo::PrecisionAndScale(precision, scale) => {
                    field.precision = Some(precision.to_string());
                    field.scale = Some(scale.to_string());
                }
            }
            field
        }
        Type_::Array(ast::ArrayElemTypeDef::AngleBracket(element)) => {
            let element = field_of(name, element)?;
            if element.mode == Mode::Repeated {
                return Err(SqlError::invalid("Arrays of arrays are not supported"));
            }
            Field { mode: Mode::Repeated, ..element }
        }
        Type_::Struct(fields, _) => {
            let mut record = plain(FieldType::Record);
            for (i, field) in fields.iter().enumerate() {
                let Some(name) = &field.field_name else {
                    return Err(SqlError::invalid(format!("Field {} of STRUCT {name} has no name", i + 1)));
                };
                record.fields.push(field_of(&name.value, &field.field_type)?);
            }
            record
        }
        other => Type::of_sql(other)?.to_field(name)?,
    })
}
