use catalog::{TableSchema, UnknownFields};
use event::Reason::UnknownField;
use serde_json::{Value, json};

use super::{encode, encoder, reject};
use crate::{RowEncoder, SchemaUnsupported};

const SCHEMA: &str = r#"[
    {"name":"id","type":"STRING"},
    {"name":"metadata","type":"RECORD","fields":[
        {"name":"source","type":"STRING"},
        {"name":"inner","type":"RECORD","fields":[{"name":"x","type":"INT64"}]}]},
    {"name":"items","type":"RECORD","mode":"REPEATED","fields":[
        {"name":"sku","type":"STRING"},
        {"name":"parts","type":"RECORD","mode":"REPEATED","fields":[{"name":"n","type":"INT64"}]}]}]"#;

/// What `extra` holds, as text.
fn extra(json: &str) -> Option<String> {
    let row = encode(&encoder(SCHEMA, UnknownFields::Capture), json).expect("a row");
    row.get("extra").map(|extra| extra.as_str().expect("text").to_owned())
}

#[test]
fn exactly_the_unknown_fields_are_kept_as_written() {
    assert_eq!(extra(r#"{"id":"1","metadata":{"source":"a"}}"#), None);
    for (json, kept) in [
        (r#"{"new": {"a" :1.0}, "id":"1", "null":null}"#, r#"{"new":{"a" :1.0},"null":null}"#),
        (r#"{"metadata":{"newField":1,"source":"a","b":2}}"#, r#"{"metadata":{"newField":1,"b":2}}"#),
        (r#"{"metadata":{"inner":{"y":1}},"z":2}"#, r#"{"metadata":{"inner":{"y":1}},"z":2}"#),
        (r#"{"a":0,"METADATA":{"inner":{"x":1},"y":1}}"#, r#"{"a":0,"metadata":{"y":1}}"#),
        (r#"{"q\"\u0001é":1,"":2}"#, "{\"q\\\"\\u0001é\":1,\"\":2}"),
    ] {
        assert_eq!(extra(json).as_deref(), Some(kept), "{json}");
    }
}

#[test]
fn unknown_fields_of_elements_keep_their_index() {
    for (json, kept) in [
        (r#"{"items":[{"sku":"a"},{"u":1},{},{"v":2},{}],"w":3}"#, r#"{"items":[{},{"u":1},{},{"v":2}],"w":3}"#),
        (
            r#"{"items":[{"parts":[{"n":1},{"m":2}],"u":3},{"parts":[{"k":4}]}]}"#,
            r#"{"items":[{"parts":[{},{"m":2}],"u":3},{"parts":[{"k":4}]}]}"#,
        ),
    ] {
        assert_eq!(extra(json).as_deref(), Some(kept), "{json}");
    }
}

#[test]
fn pipas_columns_cannot_be_forged() {
    let json = r#"{"ingest":{"event_id":"forged"},"Extra":{"a":1},"id":"1"}"#;
    let row = encode(&encoder(SCHEMA, UnknownFields::Capture), json).expect("a row");
    assert_eq!(row["id"], json!("1"));
    assert_eq!(row.get("ingest"), None);
    let kept: Value = serde_json::from_str(row["extra"].as_str().expect("text")).expect("JSON");
    assert_eq!(kept, json!({"ingest": {"event_id": "forged"}, "Extra": {"a": 1}}));
}

#[test]
fn unknown_fields_are_left_out_or_refused_where_the_table_says_so() {
    let ignoring = encoder(SCHEMA, UnknownFields::Ignore);
    assert_eq!(encode(&ignoring, r#"{"id":"1","a":[{}],"metadata":{"b":1}}"#), Ok(json!({"id":"1","metadata":{}})));
    let refusing = encoder(SCHEMA, UnknownFields::Reject);
    for (json, pointer) in [
        (r#"{"a/b~":1}"#, "/a~1b~0"),
        (r#"{"metadata":{"b":1}}"#, "/metadata/b"),
        (r#"{"items":[{},{"u":1}]}"#, "/items/1/u"),
        (r#"{"ingest":{}}"#, "/ingest"),
    ] {
        let (reason, found, _) = reject(&refusing, json);
        assert_eq!((reason, found.as_str()), (UnknownField, pointer), "{json}");
    }
}

#[test]
fn capture_needs_its_column() {
    let schema: TableSchema = serde_json::from_str(SCHEMA).expect("a schema");
    let refused = RowEncoder::new(&schema, UnknownFields::Capture).expect_err("no column");
    assert_eq!(refused, SchemaUnsupported::NoExtraColumn);
    assert!(RowEncoder::new(&schema, UnknownFields::Reject).is_ok());
}
