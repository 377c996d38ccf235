use datafusion_common::Column;
use datafusion_expr::Expr;

use super::super::{SqlError, calendar, cast, data_type::Type, text, value::Value, zone::Zone};
use crate::bigquery::decimal::Decimal;

/// A bound expression: DataFusion's, with GoogleSQL's type.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) expr: Expr,
    pub(crate) ty: Type,
    pub(crate) kind: Kind,
}

/// What else is known of an expression, for the coercions that only literals and parameters have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Plain,
    /// `NULL`, of any type.
    Null,
    /// A string literal.
    Text(String),
    /// A number literal with a point or an exponent.
    Decimal(String),
    /// `[]`, of any element type.
    EmptyArray,
    /// A query parameter.
    Parameter,
}

/// The column of this internal name.
pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// A literal of the type.
pub(crate) fn literal(value: Value<'_>, ty: &Type) -> Result<Expr, SqlError> {
    value.scalar(ty).map(|scalar| Expr::Literal(scalar, None)).map_err(super::super::engine::of_datafusion)
}

impl Bound {
    pub(crate) fn new(expr: Expr, ty: Type) -> Self {
        Self { expr, ty, kind: Kind::Plain }
    }

    pub(crate) fn literal(value: Value<'_>, ty: Type) -> Result<Self, SqlError> {
        Ok(Self::new(literal(value, &ty)?, ty))
    }

    pub(crate) fn null() -> Result<Self, SqlError> {
        Ok(Self { kind: Kind::Null, ..Self::literal(Value::Null, Type::Int64)? })
    }

    /// The value, where it is a literal.
    pub(crate) fn constant(&self) -> Option<Value<'static>> {
        match &self.expr {
            Expr::Literal(scalar, _) => {
                let array = scalar.to_array().ok()?;
                Some(super::super::value::read(array.as_ref(), &self.ty, 0).into_owned())
            }
            _ => None,
        }
    }

    /// May be used as a value of the type, without a cast.
    pub(crate) fn fits(&self, to: &Type) -> bool {
        use Type::{BigNumeric, Bytes, Date, Datetime, Numeric, Time, Timestamp};
        if self.ty.coerces_to(to) {
            return true;
        }
        match &self.kind {
            Kind::Null => true,
            Kind::Text(_) => matches!(to, Date | Datetime | Time | Timestamp | Bytes),
            Kind::Decimal(_) => matches!(to, Numeric | BigNumeric),
            Kind::EmptyArray => matches!(to, Type::Array(_)),
            Kind::Parameter => self.ty == Type::String && matches!(to, Date | Datetime | Time | Timestamp),
            Kind::Plain => false,
        }
    }

    /// The expression as a value of the type, which it fits.
    pub(crate) fn coerce(self, to: &Type) -> Result<Expr, SqlError> {
        if self.ty == *to {
            return Ok(self.expr);
        }
        match &self.kind {
            Kind::Null => literal(Value::Null, to),
            Kind::EmptyArray if matches!(to, Type::Array(_)) => literal(Value::Array(Vec::new()), to),
            Kind::Text(content) => {
                let content = content.as_str();
                let invalid = || SqlError::invalid(format!("Could not cast literal \"{content}\" to type {to}"));
                let value = match to {
                    Type::Date => text::parse_date(content).map(Value::Int),
                    Type::Datetime => text::parse_datetime(content).map(Value::Int),
                    Type::Time => text::parse_time(content).map(Value::Int),
                    Type::Timestamp => {
                        text::parse_timestamp(content, Zone::UTC).and_then(calendar::in_range).map(Value::Int)
                    }
                    Type::Bytes => Some(Value::Bytes(content.as_bytes().to_vec().into())),
                    _ => None,
                };
                literal(value.ok_or_else(invalid)?, to)
            }
            Kind::Decimal(digits) if matches!(to, Type::Numeric | Type::BigNumeric) => {
                let decimal = if *to == Type::Numeric { Decimal::Numeric } else { Decimal::Bignumeric };
                let value = text::decimal(digits, decimal)
                    .ok_or_else(|| SqlError::invalid(format!("Invalid {to} value: {digits}")))?;
                literal(Value::Decimal(value), to)
            }
            _ => {
                if let Some(value) = self.constant()
                    && let Ok(converted) = cast::convert(&value, &self.ty, to)
                {
                    return literal(converted, to);
                }
                cast::cast(self.expr, &self.ty, to, false)
            }
        }
    }

    /// The type that all may be used as.
    pub(crate) fn supertype<'b>(all: impl IntoIterator<Item = &'b Self>) -> Option<Type> {
        let all: Vec<&Self> = all.into_iter().collect();
        let mut ty: Option<Type> = None;
        for bound in all.iter().filter(|b| b.kind == Kind::Plain) {
            ty = Some(match ty {
                None => bound.ty.clone(),
                Some(ty) => ty.supertype(&bound.ty)?,
            });
        }
        for bound in all.iter().filter(|b| !matches!(b.kind, Kind::Plain | Kind::Null | Kind::EmptyArray)) {
            ty = Some(match ty {
                None => bound.ty.clone(),
                Some(ty) if bound.fits(&ty) => ty,
                Some(ty) => ty.supertype(&bound.ty)?,
            });
        }
        let ty = match ty {
            Some(ty) => ty,
            None => all.iter().find(|b| b.kind != Kind::Null).or(all.first())?.ty.clone(),
        };
        all.iter().all(|bound| bound.fits(&ty)).then_some(ty)
    }
}
