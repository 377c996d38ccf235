//! Rows of cells as Arrow columns, and columns of an older schema as columns of a newer one.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
        Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray, Time64MicrosecondArray,
        TimestampMicrosecondArray, new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit},
    error::ArrowError,
};

use super::cell::Cell;

/// The rows, whose cells are in the order of the schema's columns, as one batch.
pub(crate) fn batch(schema: &SchemaRef, rows: &[Vec<Cell>]) -> Result<RecordBatch, ArrowError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let cells: Vec<&Cell> = rows.iter().map(|row| row.get(index).unwrap_or(&Cell::Null)).collect();
        columns.push(array(field, &cells)?);
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// A batch of an older schema of the table in the newer schema: columns that were added are NULL, or empty.
pub(crate) fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let old = batch.schema();
    let columns = adapt_fields(old.fields(), batch.columns(), schema.fields(), batch.num_rows())?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn adapt_fields(old: &Fields, columns: &[ArrayRef], new: &Fields, length: usize) -> Result<Vec<ArrayRef>, ArrowError> {
    let adapted = new.iter().map(|field| match old.iter().position(|o| o.name().eq_ignore_ascii_case(field.name())) {
        Some(index) => adapt_array(&columns[index], field),
        None => Ok(missing(field, length)),
    });
    adapted.collect()
}

fn missing(field: &FieldRef, length: usize) -> ArrayRef {
    match field.data_type() {
        DataType::List(element) => {
            let offsets = OffsetBuffer::new(vec![0_i32; length + 1].into());
            let values = new_null_array(element.data_type(), 0);
            match ListArray::try_new(Arc::clone(element), offsets, values, None) {
                Ok(list) => Arc::new(list),
                Err(_) => new_null_array(field.data_type(), length),
            }
        }
        other => new_null_array(other, length),
    }
}

fn adapt_array(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), field.data_type()) {
        (DataType::Struct(old), DataType::Struct(new)) => {
            let array = array.as_struct();
            let columns = adapt_fields(old, array.columns(), new, array.len())?;
            let adapted = StructArray::try_new_with_length(new.clone(), columns, array.nulls().cloned(), array.len())?;
            Ok(Arc::new(adapted))
        }
        (DataType::List(_), DataType::List(element)) => {
            let array: &ListArray = array.as_list();
            let values = adapt_array(array.values(), element)?;
            let adapted =
                ListArray::try_new(Arc::clone(element), array.offsets().clone(), values, array.nulls().cloned())?;
            Ok(Arc::new(adapted))
        }
        (_, wider) => arrow::compute::cast(array, wider),
    }
}

fn array(field: &Field, cells: &[&Cell]) -> Result<ArrayRef, ArrowError> {
    let unfit = |cell: &Cell| ArrowError::InvalidArgumentError(format!("{}: {cell:?} does not fit", field.name()));
    macro_rules! primitive {
        ($array:ty, $pattern:pat => $value:expr) => {{
            let values = cells.iter().map(|cell| match cell {
                Cell::Null => Ok(None),
                $pattern => Ok(Some($value)),
                other => Err(unfit(other)),
            });
            values.collect::<Result<$array, ArrowError>>()?
        }};
    }
    let array: ArrayRef = match field.data_type() {
        DataType::Boolean => Arc::new(primitive!(BooleanArray, Cell::Bool(value) => *value)),
        DataType::Int64 => Arc::new(primitive!(Int64Array, Cell::Int(value) => *value)),
        DataType::Float64 => Arc::new(primitive!(Float64Array, Cell::Float(value) => *value)),
        DataType::Date32 => {
            Arc::new(primitive!(Date32Array, Cell::Int(value) => i32::try_from(*value).unwrap_or_default()))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            Arc::new(primitive!(Time64MicrosecondArray, Cell::Int(value) => *value))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let array = primitive!(TimestampMicrosecondArray, Cell::Int(value) => *value);
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let array = primitive!(
                Decimal128Array,
                Cell::Decimal(value) => value.to_i128().ok_or_else(|| unfit(&Cell::Decimal(*value)))?
            );
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Decimal256(precision, scale) => {
            let array = primitive!(Decimal256Array, Cell::Decimal(value) => *value);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Utf8 => Arc::new(primitive!(StringArray, Cell::Text(value) => value.as_str())),
        DataType::Binary => Arc::new(primitive!(BinaryArray, Cell::Bytes(value) => value.as_slice())),
        DataType::Struct(fields) => structs(fields, cells)?,
        DataType::List(element) => lists(element, cells)?,
        other => return Err(ArrowError::NotYetImplemented(format!("columns of {other}"))),
    };
    Ok(array)
}

fn structs(fields: &Fields, cells: &[&Cell]) -> Result<ArrayRef, ArrowError> {
    let valid: NullBuffer = cells.iter().map(|cell| matches!(cell, Cell::Struct(_))).collect();
    let mut columns = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let children: Vec<&Cell> = cells
            .iter()
            .map(|cell| match cell {
                Cell::Struct(cells) => cells.get(index).unwrap_or(&Cell::Null),
                _ if matches!(field.data_type(), DataType::List(_)) => &EMPTY,
                _ => &Cell::Null,
            })
            .collect();
        columns.push(array(field, &children)?);
    }
    let nulls = Some(valid).filter(|valid| valid.null_count() > 0);
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, cells.len())?))
}

static EMPTY: Cell = Cell::Array(Vec::new());

fn lists(element: &FieldRef, cells: &[&Cell]) -> Result<ArrayRef, ArrowError> {
    let mut elements = Vec::new();
    let mut lengths = Vec::with_capacity(cells.len());
    for cell in cells {
        let items = match cell {
            Cell::Array(items) => items.as_slice(),
            Cell::Null => &[],
            other => return Err(ArrowError::InvalidArgumentError(format!("{other:?} is no array"))),
        };
        lengths.push(items.len());
        elements.extend(items);
    }
    let values = array(element, &elements)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), OffsetBuffer::from_lengths(lengths), values, None)?))
}
