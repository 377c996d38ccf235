use catalog::UnknownFields::Capture;
use event::Reason::{MalformedJson, MissingRequired, TooLarge, TypeMismatch};
use serde_json::json;

use super::{column, decode, encode, encoder, reject};
use crate::{Ingest, MAX_ROW_BYTES};

const NESTED: &str = r#"[
    {"name":"id","type":"STRING","mode":"REQUIRED"},
    {"name":"tags","type":"STRING","mode":"REPEATED"},
    {"name":"counts","type":"INT64","mode":"REPEATED"},
    {"name":"meta","type":"RECORD","fields":[
        {"name":"source","type":"STRING","mode":"REQUIRED"},
        {"name":"inner","type":"RECORD","fields":[{"name":"x","type":"INT64"}]}]},
    {"name":"items","type":"RECORD","mode":"REPEATED","fields":[
        {"name":"sku","type":"STRING"},{"name":"sizes","type":"FLOAT64","mode":"REPEATED"}]}]"#;

#[test]
fn structs_and_arrays() {
    let encoder = encoder(NESTED, Capture);
    let json = r#"{"items":[{"sku":"a","sizes":[1,2.5]},{},{"sizes":[]}],"meta":{"inner":{"x":7},"source":"web"},
                   "counts":["1",2,3.0],"tags":["x",""],"id":"1"}"#;
    let expected = json!({
        "id": "1", "tags": ["x", ""], "counts": [1, 2, 3],
        "meta": {"source": "web", "inner": {"x": 7}},
        "items": [{"sku": "a", "sizes": [1.0, 2.5]}, {}, {}],
    });
    assert_eq!(encode(&encoder, json), Ok(expected));
}

