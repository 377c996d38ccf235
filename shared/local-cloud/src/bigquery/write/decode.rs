//! One serialized row as cells, by its plan.

use std::borrow::Cow;

use arrow::datatypes::i256;
use catalog::{Field, FieldType};
use prost_types::field_descriptor_proto::Type;

use super::plan::{FieldPlan, Message, Source};
use crate::bigquery::{
    cell::{self, Cell},
    civil,
    decimal::Decimal,
};

/// The cells of a message in the order of its columns. The error says which field is wrong, and how.
pub(super) fn decode(message: &Message, bytes: &[u8]) -> Result<Vec<Cell>, String> {
    let mut cells: Vec<Option<Cell>> = vec![None; message.columns.len()];
    let mut nested: Vec<(usize, Cow<'_, [u8]>)> = Vec::new();
    let mut wire = Wire(bytes);
    while !wire.0.is_empty() {
        let (number, kind) = wire.key()?;
        let raw = wire.value(kind)?;
        let Some((index, plan)) = message.field(number) else { continue };
        let field = &message.columns[plan.column];
        match (&plan.source, raw) {
            (Source::Scalar(Type::String | Type::Bytes), Raw::Bytes(_)) => {
                put(&mut cells, plan, scalar(plan, field, raw)?)
            }
            (Source::Scalar(_) | Source::Enum(_), Raw::Bytes(packed)) if plan.repeated => {
                let mut packed = Wire(packed);
                while !packed.0.is_empty() {
                    let raw = packed.value(unpacked_kind(plan))?;
                    put(&mut cells, plan, scalar(plan, field, raw)?);
                }
            }
            (Source::Scalar(_) | Source::Enum(_), raw) => put(&mut cells, plan, scalar(plan, field, raw)?),
            (Source::Wrapper(inner), Raw::Bytes(bytes)) => put(&mut cells, plan, wrapper(field, *inner, bytes)?),
            (Source::Timestamp, Raw::Bytes(bytes)) => put(&mut cells, plan, timestamp(field, bytes)?),
            (Source::Message(inner), Raw::Bytes(bytes)) if plan.repeated => {
                let cell = Cell::Struct(decode(inner, bytes).map_err(|detail| cell::in_field(field, &detail))?);
                put(&mut cells, plan, cell);
            }
            // A message given in pieces is the message of the pieces' bytes together.
            (Source::Message(_), Raw::Bytes(bytes)) => match nested.iter_mut().find(|(seen, _)| *seen == index) {
                Some((_, before)) => before.to_mut().extend_from_slice(bytes),
                None => nested.push((index, Cow::Borrowed(bytes))),
            },
            (Source::Wrapper(_) | Source::Timestamp | Source::Message(_), _) => return Err(wrong_wire(field)),
        }
    }
    for (index, bytes) in nested {
        let plan = &message.fields[index];
        if let Source::Message(inner) = &plan.source {
            let field = &message.columns[plan.column];
            let cell = Cell::Struct(decode(inner, &bytes).map_err(|detail| cell::in_field(field, &detail))?);
            put(&mut cells, plan, cell);
        }
    }
    for plan in message.fields.iter().filter(|plan| plan.required) {
        if cells[plan.column].is_none() {
            let name = &message.columns[plan.column].name;
            return Err(format!("Field {name} is required by the proto schema but missing"));
        }
    }
    let finished =
        cells.into_iter().zip(&message.columns).map(|(cell, field)| cell.map_or_else(|| cell::absent(field), Ok));
    finished.collect()
}

fn put(cells: &mut [Option<Cell>], plan: &FieldPlan, cell: Cell) {
    let slot = &mut cells[plan.column];
    match slot {
        Some(Cell::Array(items)) if plan.repeated => items.push(cell),
        _ if plan.repeated => *slot = Some(Cell::Array(vec![cell])),
        _ => *slot = Some(cell),
    }
}

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn key(&mut self) -> Result<(u32, u8), String> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0).ok_or_else(malformed)?;
        Ok((number, (key & 7) as u8))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(malformed())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    fn value(&mut self, kind: u8) -> Result<Raw<'a>, String> {
        Ok(match kind {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(u64::from_le_bytes(self.take()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| malformed())?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
                self.0 = rest;
                Raw::Bytes(bytes)
            }
            5 => Raw::Fixed32(u32::from_le_bytes(self.take()?)),
            _ => return Err(malformed()),
        })
    }
}

