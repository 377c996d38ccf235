//! Every conversion of protobuf types to column types that the API documents, and its limits.

use arrow::datatypes::i256;
use bytes::BufMut;
use catalog::{Field, FieldType, Mode, TableSchema};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use super::{decode::decode, plan::compile};
use crate::bigquery::cell::Cell;

fn proto_field(kind: Type, type_name: Option<&str>, label: Label) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto { name: Some("f".into()), number: Some(1), ..Default::default() };
    field.set_type(kind);
    field.set_label(label);
    field.type_name = type_name.map(str::to_owned);
    field
}

fn message(field: FieldDescriptorProto) -> DescriptorProto {
    let values = ["ZERO", "ONE"].into_iter().enumerate().map(|(number, name)| EnumValueDescriptorProto {
        name: Some(name.into()),
        number: i32::try_from(number).ok(),
        ..Default::default()
    });
    let named = EnumDescriptorProto { name: Some("Level".into()), value: values.collect(), ..Default::default() };
    let inner = DescriptorProto {
        name: Some("Inner".into()),
        field: vec![proto_field(Type::Int64, None, Label::Optional)],
        ..Default::default()
    };
    DescriptorProto {
        name: Some("Row".into()),
        field: vec![field],
        nested_type: vec![inner],
        enum_type: vec![named],
        ..Default::default()
    }
}

fn convert(column: Field, field: FieldDescriptorProto, row: &[u8]) -> Result<Cell, String> {
    let schema = TableSchema { fields: vec![column] };
    let plan = compile(&message(field), &schema).map_err(|mismatch| format!("{mismatch:?}"))?;
    Ok(decode(&plan.message, row)?.remove(0))
}

fn one(column: FieldType, kind: Type, row: &[u8]) -> Result<Cell, String> {
    let type_name = (kind == Type::Enum).then_some(".some.package.Row.Level");
    convert(Field::new("f", column, Mode::Nullable), proto_field(kind, type_name, Label::Optional), row)
}

fn varint(value: i64) -> Vec<u8> {
    let mut row = Vec::new();
    encode_key(1, WireType::Varint, &mut row);
    encode_varint(value.cast_unsigned(), &mut row);
    row
}

fn text(value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut row = Vec::new();
    encode_key(1, WireType::LengthDelimited, &mut row);
    encode_varint(value.as_ref().len() as u64, &mut row);
    row.put_slice(value.as_ref());
    row
}

fn fixed64(value: u64) -> Vec<u8> {
    [&[0x09][..], &value.to_le_bytes()].concat()
}

fn fixed32(value: u32) -> Vec<u8> {
    [&[0x0d][..], &value.to_le_bytes()].concat()
}