#[test]
fn long_structs_get_long_lengths() {
    let encoder = encoder(NESTED, Capture);
    for length in [1, 120, 128, 20_000, 3_000_000] {
        let text = "s".repeat(length);
        let json = format!(r#"{{"id":"1","meta":{{"source":"{text}","inner":{{"x":1}}}}}}"#);
        assert_eq!(encode(&encoder, &json).expect("a row")["meta"]["source"], json!(text), "{length}");
    }
}

#[test]
fn nulls_and_absent_values() {
    let encoder = encoder(NESTED, Capture);
    let json = r#"{"id":"1","tags":null,"meta":null,"items":[]}"#;
    assert_eq!(encode(&encoder, json), Ok(json!({"id": "1"})));
    let (reason, pointer, _) = reject(&encoder, "{}");
    assert_eq!((reason, pointer.as_str()), (MissingRequired, "/id"));
    let (reason, pointer, _) = reject(&encoder, r#"{"id":null}"#);
    assert_eq!((reason, pointer.as_str()), (MissingRequired, "/id"));
    let (reason, pointer, _) = reject(&encoder, r#"{"id":"1","meta":{}}"#);
    assert_eq!((reason, pointer.as_str()), (MissingRequired, "/meta/source"));
    for elements in [r#""tags":["a",null]"#, r#""items":[{},null]"#] {
        let (reason, pointer, detail) = reject(&encoder, &format!(r#"{{"id":"1",{elements}}}"#));
        assert_eq!(reason, TypeMismatch);
        assert!(pointer.ends_with("/1") && detail.contains("holds no NULLs"), "{pointer} {detail}");
    }
}

#[test]
fn a_default_value_stands_in_for_a_required_column() {
    let encoder = column(r#""type":"INT64","mode":"REQUIRED","defaultValueExpression":"7""#);
    assert_eq!(encode(&encoder, "{}"), Ok(json!({})));
}

#[test]
fn pointers_follow_the_events_own_spelling() {
    let encoder = encoder(NESTED, Capture);
    for (json, pointer) in [
        (r#"{"ID":[]}"#, "/ID"),
        (r#"{"id":"1","Meta":{"INNER":{"X":"no"}}}"#, "/Meta/INNER/X"),
        (r#"{"id":"1","items":[{},{"sku":"a","sizes":[1,"b"]}]}"#, "/items/1/sizes/1"),
        (r#"{"id":"1","items":[{"sizes":[]},{"sku":{}}]}"#, "/items/1/sku"),
        (r#"{"id":"1","items":{}}"#, "/items"),
        (r#"{"id":"1","items":[{"sizes":[1]},7]}"#, "/items/1"),
        (r#"{"id":"1","meta":"text"}"#, "/meta"),
        (r#"{"id":"1","meta":{"source":"a","inner":{"x":1}},"counts":7}"#, "/counts"),
    ] {
        let (reason, found, detail) = reject(&encoder, json);
        assert_eq!((reason, found.as_str()), (TypeMismatch, pointer), "{json}: {detail}");
    }
}

#[test]
fn names_are_matched_without_regard_to_case_and_with_escapes() {
    let encoder = encoder(NESTED, Capture);
    assert_eq!(encode(&encoder, r#"{"ID":"1","\u0074ags":["a"]}"#), Ok(json!({"id": "1", "tags": ["a"]})));
    for (twice, at) in [
        (r#"{"id":"1","id":"1"}"#, "/id"),
        (r#"{"id":"1","Id":"2"}"#, "/Id"),
        (r#"{"id":"1","tags":[],"tags":null}"#, "/tags"),
        (r#"{"id":"1","meta":{"source":"a","x":{},"source":"b"}}"#, "/meta/source"),
        (r#"{"id":"1","new":1,"new":1}"#, "/new"),
        (r#"{"id":"1","meta":{"source":"a","\u006ee\u0077":1,"new":2}}"#, "/meta/new"),
    ] {
        let (reason, pointer, detail) = reject(&encoder, twice);
        assert_eq!((reason, pointer.as_str()), (MalformedJson, at), "{twice}");
        assert!(detail.ends_with("once, found it twice"), "{detail}");
    }
}

#[test]
fn what_is_not_one_object_is_malformed() {
    let encoder = encoder(NESTED, Capture);
    for json in ["", "[]", "1", "null", "{", r#"{"id":}"#, r#"{"id":"1"} x"#, r#"{"id":"1"}{}"#, "{\"id\":\"\u{1}\"}"] {
        let (reason, pointer, detail) = reject(&encoder, json);
        assert_eq!((reason, pointer.as_str()), (MalformedJson, ""), "{json}");
        assert!(detail.contains("line 1 column"), "{json}: {detail}");
    }
    let mut row = Vec::new();
    let rejection = encoder.encode(b"{\"id\":\"\xFF\"}", &mut row).expect_err("invalid UTF-8");
    assert_eq!(rejection.reason, MalformedJson);
}

#[test]
fn rows_are_bounded() {
    let encoder = column(r#""type":"STRING""#);
    let json = format!(r#"{{"c":"{}"}}"#, "x".repeat(MAX_ROW_BYTES));
    assert_eq!(reject(&encoder, &json).0, TooLarge);
}

#[test]
fn ingest_is_appended() {
    let encoder = column(r#""type":"STRING""#);
    let at = |text: &str| text.parse().expect("a time");
    let ingest = Ingest {
        event_id: "e-1",
        message_id: "77",
        source: "shop",
        received_at: Some(at("2024-02-01T10:04:46Z")),
        published_at: at("2024-02-01T10:04:47Z"),
        loaded_at: at("2024-02-01T10:04:48Z"),
        delivery_attempt: None,
        write_stream: "s1",
        write_offset: Some(0),
        payload_hash: Some(7),
    };
    let mut row = Vec::new();
    encoder.encode(br#"{"c":"v"}"#, &mut row).expect("a row");
    encoder.encode_ingest(&ingest, &mut row);
    let expected = json!({"c": "v", "ingest": {
        "event_id": "e-1", "message_id": "77", "source": "shop",
        "received_at": 1_706_781_886_000_000_i64, "published_at": 1_706_781_887_000_000_i64,
        "loaded_at": 1_706_781_888_000_000_i64, "write_stream": "s1", "write_offset": 0, "payload_hash": 7,
    }});
    assert_eq!(decode(&encoder, &row), expected);
}

#[test]
fn wide_tables() {
    let names: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
    let columns = names.iter().map(|name| format!(r#"{{"name":"{name}","type":"INT64","mode":"REQUIRED"}}"#));
    let encoder = encoder(&format!("[{}]", columns.collect::<Vec<_>>().join(",")), Capture);
    let json = |skip: usize| {
        let members = names.iter().enumerate().rev().filter(|(n, _)| *n != skip);
        format!("{{{}}}", members.map(|(n, name)| format!(r#""{name}":{n}"#)).collect::<Vec<_>>().join(","))
    };
    let row = encode(&encoder, &json(usize::MAX)).expect("a row");
    assert!(names.iter().enumerate().all(|(n, name)| row[name] == json!(n)));
    assert_eq!(reject(&encoder, &json(777)).1, "/c777");
}