fn malformed() -> String {
    "The row is no valid protocol buffer of the writer schema".to_owned()
}

fn wrong_wire(field: &Field) -> String {
    format!("Field {}: its wire type is not that of the writer schema", field.name)
}

fn unpacked_kind(plan: &FieldPlan) -> u8 {
    match plan.source {
        Source::Scalar(Type::Double | Type::Fixed64 | Type::Sfixed64) => 1,
        Source::Scalar(Type::Float | Type::Fixed32 | Type::Sfixed32) => 5,
        _ => 0,
    }
}

/// A value as the writer schema types it.
enum Typed<'a> {
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn scalar(plan: &FieldPlan, field: &Field, raw: Raw<'_>) -> Result<Cell, String> {
    if let Source::Enum(names) = &plan.source {
        let Raw::Varint(number) = raw else { return Err(wrong_wire(field)) };
        // Enums are 32 bits that are sign-extended on the wire.
        let number = number as i32;
        if field.field_type == FieldType::Integer {
            return Ok(Cell::Int(number.into()));
        }
        let name =
            names.get(&number).ok_or_else(|| format!("Field {}: {number} is no value of the enum", field.name))?;
        return cell::constrained(field, Cell::Text(name.clone()));
    }
    let Source::Scalar(kind) = plan.source else { return Err(wrong_wire(field)) };
    convert(field, typed(field, kind, raw)?)
}

