//! BigQuery's types as the binder knows them, and their Arrow types.

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Field as ArrowField, IntervalUnit, TimeUnit};
use catalog::{Field, FieldType, Mode, TableSchema};
use sqlparser::ast;

use super::SqlError;
use crate::bigquery::arrow_schema::{BIGNUMERIC, NUMERIC};

/// A GoogleSQL type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Type {
    Bool,
    Int64,
    Float64,
    Numeric,
    BigNumeric,
    String,
    Bytes,
    Date,
    Time,
    Datetime,
    Timestamp,
    Interval,
    Json,
    Geography,
    Array(Box<Type>),
    Struct(Arc<[StructField]>),
}

/// A field of a STRUCT; the name is empty where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StructField {
    pub(super) name: String,
    pub(super) ty: Type,
}

impl Type {
    /// ARRAY of this type.
    pub(super) fn array(self) -> Self {
        Self::Array(Box::new(self))
    }

    /// The Arrow type that carries it.
    pub(super) fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Numeric => DataType::Decimal128(NUMERIC.0, NUMERIC.1),
            Self::BigNumeric => DataType::Decimal256(BIGNUMERIC.0, BIGNUMERIC.1),
            Self::String | Self::Json | Self::Geography => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Array(element) => DataType::List(Arc::new(ArrowField::new("item", element.arrow(), true))),
            Self::Struct(fields) => DataType::Struct(
                fields.iter().enumerate().map(|(i, f)| ArrowField::new(format!("f{i}"), f.ty.arrow(), true)).collect(),
            ),
        }
    }

    /// The type of one column.
    pub(super) fn of_field(field: &Field) -> Self {
        let element = match field.field_type {
            FieldType::String => Self::String,
            FieldType::Bytes => Self::Bytes,
            FieldType::Integer => Self::Int64,
            FieldType::Float => Self::Float64,
            FieldType::Boolean => Self::Bool,
            FieldType::Numeric => Self::Numeric,
            FieldType::Bignumeric => Self::BigNumeric,
            FieldType::Date => Self::Date,
            FieldType::Time => Self::Time,
            FieldType::Datetime => Self::Datetime,
            FieldType::Timestamp => Self::Timestamp,
            FieldType::Geography => Self::Geography,
            FieldType::Json => Self::Json,
            FieldType::Record => Self::Struct(
                field.fields.iter().map(|f| StructField { name: f.name.clone(), ty: Self::of_field(f) }).collect(),
            ),
        };
        if field.mode == Mode::Repeated { element.array() } else { element }
    }

    /// A result column of this type.
    pub(super) fn to_field(&self, name: &str) -> Result<Field, SqlError> {
        let (element, mode) = match self {
            Self::Array(element) => (element.as_ref(), Mode::Repeated),
            other => (other, Mode::Nullable),
        };
        let field_type = match element {
            Self::Bool => FieldType::Boolean,
            Self::Int64 => FieldType::Integer,
            Self::Float64 => FieldType::Float,
            Self::Numeric => FieldType::Numeric,
            Self::BigNumeric => FieldType::Bignumeric,
            Self::String => FieldType::String,
            Self::Bytes => FieldType::Bytes,
            Self::Date => FieldType::Date,
            Self::Time => FieldType::Time,
            Self::Datetime => FieldType::Datetime,
            Self::Timestamp => FieldType::Timestamp,
            Self::Json => FieldType::Json,
            Self::Geography => FieldType::Geography,
            Self::Struct(_) => FieldType::Record,
            Self::Interval => return Err(SqlError::not_implemented("INTERVAL in the result")),
            Self::Array(_) => return Err(SqlError::invalid("Arrays of arrays are not supported in the result")),
        };
        let mut field = Field::new(name, field_type, mode);
        if let Self::Struct(fields) = element {
            for (i, f) in fields.iter().enumerate() {
                let name = if f.name.is_empty() { format!("_field_{}", i + 1) } else { f.name.clone() };
                field.fields.push(f.ty.to_field(&name)?);
            }
        }
        Ok(field)
    }

    /// The type of a table's row.
    pub(super) fn of_schema(schema: &TableSchema) -> Vec<StructField> {
        schema.fields.iter().map(|f| StructField { name: f.name.clone(), ty: Self::of_field(f) }).collect()
    }

    pub(super) fn is_numeric(&self) -> bool {
        matches!(self, Self::Int64 | Self::Float64 | Self::Numeric | Self::BigNumeric)
    }

    /// May be sorted by, and compared with `<`.
    pub(super) fn is_orderable(&self) -> bool {
        !matches!(self, Self::Json | Self::Geography | Self::Array(_) | Self::Struct(_) | Self::Interval)
    }

    /// May be grouped by, in this engine.
    pub(super) fn is_groupable(&self) -> bool {
        self.is_orderable()
    }

    /// May be used where `to` is wanted, without a cast.
    pub(super) fn coerces_to(&self, to: &Self) -> bool {
        use Type::{BigNumeric, Date, Datetime, Float64, Int64, Numeric};
        if self == to {
            return true;
        }
        match (self, to) {
            (Int64, Numeric | BigNumeric | Float64)
            | (Numeric, BigNumeric | Float64)
            | (BigNumeric, Float64)
            | (Date, Datetime) => true,
            (Self::Struct(a), Self::Struct(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.ty.coerces_to(&b.ty))
            }
            _ => false,
        }
    }

    /// The type that both may be used as.
    pub(super) fn supertype(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Struct(a), Self::Struct(b)) if a.len() == b.len() => {
                let fields = a
                    .iter()
                    .zip(b.iter())
                    .map(|(a, b)| Some(StructField { name: a.name.clone(), ty: a.ty.supertype(&b.ty)? }));
                Some(Self::Struct(fields.collect::<Option<_>>()?))
            }
            _ if other.coerces_to(self) => Some(self.clone()),
            _ if self.coerces_to(other) => Some(other.clone()),
            _ => None,
        }
    }

    /// The type that SQL names, as in `CAST(x AS …)`.
    pub(super) fn of_sql(sql: &ast::DataType) -> Result<Self, SqlError> {
        use ast::{DataType as Sql, ExactNumberInfo, TimezoneInfo};
        let parameterised = || SqlError::not_implemented(format_args!("Type {sql} with parameters"));
        let exact = |info: &ExactNumberInfo, ty| match info {
            ExactNumberInfo::None => Ok(ty),
            _ => Err(parameterised()),
        };
        Ok(match sql {
            Sql::Int64
            | Sql::Int(None)
            | Sql::Integer(None)
            | Sql::BigInt(None)
            | Sql::SmallInt(None)
            | Sql::TinyInt(None) => Self::Int64,
            Sql::Float64 => Self::Float64,
            Sql::Bool | Sql::Boolean => Self::Bool,
            Sql::String(None) => Self::String,
            Sql::Bytes(None) => Self::Bytes,
            Sql::String(Some(_)) | Sql::Bytes(Some(_)) => return Err(parameterised()),
            Sql::Numeric(info) | Sql::Decimal(info) => exact(info, Self::Numeric)?,
            Sql::BigNumeric(info) | Sql::BigDecimal(info) => exact(info, Self::BigNumeric)?,
            Sql::Date => Self::Date,
            Sql::Time(None, TimezoneInfo::None) => Self::Time,
            Sql::Datetime(None) => Self::Datetime,
            Sql::Timestamp(None, TimezoneInfo::None) => Self::Timestamp,
            Sql::Interval { .. } => Self::Interval,
            Sql::JSON => Self::Json,
            Sql::Array(ast::ArrayElemTypeDef::AngleBracket(element)) => {
                let element = Self::of_sql(element)?;
                if matches!(element, Self::Array(_)) {
                    return Err(SqlError::invalid("Arrays of arrays are not supported"));
                }
                element.array()
            }
            Sql::Struct(fields, _) => {
                let fields = fields.iter().map(|field| {
                    let name = field.field_name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
                    Ok(StructField { name, ty: Self::of_sql(&field.field_type)? })
                });
                Self::Struct(fields.collect::<Result<_, SqlError>>()?)
            }
            Sql::Custom(name, modifiers) => {
                let name = name.to_string().to_uppercase();
                match (name.as_str(), modifiers.is_empty()) {
                    ("GEOGRAPHY", true) => Self::Geography,
                    ("BYTEINT", true) => Self::Int64,
                    ("RANGE", _) => return Err(SqlError::not_implemented("Type RANGE")),
                    _ => return Err(SqlError::invalid(format!("Type not found: {name}"))),
                }
            }
            other => return Err(SqlError::invalid(format!("Type not found: {other}"))),
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bool => "BOOL",
            Self::Int64 => "INT64",
            Self::Float64 => "FLOAT64",
            Self::Numeric => "NUMERIC",
            Self::BigNumeric => "BIGNUMERIC",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::Datetime => "DATETIME",
            Self::Timestamp => "TIMESTAMP",
            Self::Interval => "INTERVAL",
            Self::Json => "JSON",
            Self::Geography => "GEOGRAPHY",
            Self::Array(element) => return write!(f, "ARRAY<{element}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    let space = if field.name.is_empty() { "" } else { " " };
                    write!(f, "{separator}{}{space}{}", field.name, field.ty)?;
                }
                return f.write_str(">");
            }
        };
        f.write_str(name)
    }
}
