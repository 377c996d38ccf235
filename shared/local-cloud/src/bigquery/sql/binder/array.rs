//! STRUCT and ARRAY values.

use datafusion_expr::Expr;
use sqlparser::ast::{self, Expr as Sql};

use super::{Binder, Bound, Kind, SqlError, Type, Value, literal, place, select::Frame};
use crate::bigquery::sql::{data_type::StructField, scalar::Scalar};

/// The STRUCT of these fields.
pub(crate) fn struct_of(fields: Vec<StructField>, values: Vec<Expr>) -> Bound {
    let types = fields.iter().map(|f| f.ty.clone()).collect();
    let ty = Type::Struct(fields.into());
    let function = Scalar::new("struct", types, ty.clone(), |args| Ok(Value::Struct(args.to_vec()))).with_nulls();
    Bound::new(function.call(values), ty)
}

/// The array with each element beside its number; a NULL array stays one.
pub(crate) fn with_offsets(array: Bound) -> (Expr, Type) {
    let element = match &array.ty {
        Type::Array(element) => element.as_ref().clone(),
        other => other.clone(),
    };
    let field = |name: &str, ty| StructField { name: name.into(), ty };
    let pair = Type::Struct([field("value", element), field("offset", Type::Int64)].into());
    let function = Scalar::new("with_offsets", vec![array.ty], pair.clone().array(), |args| {
        let items = args[0].items().iter().zip(0..).map(|(item, i)| Value::Struct(vec![item.clone(), Value::Int(i)]));
        Ok(Value::Array(items.collect()))
    });
    (function.call(vec![array.expr]), pair)
}

impl Binder<'_> {
    /// `STRUCT(1 AS a, b)`, `STRUCT<a INT64>(1)`.
    pub(crate) fn bind_struct(
        &mut self,
        frame: &mut Frame,
        values: &[Sql],
        fields: &[ast::StructField],
    ) -> Result<Bound, SqlError> {
        if !fields.is_empty() && fields.len() != values.len() {
            let message =
                format!("STRUCT type has {} fields but constructor call has {} fields", fields.len(), values.len());
            return Err(SqlError::invalid(message));
        }
        let mut made = Vec::with_capacity(values.len());
        let mut exprs = Vec::with_capacity(values.len());
        for (i, value) in values.iter().enumerate() {
            let (sql, name) = match value {
                Sql::Named { expr, name } => (expr.as_ref(), name.value.clone()),
                Sql::Identifier(ident) => (value, ident.value.clone()),
                Sql::CompoundIdentifier(idents) => {
                    (value, idents.last().map(|ident| ident.value.clone()).unwrap_or_default())
                }
                other => (other, String::new()),
            };
            let bound = self.bind_expr(frame, sql)?;
            match fields.get(i) {
                None => {
                    made.push(StructField { name, ty: bound.ty.clone() });
                    exprs.push(bound.expr);
                }
                Some(field) => {
                    let ty = Type::of_sql(&field.field_type)?;
                    let name = field.field_name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
                    if !bound.fits(&ty) {
                        let message =
                            format!("Struct field {} has type {} which does not coerce to {ty}", i + 1, bound.ty);
                        return Err(SqlError::invalid(message).at_span(place(sql)));
                    }
                    exprs.push(bound.coerce(&ty)?);
                    made.push(StructField { name, ty });
                }
            }
        }
        if exprs.is_empty() {
            let ty = Type::Struct(Vec::new().into());
            return Bound::literal(Value::Struct(Vec::new()), ty);
        }
        Ok(struct_of(made, exprs))
    }

    /// `[1, 2]`.
    pub(crate) fn bind_array(&mut self, frame: &mut Frame, elements: &[Sql]) -> Result<Bound, SqlError> {
        let mut bounds = Vec::with_capacity(elements.len());
        for sql in elements {
            bounds.push(self.bind_expr(frame, sql)?);
        }
        self.array_of(bounds).map_err(|e| match elements.first() {
            Some(first) => e.at_span(place(first)),
            None => e,
        })
    }

    pub(crate) fn array_of(&mut self, bounds: Vec<Bound>) -> Result<Bound, SqlError> {
        if bounds.is_empty() {
            let ty = Type::Int64.array();
            return Ok(Bound { expr: literal(Value::Array(Vec::new()), &ty)?, ty, kind: Kind::EmptyArray });
        }
        let Some(element) = Bound::supertype(&bounds) else {
            let types: Vec<String> = bounds.iter().map(|b| b.ty.to_string()).collect();
            let message = format!("Array elements of types {{{}}} do not have a common supertype", types.join(", "));
            return Err(SqlError::invalid(message));
        };
        if matches!(element, Type::Array(_)) {
            return Err(SqlError::invalid(format!(
                "Cannot construct array with element type {element} because nested arrays are not supported"
            )));
        }
        let constants: Option<Vec<Value<'static>>> =
            bounds.iter().map(|b| b.constant().filter(|_| b.ty == element)).collect();
        let ty = element.clone().array();
        if let Some(values) = constants {
            return Bound::literal(Value::Array(values), ty);
        }
        let types = vec![element.clone(); bounds.len()];
        let exprs = bounds.into_iter().map(|b| b.coerce(&element)).collect::<Result<Vec<_>, _>>()?;
        let function = Scalar::new("array", types, ty.clone(), |args| Ok(Value::Array(args.to_vec()))).with_nulls();
        Ok(Bound::new(function.call(exprs), ty))
    }
}