#[test]
fn documented_conversions() {
    use FieldType as F;
    let nano = |nanos: i128| Cell::Decimal(i256::from_i128(nanos));
    let time = (13_i64 << 32) | (14 << 26) | (15 << 20) | 16_000;
    let time_micros = ((13 * 60 + 14) * 60 + 15) * 1_000_000 + 16_000;
    let datetime = (1970_i64 << 46) | (1 << 42) | (2 << 37) | time;
    let cases: Vec<(FieldType, Type, Vec<u8>, Cell)> = vec![
        (F::Boolean, Type::Bool, varint(1), Cell::Bool(true)),
        (F::Boolean, Type::Int32, varint(0), Cell::Bool(false)),
        (F::Boolean, Type::Uint64, varint(9), Cell::Bool(true)),
        (F::Bytes, Type::Bytes, text([0, 1]), Cell::Bytes(vec![0, 1])),
        (F::Bytes, Type::String, text("é"), Cell::Bytes("é".into())),
        (F::Date, Type::Int32, varint(-719_162), Cell::Int(-719_162)),
        (F::Date, Type::Int64, varint(19_754), Cell::Int(19_754)),
        (F::Date, Type::String, text("2024-02-01"), Cell::Int(19_754)),
        (F::Time, Type::Int64, varint(time), Cell::Int(time_micros)),
        (F::Time, Type::String, text("13:14:15.016"), Cell::Int(time_micros)),
        (F::Datetime, Type::Int64, varint(datetime), Cell::Int(86_400_000_000 + time_micros)),
        (F::Datetime, Type::String, text("1970-01-02T13:14:15.016"), Cell::Int(86_400_000_000 + time_micros)),
        (F::Float, Type::Double, fixed64(2.5_f64.to_bits()), Cell::Float(2.5)),
        (F::Float, Type::Float, fixed32(2.5_f32.to_bits()), Cell::Float(2.5)),
        (F::Float, Type::Int64, varint(-3), Cell::Float(-3.0)),
        (F::Geography, Type::String, text("POINT(1 2)"), Cell::Text("POINT(1 2)".into())),
        (F::Integer, Type::Int32, varint(-1), Cell::Int(-1)),
        (F::Integer, Type::Int64, varint(i64::MIN), Cell::Int(i64::MIN)),
        (F::Integer, Type::Uint32, varint(4_000_000_000), Cell::Int(4_000_000_000)),
        (F::Integer, Type::Sint64, varint(3), Cell::Int(-2)),
        (F::Integer, Type::Sfixed32, fixed32(u32::MAX), Cell::Int(-1)),
        (F::Integer, Type::Enum, varint(1), Cell::Int(1)),
        (F::Json, Type::String, text("{\"a\": 1}"), Cell::Text("{\"a\":1}".into())),
        (F::Numeric, Type::String, text("-1.5"), nano(-1_500_000_000)),
        (F::Numeric, Type::Int64, varint(7), nano(7_000_000_000)),
        (F::Numeric, Type::Uint64, varint(-1), nano(i128::from(u64::MAX) * 1_000_000_000)),
        (F::Numeric, Type::Double, fixed64(0.1_f64.to_bits()), nano(100_000_000)),
        (F::Numeric, Type::Bytes, text([0x00, 0xca, 0x9a, 0x3b]), nano(1_000_000_000)),
        (F::String, Type::String, text("é"), Cell::Text("é".into())),
        (F::String, Type::Enum, varint(1), Cell::Text("ONE".into())),
        (F::Timestamp, Type::Int64, varint(1_706_781_886_000_000), Cell::Int(1_706_781_886_000_000)),
        (F::Timestamp, Type::String, text("2024-02-01T10:04:46Z"), Cell::Int(1_706_781_886_000_000)),
    ];
    for (column, kind, row, expected) in cases {
        assert_eq!(one(column, kind, &row), Ok(expected), "{kind:?} to {column:?}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused() {
    use FieldType as F;
    for (column, kind, row) in [
        (F::Date, Type::Int32, varint(2_932_897)),
        (F::Date, Type::String, text("2023-02-29")),
        (F::Timestamp, Type::Int64, varint(i64::MAX)),
        (F::Time, Type::Int64, varint(25 << 32)),
        (F::Datetime, Type::Int64, varint(1)),
        (F::Json, Type::String, text("{")),
        (F::Numeric, Type::String, text("1.0000000001")),
        (F::Numeric, Type::Double, fixed64(f64::NAN.to_bits())),
        (F::Numeric, Type::Bytes, text([0; 17])),
        (F::String, Type::String, text([0xff])),
        (F::String, Type::Enum, varint(5)),
        (F::Integer, Type::Int64, text("7")),
        (F::Integer, Type::Int64, vec![0x08]),
        (F::Integer, Type::Int64, vec![0x0b]),
        (F::Integer, Type::Uint64, varint(7)),
        (F::Integer, Type::String, text("7")),
        (F::String, Type::Int64, varint(7)),
        (F::Geography, Type::Bytes, text("x")),
    ] {
        assert!(one(column, kind, &row).is_err(), "{kind:?} to {column:?}");
    }
}

#[test]
fn wrappers_messages_and_lists() {
    let column = |field_type, mode| Field::new("F", field_type, mode);
    let wrapped = |name: &str, column_type, row: &[u8]| {
        let name = format!(".google.protobuf.{name}");
        convert(column(column_type, Mode::Nullable), proto_field(Type::Message, Some(&name), Label::Optional), row)
    };
    assert_eq!(wrapped("Int64Value", FieldType::Integer, &text(varint(5))), Ok(Cell::Int(5)));
    assert_eq!(wrapped("StringValue", FieldType::String, &text("")), Ok(Cell::Text(String::new())));
    assert_eq!(wrapped("Timestamp", FieldType::Timestamp, &text([8, 1, 16, 0xd0, 15])), Ok(Cell::Int(1_000_002)));
    assert!(wrapped("StringValue", FieldType::Integer, &[]).is_err());

    let packed = text([1, 2, 3]);
    let list = |row: &[u8]| {
        let field = proto_field(Type::Int64, None, Label::Repeated);
        convert(column(FieldType::Integer, Mode::Repeated), field, row)
    };
    let items = Cell::Array(vec![Cell::Int(1), Cell::Int(2), Cell::Int(3)]);
    assert_eq!(list(&packed), Ok(items.clone()));
    assert_eq!(list(&[varint(1), varint(2), varint(3)].concat()), Ok(items));
    assert_eq!(list(&[]), Ok(Cell::Array(Vec::new())));

    let mut record = column(FieldType::Record, Mode::Nullable);
    record.fields = vec![Field::new("f", FieldType::Integer, Mode::Required)];
    let field = proto_field(Type::Message, Some("Inner"), Label::Optional);
    let in_pieces = [text(varint(1)), text(varint(2))].concat();
    assert_eq!(convert(record.clone(), field.clone(), &in_pieces), Ok(Cell::Struct(vec![Cell::Int(2)])));
    assert_eq!(convert(record.clone(), field.clone(), &[]), Ok(Cell::Null));
    assert!(convert(record, field, &text([])).expect_err("f is required").contains("required"));
}