fn typed<'a>(field: &Field, kind: Type, raw: Raw<'a>) -> Result<Typed<'a>, String> {
    Ok(match (kind, raw) {
        (Type::Int32, Raw::Varint(value)) => Typed::Int((value as i32).into()),
        (Type::Int64, Raw::Varint(value)) => Typed::Int(value.cast_signed()),
        (Type::Uint32, Raw::Varint(value)) => Typed::Int((value as u32).into()),
        (Type::Uint64, Raw::Varint(value)) => Typed::Unsigned(value),
        (Type::Sint32 | Type::Sint64, Raw::Varint(value)) => {
            Typed::Int((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
        }
        (Type::Bool, Raw::Varint(value)) => Typed::Bool(value != 0),
        (Type::Fixed64, Raw::Fixed64(value)) => Typed::Unsigned(value),
        (Type::Sfixed64, Raw::Fixed64(value)) => Typed::Int(value.cast_signed()),
        (Type::Double, Raw::Fixed64(value)) => Typed::Float(f64::from_bits(value)),
        (Type::Fixed32, Raw::Fixed32(value)) => Typed::Int(value.into()),
        (Type::Sfixed32, Raw::Fixed32(value)) => Typed::Int(value.cast_signed().into()),
        (Type::Float, Raw::Fixed32(value)) => Typed::Float(f32::from_bits(value).into()),
        (Type::String, Raw::Bytes(bytes)) => Typed::Text(
            std::str::from_utf8(bytes).map_err(|_| format!("Field {}: the string is not UTF-8", field.name))?,
        ),
        (Type::Bytes, Raw::Bytes(bytes)) => Typed::Bytes(bytes),
        _ => return Err(wrong_wire(field)),
    })
}

fn convert(field: &Field, value: Typed<'_>) -> Result<Cell, String> {
    let out_of_range = |value: &dyn std::fmt::Display| {
        format!("Field {}: {value} is out of range of {}", field.name, field.field_type.sql_name())
    };
    let ranged = |value: i64, ranged: Option<i64>| ranged.map(Cell::Int).ok_or_else(|| out_of_range(&value));
    let cell = match (field.field_type, value) {
        (FieldType::Boolean, Typed::Bool(value)) => Cell::Bool(value),
        (FieldType::Boolean, Typed::Int(value)) => Cell::Bool(value != 0),
        (FieldType::Boolean, Typed::Unsigned(value)) => Cell::Bool(value != 0),
        (FieldType::Bytes, Typed::Bytes(value)) => Cell::Bytes(value.to_vec()),
        (FieldType::Bytes, Typed::Text(value)) => Cell::Bytes(value.as_bytes().to_vec()),
        (FieldType::Integer, Typed::Int(value)) => Cell::Int(value),
        (FieldType::Float, Typed::Float(value)) => Cell::Float(value),
        (FieldType::Float, Typed::Int(value)) => Cell::Float(value as f64),
        (FieldType::Float, Typed::Unsigned(value)) => Cell::Float(value as f64),
        (FieldType::Date, Typed::Int(value)) => ranged(value, civil::date_of_days(value).map(i64::from))?,
        (FieldType::Time, Typed::Int(value)) => ranged(value, civil::unpack_time(value))?,
        (FieldType::Datetime, Typed::Int(value)) => ranged(value, civil::unpack_datetime(value))?,
        (FieldType::Timestamp, Typed::Int(value)) => ranged(value, civil::instant_of_micros(value))?,
        (FieldType::Numeric | FieldType::Bignumeric, Typed::Text(text)) => return cell::of_text(field, text),
        (FieldType::Numeric | FieldType::Bignumeric, value) => Cell::Decimal(decimal(field, value)?),
        (_, Typed::Text(text)) => return cell::of_text(field, text),
        _ => return Err(wrong_wire(field)),
    };
    cell::constrained(field, cell)
}

fn decimal(field: &Field, value: Typed<'_>) -> Result<i256, String> {
    let kind = cell::decimal_of(field).unwrap_or(Decimal::Numeric);
    let decimal = match value {
        Typed::Int(value) => kind.of_integer(value.into()),
        Typed::Unsigned(value) => kind.of_integer(value.into()),
        Typed::Float(value) => kind.parse(&format!("{value:.*}", kind.scale() as usize)),
        Typed::Bytes(bytes) => kind.of_bytes(bytes),
        Typed::Bool(_) | Typed::Text(_) => return Err(wrong_wire(field)),
    };
    decimal.map_err(|detail| cell::in_field(field, &detail))
}

fn wrapper(field: &Field, inner: Type, bytes: &[u8]) -> Result<Cell, String> {
    let mut value = match inner {
        Type::Bool => Typed::Bool(false),
        Type::Float | Type::Double => Typed::Float(0.0),
        Type::String => Typed::Text(""),
        Type::Bytes => Typed::Bytes(&[]),
        _ => Typed::Int(0),
    };
    let mut wire = Wire(bytes);
    while !wire.0.is_empty() {
        let (number, kind) = wire.key()?;
        let raw = wire.value(kind)?;
        if number == 1 {
            value = typed(field, inner, raw)?;
        }
    }
    convert(field, value)
}

fn timestamp(field: &Field, bytes: &[u8]) -> Result<Cell, String> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut wire = Wire(bytes);
    while !wire.0.is_empty() {
        let (number, kind) = wire.key()?;
        match (number, wire.value(kind)?) {
            (1, Raw::Varint(value)) => seconds = value.cast_signed(),
            (2, Raw::Varint(value)) => nanos = value.cast_signed(),
            _ => {}
        }
    }
    let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(nanos.div_euclid(1000)));
    let micros = micros.and_then(civil::instant_of_micros);
    micros.map(Cell::Int).ok_or_else(|| format!("Field {}: {seconds} s is out of range of TIMESTAMP", field.name))
}
