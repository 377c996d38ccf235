use catalog::{Field, FieldType, Mode, TableSchema, UnknownFields::Capture};
use serde_json::json;

use super::{decode_by, encoder};
use crate::{LiveEncoder, encode::tests::decode};

const SCHEMA: &str = r#"[{"name":"id","type":"STRING","mode":"REQUIRED"},{"name":"n","type":"INT64"}]"#;

#[test]
fn an_upsert_says_what_it_does_and_its_place_in_the_order() {
    let encoder = encoder(SCHEMA, Capture);
    let mut row = Vec::new();
    encoder.encode(br#"{"id":"a","n":1,"x":2}"#, &mut row).expect("a row");
    encoder.encode_upsert("FF/10", &mut row);
    let expected = json!({
        "id": "a", "n": 1, "extra": r#"{"x":2}"#, "_CHANGE_TYPE": "UPSERT", "_CHANGE_SEQUENCE_NUMBER": "FF/10",
    });
    assert_eq!(decode_by(encoder.upsert_descriptor().proto(), &row), expected);
    // The table's own descriptor knows nothing of it.
    assert_eq!(decode(&encoder, &row).get("_CHANGE_TYPE"), None);
    assert_eq!(encoder.descriptor().field.len() + 2, encoder.upsert_descriptor().proto().field.len());
}

#[test]
fn upserts_of_a_grown_table_are_sent_by_themselves() {
    let schema: TableSchema = serde_json::from_str(SCHEMA).expect("a schema");
    let live = LiveEncoder::new(&schema.with_pipas_columns(), Capture).expect("an encoder");
    let before = live.current();
    let mut grown = schema.with_pipas_columns();
    grown.fields.push(Field::new("new", FieldType::String, Mode::Nullable));
    assert_eq!(live.update(&grown), Ok(true));
    let after = live.current();
    assert!(after.shared_descriptor().extends(before.shared_descriptor()));
    assert!(!after.upsert_descriptor().extends(before.upsert_descriptor()));
    assert!(!before.upsert_descriptor().extends(after.upsert_descriptor()));
    assert!(before.upsert_descriptor().extends(before.upsert_descriptor()));
}
