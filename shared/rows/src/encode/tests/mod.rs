//! Rows are read back by a foreign decoder, prost-reflect, through the encoder's own descriptor.

mod properties;
mod rows;
mod rules;
mod scalars;
mod unknown;
mod upsert;

use catalog::{TableSchema, UnknownFields};
use event::Rejection;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use prost_types::{DescriptorProto, FileDescriptorProto};

use super::RowEncoder;

pub(super) fn encoder(schema: &str, unknown: UnknownFields) -> RowEncoder {
    let schema: TableSchema = serde_json::from_str(schema).expect("a schema");
    RowEncoder::new(&schema.with_pipas_columns(), unknown).expect("an encoder")
}

/// An encoder of one column, `c`.
pub(super) fn column(declaration: &str) -> RowEncoder {
    encoder(&format!(r#"[{{"name":"c",{declaration}}}]"#), UnknownFields::Capture)
}

pub(super) fn decode(encoder: &RowEncoder, row: &[u8]) -> serde_json::Value {
    decode_by(encoder.descriptor(), row)
}

pub(super) fn decode_by(descriptor: &DescriptorProto, row: &[u8]) -> serde_json::Value {
    let file = FileDescriptorProto {
        name: Some("row.proto".into()),
        message_type: vec![descriptor.clone()],
        ..FileDescriptorProto::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).expect("a self-contained descriptor");
    let message = pool.get_message_by_name("Row").expect("the row");
    let row = DynamicMessage::decode(message, row).expect("a row");
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    row.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON")
}

pub(super) fn encode(encoder: &RowEncoder, json: &str) -> Result<serde_json::Value, Rejection> {
    let mut row = b"kept".to_vec();
    let result = encoder.encode(json.as_bytes(), &mut row);
    assert!(row.starts_with(b"kept"));
    match result {
        Ok(()) => Ok(decode(encoder, &row[4..])),
        Err(rejection) => {
            assert_eq!(row, b"kept", "a rejected row leaves nothing behind");
            Err(rejection)
        }
    }
}

pub(super) fn reject(encoder: &RowEncoder, json: &str) -> (event::Reason, String, String) {
    let rejection = encode(encoder, json).expect_err(json);
    (rejection.reason, rejection.pointer.unwrap_or_default(), rejection.detail)
}
