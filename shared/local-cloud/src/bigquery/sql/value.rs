//! One value of a row: read from Arrow arrays, computed on, and built into arrays again.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
        Float64Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray, StructArray,
        Time64MicrosecondArray, TimestampMicrosecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float64Type, Int64Type, IntervalMonthDayNano,
        IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, i256,
    },
    error::ArrowError,
};
use datafusion_common::{DataFusionError, ScalarValue};

use super::data_type::Type;
use crate::bigquery::arrow_schema::{BIGNUMERIC, NUMERIC};

/// A value. Which GoogleSQL type it has is known beside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// INT64; DATE in days; TIME, DATETIME and TIMESTAMP in microseconds.
    Int(i64),
    Float(f64),
    /// NUMERIC and BIGNUMERIC, scaled by 10⁹ or 10³⁸.
    Decimal(i256),
    /// STRING, JSON, GEOGRAPHY.
    Str(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Interval(IntervalMonthDayNano),
    Array(Vec<Value<'a>>),
    Struct(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn string(text: impl Into<String>) -> Self {
        Self::Str(Cow::Owned(text.into()))
    }

    /// The integer; 0 where it is none, which the types rule out.
    pub(super) fn int(&self) -> i64 {
        match self {
            Self::Int(int) => *int,
            _ => 0,
        }
    }

    pub(super) fn float(&self) -> f64 {
        match self {
            Self::Float(float) => *float,
            #[expect(clippy::cast_precision_loss, reason = "INT64 is coerced to FLOAT64 so")]
            Self::Int(int) => *int as f64,
            _ => 0.0,
        }
    }

    pub(super) fn bool(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    pub(super) fn decimal(&self) -> i256 {
        match self {
            Self::Decimal(decimal) => *decimal,
            _ => i256::ZERO,
        }
    }

    pub(super) fn str(&self) -> &str {
        match self {
            Self::Str(text) => text,
            _ => "",
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Str(text) => text.as_bytes(),
            _ => &[],
        }
    }

    pub(super) fn interval(&self) -> IntervalMonthDayNano {
        match self {
            Self::Interval(interval) => *interval,
            _ => IntervalMonthDayNano::ZERO,
        }
    }

    pub(super) fn items(&self) -> &[Value<'a>] {
        match self {
            Self::Array(items) | Self::Struct(items) => items,
            _ => &[],
        }
    }

    /// Frees the value of what it borrows.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(v) => Value::Bool(v),
            Self::Int(v) => Value::Int(v),
            Self::Float(v) => Value::Float(v),
            Self::Decimal(v) => Value::Decimal(v),
            Self::Str(v) => Value::Str(Cow::Owned(v.into_owned())),
            Self::Bytes(v) => Value::Bytes(Cow::Owned(v.into_owned())),
            Self::Interval(v) => Value::Interval(v),
            Self::Array(v) => Value::Array(v.into_iter().map(Value::into_owned).collect()),
            Self::Struct(v) => Value::Struct(v.into_iter().map(Value::into_owned).collect()),
        }
    }

    /// GoogleSQL's order: NULL, then NaN, then the rest.
    pub(super) fn order(&self, other: &Value<'_>) -> Ordering {
        match (self, other) {
            (Self::Null, Value::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (Self::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())),
            (Self::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Self::Int(a), Value::Int(b)) => a.cmp(b),
            (Self::Decimal(a), Value::Decimal(b)) => a.cmp(b),
            (Self::Str(a), Value::Str(b)) => a.cmp(b),
            (Self::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Self::Array(a) | Self::Struct(a), Value::Array(b) | Value::Struct(b)) => {
                let first = a.iter().zip(b).map(|(a, b)| a.order(b)).find(|order| order.is_ne());
                first.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            _ => Ordering::Equal,
        }
    }

    /// The value as DataFusion's literal of the type.
    pub(super) fn scalar(self, ty: &Type) -> Result<ScalarValue, DataFusionError> {
        ScalarValue::try_from_array(&build(ty, vec![self])?, 0)
    }
}

/// The value at `row` of an array of the type.
pub(super) fn read<'a>(array: &'a dyn Array, ty: &Type, row: usize) -> Value<'a> {
    if array.is_null(row) {
        return Value::Null;
    }
    match ty {
        Type::Bool => Value::Bool(array.as_boolean().value(row)),
        Type::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        Type::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        Type::Numeric => Value::Decimal(i256::from_i128(array.as_primitive::<Decimal128Type>().value(row))),
        Type::BigNumeric => Value::Decimal(array.as_primitive::<Decimal256Type>().value(row)),
        Type::String | Type::Json | Type::Geography => Value::Str(Cow::Borrowed(array.as_string::<i32>().value(row))),
        Type::Bytes => Value::Bytes(Cow::Borrowed(array.as_binary::<i32>().value(row))),
        Type::Date => Value::Int(array.as_primitive::<Date32Type>().value(row).into()),
        Type::Time => Value::Int(array.as_primitive::<Time64MicrosecondType>().value(row)),
        Type::Datetime | Type::Timestamp => Value::Int(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Type::Interval => Value::Interval(array.as_primitive::<IntervalMonthDayNanoType>().value(row)),
        Type::Array(element) => {
            let list = array.as_list::<i32>();
            let (start, end) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
            let values = list.values().as_ref();
            Value::Array((start..end).map(|i| read(values, element, usize::try_from(i).unwrap_or_default())).collect())
        }
        Type::Struct(fields) => {
            let columns = array.as_struct().columns();
            Value::Struct(fields.iter().zip(columns).map(|(f, column)| read(column.as_ref(), &f.ty, row)).collect())
        }
    }
}

/// The Arrow array of values of the type.
pub(super) fn build(ty: &Type, values: Vec<Value<'_>>) -> Result<ArrayRef, ArrowError> {
    macro_rules! primitive {
        ($array:ty, $pattern:pat => $value:expr) => {
            values.iter().map(|v| if let $pattern = v { Some($value) } else { None }).collect::<$array>()
        };
    }
    Ok(match ty {
        Type::Bool => Arc::new(primitive!(BooleanArray, Value::Bool(v) => *v)),
        Type::Int64 => Arc::new(primitive!(Int64Array, Value::Int(v) => *v)),
        Type::Float64 => Arc::new(primitive!(Float64Array, Value::Float(v) => *v)),
        Type::Numeric => {
            let array = primitive!(Decimal128Array, Value::Decimal(v) => v.to_i128().unwrap_or_default());
            Arc::new(array.with_precision_and_scale(NUMERIC.0, NUMERIC.1)?)
        }
        Type::BigNumeric => {
            let array = primitive!(Decimal256Array, Value::Decimal(v) => *v);
            Arc::new(array.with_precision_and_scale(BIGNUMERIC.0, BIGNUMERIC.1)?)
        }
        Type::String | Type::Json | Type::Geography => Arc::new(primitive!(StringArray, Value::Str(v) => v.as_ref())),
        Type::Bytes => Arc::new(primitive!(BinaryArray, Value::Bytes(v) => v.as_ref())),
        Type::Date => Arc::new(primitive!(Date32Array, Value::Int(v) => i32::try_from(*v).unwrap_or_default())),
        Type::Time => Arc::new(primitive!(Time64MicrosecondArray, Value::Int(v) => *v)),
        Type::Datetime => Arc::new(primitive!(TimestampMicrosecondArray, Value::Int(v) => *v)),
        Type::Timestamp => Arc::new(primitive!(TimestampMicrosecondArray, Value::Int(v) => *v).with_timezone("UTC")),
        Type::Interval => Arc::new(primitive!(IntervalMonthDayNanoArray, Value::Interval(v) => *v)),
        Type::Array(element) => {
            let nulls: NullBuffer = values.iter().map(|v| !v.is_null()).collect();
            let (mut items, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
            for value in values {
                let before = items.len();
                if let Value::Array(list) = value {
                    items.extend(list);
                }
                lengths.push(items.len() - before);
            }
            let field = Arc::new(Field::new("item", element.arrow(), true));
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::try_new(field, offsets, build(element, items)?, some_nulls(nulls))?)
        }
        Type::Struct(fields) => {
            let nulls: NullBuffer = values.iter().map(|v| !v.is_null()).collect();
            let length = values.len();
            let mut columns: Vec<Vec<Value<'_>>> = fields.iter().map(|_| Vec::with_capacity(length)).collect();
            for value in values {
                match value {
                    Value::Struct(items) => columns.iter_mut().zip(items).for_each(|(column, v)| column.push(v)),
                    _ => columns.iter_mut().for_each(|column| column.push(Value::Null)),
                }
            }
            let arrays = fields.iter().zip(columns).map(|(f, column)| build(&f.ty, column));
            let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
            let DataType::Struct(arrow) = ty.arrow() else { return Err(ArrowError::SchemaError("STRUCT".into())) };
            Arc::new(StructArray::try_new_with_length(arrow, arrays, some_nulls(nulls), length)?)
        }
    })
}

fn some_nulls(nulls: NullBuffer) -> Option<NullBuffer> {
    Some(nulls).filter(|nulls| nulls.null_count() > 0)
}

/// The same values under another Arrow type that differs in field names, nullability and metadata alone.
pub(super) fn conform(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    match to {
        DataType::Struct(fields) => {
            let from = array.as_struct_opt().ok_or_else(|| unlike(array.data_type(), to))?;
            let columns = fields.iter().zip(from.columns()).map(|(f, column)| conform(column, f.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, from.nulls().cloned(), from.len())?))
        }
        DataType::List(element) => {
            let from = array.as_list_opt::<i32>().ok_or_else(|| unlike(array.data_type(), to))?;
            let values = conform(from.values(), element.data_type())?;
            let element = Arc::clone(element);
            Ok(Arc::new(ListArray::try_new(element, from.offsets().clone(), values, from.nulls().cloned())?))
        }
        _ => arrow::compute::cast(array, to),
    }
}

fn unlike(from: &DataType, to: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("{from} is not like {to}"))
}
