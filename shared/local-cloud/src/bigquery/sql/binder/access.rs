//! Names, fields and elements: `a`, `t.a.b`, `a[OFFSET(0)]`, `json.a['b']`.

use datafusion_expr::Expr;
use sqlparser::ast::{AccessExpr, Expr as Sql, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Subscript};

use super::{
    Binder, Bound, SqlError, Type, Value, array, place,
    scope::{Found, Named, Variable},
    select::Frame,
};
use crate::bigquery::sql::{
    data_type::StructField,
    json::Json,
    scalar::{Scalar, field_at},
};

/// The field `index` of a STRUCT.
pub(crate) fn field(of: Expr, ty: &Type, index: usize) -> Expr {
    match ty {
        Type::Struct(fields) if index < fields.len() => field_at(of, index, &fields[index].ty),
        _ => of,
    }
}

impl Binder<'_> {
    /// A name, or a name and fields: the range variable, column or alias that it begins with, then its fields.
    pub(crate) fn bind_path(&mut self, frame: &Frame, idents: &[Ident]) -> Result<Bound, SqlError> {
        let Some((first, rest)) = idents.split_first() else { return Err(SqlError::invalid("An empty name")) };
        if first.value.starts_with('@') {
            let bound = self.parameter(&first.value).map_err(|e| e.at_span(first.span))?;
            return self.fields(bound, rest);
        }
        let is = |name: &String| name.eq_ignore_ascii_case(&first.value);
        let mut aliases = frame.aliases.iter().filter(|(name, _)| is(name));
        match (aliases.next(), aliases.next()) {
            (Some((_, bound)), None) => return self.fields(bound.clone(), rest),
            (Some((_, one)), Some((_, other))) if one.expr != other.expr => {
                return Err(ambiguous(first));
            }
            (Some((_, bound)), Some(_)) => return self.fields(bound.clone(), rest),
            (None, _) => {}
        }
        match frame.relation.scope.find(&first.value) {
            Found::Nothing => Err(SqlError::invalid(format!("Unrecognized name: {}", first.value)).at_span(first.span)),
            Found::Ambiguous => Err(ambiguous(first)),
            Found::Correlated => {
                self.correlated = true;
                let message = format!("A correlated reference to {} here", first.value);
                Err(SqlError::not_implemented(message).at_span(first.span))
            }
            Found::Column(named) => self.fields(Bound::new(named.expr, named.ty), rest),
            Found::Variable(variable) => self.of_variable(variable, rest, first),
        }
    }

    fn of_variable(&self, variable: Variable, rest: &[Ident], first: &Ident) -> Result<Bound, SqlError> {
        if let Some((expr, ty)) = variable.element {
            return self.fields(Bound::new(expr, ty), rest);
        }
        let Some((second, rest)) = rest.split_first() else {
            let named: Vec<Named> = variable.merged.into_iter().chain(variable.columns).collect();
            let fields = named.iter().map(|n| StructField { name: n.name.clone(), ty: n.ty.clone() });
            return Ok(array::struct_of(fields.collect(), named.iter().map(|n| n.expr.clone()).collect()));
        };
        let all = variable.merged.iter().chain(&variable.columns);
        let mut found = all.filter(|n| n.name.eq_ignore_ascii_case(&second.value));
        match (found.next(), found.next()) {
            (Some(named), None) => self.fields(Bound::new(named.expr.clone(), named.ty.clone()), rest),
            (Some(_), Some(_)) => Err(ambiguous(second)),
            (None, _) => {
                let message = format!("Name {} not found inside {}", second.value, first.value);
                Err(SqlError::invalid(message).at_span(second.span))
            }
        }
    }

    fn fields(&self, mut bound: Bound, names: &[Ident]) -> Result<Bound, SqlError> {
        for name in names {
            bound = member(bound, &name.value).map_err(|e| e.at_span(name.span))?;
        }
        Ok(bound)
    }

    /// `root.a[0].b`.
    pub(crate) fn bind_access(
        &mut self,
        frame: &mut Frame,
        root: &Sql,
        chain: &[AccessExpr],
    ) -> Result<Bound, SqlError> {
        let (mut idents, mut rest) = (Vec::new(), chain);
        if let Sql::Identifier(first) = root {
            idents.push(first.clone());
            while let Some((AccessExpr::Dot(Sql::Identifier(next)), after)) = rest.split_first() {
                idents.push(next.clone());
                rest = after;
            }
        }
        let mut bound = match idents.is_empty() {
            true => self.bind_expr(frame, root)?,
            false => self.bind_path(frame, &idents)?,
        };
        for access in rest {
            bound = match access {
                AccessExpr::Dot(Sql::Identifier(name)) => {
                    member(bound, &name.value).map_err(|e| e.at_span(name.span))?
                }
                AccessExpr::Dot(other) => {
                    return Err(
                        SqlError::invalid("Syntax error: Unexpected expression after \".\"").at_span(place(other))
                    );
                }
                AccessExpr::Subscript(Subscript::Index { index }) => self.element(frame, bound, index)?,
                AccessExpr::Subscript(Subscript::Slice { .. }) => {
                    return Err(SqlError::invalid("Syntax error: Unexpected \":\" in a subscript").at_span(place(root)));
                }
            };
        }
        Ok(bound)
    }

    /// `bound[index]`.
    fn element(&mut self, frame: &mut Frame, bound: Bound, index: &Sql) -> Result<Bound, SqlError> {
        let at = place(index);
        let (accessor, index) = accessor(index);
        let index_bound = self.bind_expr(frame, index)?;
        match (&bound.ty, accessor) {
            (Type::Array(element), accessor) => {
                let element = element.as_ref().clone();
                let (first, safe) = match accessor {
                    Accessor::Plain | Accessor::Offset => (0, false),
                    Accessor::Ordinal => (1, false),
                    Accessor::SafeOffset => (0, true),
                    Accessor::SafeOrdinal => (1, true),
                };
                if !index_bound.fits(&Type::Int64) {
                    let message =
                        format!("Array position must be coercible to INT64 type, but has type {}", index_bound.ty);
                    return Err(SqlError::invalid(message).at_span(at));
                }
                let index = index_bound.coerce(&Type::Int64)?;
                let name = format!("element[{first}{safe}]");
                let function = Scalar::new(name, vec![bound.ty.clone(), Type::Int64], element.clone(), move |args| {
                    let index = args[1].int() - first;
                    let item = usize::try_from(index).ok().and_then(|i| args[0].items().get(i));
                    match item {
                        Some(item) => Ok(item.clone()),
                        None if safe => Ok(Value::Null),
                        None if index < 0 => Err(format!("Array index {} is out of bounds", args[1].int())),
                        None => Err(format!("Array index {} is out of bounds (overflow)", args[1].int())),
                    }
                });
                Ok(Bound::new(function.call(vec![bound.expr, index]), element))
            }
            (Type::Json, Accessor::Plain) if index_bound.ty == Type::String => {
                let function = Scalar::new("json_member", vec![Type::Json, Type::String], Type::Json, |args| {
                    let json = Json::parse(args[0].str()).ok_or("Invalid JSON")?;
                    Ok(json.member(args[1].str()).map_or(Value::Null, |v| Value::string(v.text())))
                });
                Ok(Bound::new(function.call(vec![bound.expr, index_bound.expr]), Type::Json))
            }
            (Type::Json, Accessor::Plain) if index_bound.fits(&Type::Int64) => {
                let index = index_bound.coerce(&Type::Int64)?;
                let function = Scalar::new("json_element", vec![Type::Json, Type::Int64], Type::Json, |args| {
                    let json = Json::parse(args[0].str()).ok_or("Invalid JSON")?;
                    let item = match &json {
                        Json::Array(items) => usize::try_from(args[1].int()).ok().and_then(|i| items.get(i)),
                        _ => None,
                    };
                    Ok(item.map_or(Value::Null, |v| Value::string(v.text())))
                });
                Ok(Bound::new(function.call(vec![bound.expr, index]), Type::Json))
            }
            _ => {
                let message = format!("Element access using [] is not supported on values of type {}", bound.ty);
                Err(SqlError::invalid(message).at_span(at))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Accessor {
    Plain,
    Offset,
    Ordinal,
    SafeOffset,
    SafeOrdinal,
}

/// `OFFSET(0)` and its kin, which only a subscript knows.
fn accessor(index: &Sql) -> (Accessor, &Sql) {
    if let Sql::Function(function) = index
        && let FunctionArguments::List(list) = &function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice()
    {
        let accessor = match function.name.to_string().to_uppercase().as_str() {
            "OFFSET" => Accessor::Offset,
            "ORDINAL" => Accessor::Ordinal,
            "SAFE_OFFSET" => Accessor::SafeOffset,
            "SAFE_ORDINAL" => Accessor::SafeOrdinal,
            _ => return (Accessor::Plain, index),
        };
        return (accessor, argument);
    }
    (Accessor::Plain, index)
}

/// The field of a STRUCT, or the member of a JSON object.
fn member(bound: Bound, name: &str) -> Result<Bound, SqlError> {
    match &bound.ty {
        Type::Struct(fields) => {
            let mut found = (0..fields.len()).filter(|i| fields[*i].name.eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (Some(index), None) => {
                    let ty = fields[index].ty.clone();
                    Ok(Bound::new(field(bound.expr, &bound.ty, index), ty))
                }
                (Some(_), Some(_)) => Err(SqlError::invalid(format!("Struct field name {name} is ambiguous"))),
                (None, _) => Err(SqlError::invalid(format!("Field name {name} does not exist in {}", bound.ty))),
            }
        }
        Type::Json => {
            let member = name.to_owned();
            let function = Scalar::new(format!("json_member[{name}]"), vec![Type::Json], Type::Json, move |args| {
                let json = Json::parse(args[0].str()).ok_or("Invalid JSON")?;
                Ok(json.member(&member).map_or(Value::Null, |v| Value::string(v.text())))
            });
            Ok(Bound::new(function.call(vec![bound.expr]), Type::Json))
        }
        Type::Array(_) => {
            let message = format!("Cannot access field {name} on a value with type {}", bound.ty);
            Err(SqlError::invalid(message))
        }
        other => Err(SqlError::invalid(format!("Cannot access field {name} on a value with type {other}"))),
    }
}

fn ambiguous(ident: &Ident) -> SqlError {
    SqlError::invalid(format!("Column name {} is ambiguous", ident.value)).at_span(ident.span)
}
