//! Checks, derived columns and masks, by catalogs as people write them.

use std::fs;

use catalog::{Catalog, Probe, Stream};
use event::Reason;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Checker, EventView, MaskKey, RowEncoder};

/// The stream of one table with these columns, and these further keys.
fn stream(columns: &str, keys: &str) -> Stream {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!("streams:\n  tried:\n    tables:\n      t:\n        table: d.t\n        schema: t.json\n{keys}");
    fs::write(folder.path().join("pipas.yaml"), yaml).expect("written");
    fs::write(folder.path().join("t.json"), columns).expect("written");
    let mut catalog = Catalog::load(&folder.path().join("pipas.yaml")).unwrap_or_else(|error| panic!("{error}"));
    catalog.streams.remove("tried").expect("the stream")
}

/// The first fault of an event, and all of them by place and reason.
type Refused = (event::Rejection, Vec<(String, &'static str)>);

/// The row of `json`, or what is wrong with it.
fn row(stream: &Stream, json: &Value) -> Result<Value, Refused> {
    let table = &stream.tables[0];
    let encoder = RowEncoder::with_rules(&table.real_schema(), table.unknown_fields, &table.rules, &MaskKey::none())
        .expect("an encoder");
    let text = json.to_string();
    let probe = Probe::new(stream);
    let probed = probe.scan(text.as_bytes()).expect("an event");
    let view = EventView { json: text.as_bytes(), probed: &probed, is_masked: false };
    let mut row = Vec::new();
    let encoded = encoder.encode_event(view, &mut row);
    let verdict = Checker::new(stream).expect("a checker").check(text.as_bytes(), &Default::default());
    assert_eq!(encoded.is_ok(), verdict.loaded, "a check and the loader agree: {json} {verdict:?}");
    match encoded {
        Ok(()) => {
            let made = encoder.to_json(&row);
            assert_eq!(Some(&made), verdict.row.as_ref());
            Ok(made)
        }
        Err(first) => {
            assert!(row.is_empty());
            let all: Vec<_> =
                verdict.errors.iter().map(|fault| (fault.pointer.clone().unwrap_or_default(), fault.reason)).collect();
            let at = first.pointer.clone().unwrap_or_default();
            let is_told = all.iter().any(|(place, reason)| *place == at && *reason == first.reason.code());
            assert!(is_told, "{first} is among {all:?}");
            Err((first, all))
        }
    }
}

fn places(stream: &Stream, json: &Value) -> Vec<String> {
    let (_, all) = row(stream, json).expect_err("faults");
    all.into_iter().map(|(at, reason)| format!("{at} {reason}")).collect()
}

const COLUMNS: &str = r#"[
    {"name":"id","type":"STRING","mode":"REQUIRED"}, {"name":"n","type":"INT64"}, {"name":"kind","type":"STRING"},
    {"name":"tags","type":"STRING","mode":"REPEATED"},
    {"name":"s","type":"STRUCT","fields":[{"name":"platform","type":"STRING"},{"name":"ip","type":"STRING"},{"name":"k","type":"INT64"}]},
    {"name":"items","type":"STRUCT","mode":"REPEATED","fields":[{"name":"q","type":"NUMERIC"}]}, {"name":"j","type":"JSON"}]"#;

#[test]
fn checks_tell_every_place() {
    let stream = stream(
        COLUMNS,
        "        checks:
          n: { min: -100, max: 100 }
          kind: { enum: [a, b], required: true }
          tags: { pattern: '^[a-z]+$', required: true }
          s.platform: { enum: [web, mobile] }
          items.q: { min: 0.5 }
          /other/0/x: { required: true, max: 1 }
",
    );
    let good = json!({"id": "1", "KIND": "a", "n": 100, "tags": ["x"], "s": {"platform": "web"}, "items": [{"q": "0.50"}], "other": [{"x": 1}]});
    assert!(row(&stream, &good).is_ok());
    let null = json!({"id": "1", "n": null, "kind": "b", "tags": ["x"], "s": null, "other": [{"x": 0}]});
    assert!(row(&stream, &null).is_ok());
    let bad = json!({"id": "1", "n": -100.5, "Kind": "c", "tags": ["x", "9"], "s": {"platform": "tv"},
        "items": [{"q": 1}, {"q": 0.4}, {"q": []}], "other": [{"x": 2}]});
    assert_eq!(
        places(&stream, &bad),
        [
            "/other/0/x check_failed",
            "/Kind check_failed",
            "/items/1/q check_failed",
            "/items/2/q type_mismatch",
            "/n type_mismatch",
            "/s/platform check_failed",
            "/tags/1 check_failed"
        ]
    );
    let missing = json!({"tags": [], "kind": null});
    assert_eq!(
        places(&stream, &missing),
        ["/other/0/x check_failed", "/kind check_failed", "/tags check_failed", "/id missing_required"]
    );
    let (first, _) =
        row(&stream, &json!({"id": "1", "kind": "c", "tags": ["x"], "other": [{"x": 1}]})).expect_err("a fault");
    assert_eq!(first.to_string(), r#"check_failed: expected one of "a", "b", found the string "c" at /kind"#);
}

#[test]
fn columns_are_derived_from_what_was_received() {
    let stream = stream(
        r#"[{"name":"a","type":"STRING"},{"name":"b","type":"INT64","mode":"REQUIRED"},{"name":"up","type":"STRING"},
            {"name":"low","type":"STRING"},{"name":"at","type":"TIMESTAMP"},{"name":"day","type":"DATE"},{"name":"s","type":"STRUCT",
            "fields":[{"name":"x","type":"INT64"}]},{"name":"c","type":"STRING","mode":"REPEATED"}]"#,
        "        derive:
          a: { constant: shop }
          b: { copy: /deep/0/n }
          up: { uppercase: /word }
          low: { lowercase: /low }
          at: { time: /when, format: ['%d.%m.%Y %H:%M', unix_millis], zone: Europe/Rome }
          day: { time: /when, format: '%d.%m.%Y %H:%M' }
          s: { copy: /struct }
          c: { constant: [x, y] }
",
    );
    let event = json!({"deep": [{"n": 7}], "word": "straße", "low": "ÉTÉ", "when": "01.07.2024 10:04", "struct": {"x": 1, "y": 2}, "a": "not this", "b": "nor this"});
    let made = row(&stream, &event).expect("a row");
    let extra = made["extra"].clone();
    assert_eq!(
        made,
        json!({"a": "shop", "b": 7, "up": "STRASSE", "low": "été", "at": "2024-07-01T08:04:00Z", "day": "2024-07-01",
            "s": {"x": 1}, "c": ["x", "y"], "extra": extra})
    );
    assert_eq!(extra["struct"], json!({"x": 1, "y": 2}), "what is copied stays where it stood");
    assert_eq!(
        places(&stream, &json!({"a": 1, "b": 2})),
        ["/b missing_required"],
        "the event's own field is not looked at"
    );
    let bad = json!({"deep": [{"n": "x"}], "word": {}, "when": "1706781886123", "struct": {"x": "z"}});
    assert_eq!(
        places(&stream, &bad),
        ["/word type_mismatch", "/when type_mismatch", "/deep/0/n type_mismatch", "/struct/x type_mismatch"]
    );
}

const MASKED: &str = "        mask: { id: hash, s.ip: truncate_ip, kind: drop, tags: hash, j.user.email: hash }\n";

#[test]
fn masked_values_are_neither_in_rows_nor_in_errors() {
    let stream = stream(COLUMNS, MASKED);
    let zeros = "0".repeat(64);
    let event = json!({"ID": 57, "s": {"ip": "10.1.2.3", "platform": "web"}, "kind": "secret", "tags": ["secret", "secret"],
        "j": {"user": {"email": "secret", "n": 1}}});
    let made = row(&stream, &event).expect("a row");
    assert_eq!(
        made,
        json!({"id": zeros, "s": {"ip": "10.1.2.0", "platform": "web"}, "tags": [zeros, zeros],
            "j": {"user": {"email": zeros, "n": 1}}})
    );
    for bad in [
        json!({"id": {"x": "secret"}}),
        json!({"id": "1", "s": "secret"}),
        json!({"id": "1", "s": {"ip": "secret"}}),
        json!({"id": "1", "s": {"ip": ["secret"]}}),
        json!({"id": "1", "tags": "secret"}),
        json!({"id": "1", "tags": [["secret"]]}),
    ] {
        let (first, _) = row(&stream, &bad).expect_err("a fault");
        assert_eq!(first.reason, Reason::TypeMismatch, "{bad}");
        assert!(!first.to_string().contains("secret"), "{first}");
    }
    // A neighbour that is not masked is told as ever.
    let (first, _) = row(&stream, &json!({"id": "1", "s": {"ip": "10.1.2.3", "k": "told"}})).expect_err("a fault");
    assert!(first.detail.contains("told"), "{first}");
}

#[test]
fn extra_does_not_tell_what_a_table_of_the_stream_masks() {
    let stream = stream(
        COLUMNS,
        &format!(
            "        when: {{ has: [/id] }}\n{MASKED}      u: {{ when: {{ has: [/never] }}, table: d.u, schema: t.json, mask: {{ kind: drop }} }}\n"
        ),
    );
    // The live table lags behind the catalog: the masked columns are unknown to it.
    let live = r#"[{"name":"n","type":"INT64"},{"name":"s","type":"STRUCT","fields":[{"name":"k","type":"INT64"}]}]"#;
    let schema = catalog::TableSchema::parse(live).expect("a schema").with_pipas_columns();
    let table = &stream.tables[0];
    let encoder =
        RowEncoder::with_rules(&schema, table.unknown_fields, &table.rules, &MaskKey::none()).expect("an encoder");
    let json = r#"{"id": "secret", "s": {"ip": "10.1.2.3", "k": 1, "z": 2}, "Tags": ["secret", 1], "j": {"user": [{"email": "secret"}]}, "free": "told"}"#;
    let mut row = Vec::new();
    encoder.encode(json.as_bytes(), &mut row).expect("a row");
    let zeros = "0".repeat(64);
    assert_eq!(
        encoder.to_json(&row)["extra"],
        json!({"id": zeros, "s": {"ip": "10.1.2.0", "z": 2}, "Tags": [zeros, zeros], "j": {"user": [{"email": zeros}]}, "free": "told"})
    );
}

#[test]
fn a_column_that_is_derived_and_checked_and_masked_is_all_three() {
    let stream = stream(
        COLUMNS,
        "        derive: { id: { lowercase: /email } }
        checks: { id: { pattern: '@' } }
        mask: { id: hash }
",
    );
    let made = row(&stream, &json!({"email": "A@B"})).expect("a row");
    assert_eq!(
        (&made["id"], &made["extra"]),
        (&json!("0".repeat(64)), &json!({"email": null})),
        "its source is not told either"
    );
    let (first, _) = row(&stream, &json!({"email": "secret"})).expect_err("a fault");
    assert_eq!((first.reason, first.pointer.as_deref()), (Reason::CheckFailed, Some("/email")));
    assert!(!first.detail.contains("secret"), "{first}");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-200..200_i64).prop_map(Value::from),
        (-2.0..2.0).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        Just(json!("10.1.2.3")),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(
                proptest::sample::select(vec!["id", "n", "ip", "platform", "k", "q", "user", "email", "x"])
                    .prop_map(str::to_owned),
                inner,
                0..3
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// `row` holds the two against each other: the first fault is among all, and a row is a row.
    #[test]
    fn a_check_and_the_loader_agree_on_any_event(
        event in proptest::collection::btree_map(
            proptest::sample::select(vec!["id", "ID", "n", "kind", "tags", "s", "items", "j", "x"]).prop_map(str::to_owned),
            any_value(),
            0..6,
        ),
    ) {
        let keys = "        checks: { n: { min: 0 }, kind: { enum: [a, 1], required: true }, items.q: { max: 1 }, /x: { required: true } }
        derive: { n: { copy: /x } }
        mask: { id: hash, s.ip: truncate_ip, j.user: drop }
";
        let stream = stream(COLUMNS, keys);
        let _ = row(&stream, &Value::Object(event.into_iter().collect()));
    }
}

#[test]
fn what_another_table_masks_is_hidden_here_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = "streams:
  tried:
    tables:
      b: { when: { has: [/b] }, table: d.b, schema: b.json, derive: { copied: { copy: /mail } } }
      a: { table: d.a, schema: a.json, mask: { user: drop, n: hash, mail: hash } }
";
    let a = r#"[{"name":"user","type":"STRUCT","fields":[{"name":"id","type":"STRING"}]}, {"name":"n","type":"STRING"},
        {"name":"mail","type":"STRING"}]"#;
    let b = r#"[{"name":"user","type":"STRUCT","fields":[{"name":"id","type":"INT64"}]}, {"name":"n","type":"INT64"},
        {"name":"copied","type":"INT64"}]"#;
    for (name, text) in [("pipas.yaml", yaml), ("a.json", a), ("b.json", b)] {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let mut catalog = Catalog::load(&folder.path().join("pipas.yaml")).unwrap_or_else(|error| panic!("{error}"));
    let stream = catalog.streams.remove("tried").expect("the stream");
    // What the table's own STRUCT does not know is a part of what the other hides as a whole.
    let made = row(&stream, &json!({"b": 1, "user": {"id": 7, "name": "secret", "more": {"x": "secret"}}}));
    assert_eq!(made.expect("a row")["extra"], json!({"b": 1, "user": {"name": null, "more": null}}));
    for event in
        [json!({"b": 1, "n": "secret"}), json!({"b": 1, "user": {"id": "secret"}}), json!({"b": 1, "mail": "secret"})]
    {
        let (fault, _) = row(&stream, &event).expect_err("a fault");
        assert!(!fault.detail.contains("secret"), "{fault}");
    }
}
