//! What a probe finds in an event, beside what `serde_json::Value` finds there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use catalog::{
    ArchiveSettings, Delivery, JsonPointer, Malformed, OnLedgerLoss, Probe, Rules, Stream, Table, TableName,
    TableSchema, UnknownFields, When,
};
use event::Reason;
use proptest::prelude::*;
use serde_json::{Value, json};

fn pointer(text: &str) -> JsonPointer {
    JsonPointer::parse(text).expect("a pointer")
}

fn table(key: &str, when: When) -> Table {
    Table {
        key: key.into(),
        name: TableName { dataset: "d".into(), table: key.into() },
        when,
        schema: TableSchema { fields: Vec::new() },
        partition: None,
        cluster: Vec::new(),
        event_id: None,
        unknown_fields: UnknownFields::Capture,
        delivery: Delivery::ExactlyOnce,
        rules: Rules::default(),
        is_raw: false,
    }
}

fn stream(tables: Vec<Table>) -> Stream {
    Stream {
        name: "stream".into(),
        description: String::new(),
        event_id: None,
        content_hash: None,
        event_type: None,
        shaping: Default::default(),
        cors: None,
        feeds: Vec::new(),
        subscriptions: Vec::new(),
        ordering_key: None,
        dedupe_window: Duration::from_secs(1),
        on_ledger_loss: OnLedgerLoss::Nack,
        max_delivery_attempts: Stream::DEFAULT_DELIVERY_ATTEMPTS,
        rate: None,
        archive: ArchiveSettings::default(),
        tables,
    }
}

fn stream_of(pointers: &[&str]) -> Stream {
    stream(vec![table("t", When::Has(pointers.iter().map(|text| pointer(text)).collect()))])
}

/// What a probe for `at` finds in `json`, as text.
fn text(json: &str, at: &str) -> Option<String> {
    let probe = Probe::new(&stream_of(&[at]));
    let event = probe.scan(json.as_bytes()).expect("an event");
    event.text(&pointer(at)).map(|text| text.into_owned())
}

#[test]
fn scalars_are_found_as_they_are_written() {
    let json = r#" {"s": "a", "e": "\"é\u00e9\n", "n": 12345678901234567890123, "f": 1.50e+3, "b": true, "z": null,
                    "o": {"p": "q"}, "l": [1, {"id": "x"}], "": "empty", "a/b": "slash", "\u006b": "key"} "#;
    for (at, expected) in [
        ("/s", Some("a")),
        ("/e", Some("\"éé\n")),
        ("/n", Some("12345678901234567890123")),
        ("/f", Some("1.50e+3")),
        ("/b", Some("true")),
        ("/z", None),
        ("/o", None),
        ("/l", None),
        ("/o/p", Some("q")),
        ("/o/p/r", None),
        ("/l/0", Some("1")),
        ("/l/1/id", Some("x")),
        ("/l/01", None),
        ("/l/2", None),
        ("/", Some("empty")),
        ("/a~1b", Some("slash")),
        ("/k", Some("key")),
        ("/gone", None),
    ] {
        assert_eq!(text(json, at).as_deref(), expected, "{at}");
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    assert_eq!(text(r#"{"a": "\ud800"}"#, "/a"), None);
}

#[test]
fn a_field_on_the_way_of_a_pointer_is_given_once() {
    for (json, pointers, at, line, column) in [
        (r#"{"a": 1, "a": 1}"#, &["/a"][..], "/a", 1, 12),
        ("{\"a\": {\"b\": 1},\n \"\\u0061\": {\"c\": 2}}", &["/a/b"], "/a", 2, 9),
        (r#"{"l": [{"x/y": 1, "x/y": 2}]}"#, &["/l/0/x~1y"], "/l/0/x~1y", 1, 23),
        // Inside a value that another pointer takes as a whole, the place is behind that value.
        (r#"{"a": {"b": 1, "b": 2}}"#, &["/a", "/a/b"], "/a/b", 1, 23),
    ] {
        let probe = Probe::new(&stream_of(pointers));
        let malformed = probe.examine(json.as_bytes()).expect_err("no event");
        assert_eq!(malformed.pointer.as_deref(), Some(at), "{json}");
        assert_eq!((malformed.line, malformed.column), (line, column), "{json}");
        let rejection = event::Rejection::from(malformed);
        assert_eq!((rejection.reason, rejection.pointer.as_deref()), (Reason::MalformedJson, Some(at)), "{json}");
    }
    // What no pointer leads to is not looked at.
    assert_eq!(text(r#"{"b": 1, "a": 2, "b": 3, "c": {"a": 1, "a": 2}}"#, "/a").as_deref(), Some("2"));
    assert_eq!(text(r#"{"l": [{"a": 1}, {"a": 2}]}"#, "/l/1/a").as_deref(), Some("2"));
}

#[test]
fn pointers_may_end_inside_others() {
    let stream = stream_of(&["/a", "/a/b", "/a/b/0"]);
    let probe = Probe::new(&stream);
    let event = probe.scan(br#"{"a": {"b": [7]}}"#).expect("an event");
    assert!(event.has(&pointer("/a")));
    assert_eq!(event.raw(&pointer("/a/b")), Some("[7]"));
    assert_eq!(event.text(&pointer("/a/b/0")).as_deref(), Some("7"));
    assert_eq!(event.text(&pointer("/never/asked")), None);
}

#[test]
fn what_is_not_one_object_is_refused_with_its_place() {
    let probe = Probe::new(&stream_of(&["/a"]));
    let told = |json: &[u8]| probe.examine(json).expect_err("no event").to_string();
    let cases: [&[u8]; 17] = [
        b"",
        b" \n ",
        b"[{}]",
        b"\"text\"",
        b"12",
        b"null",
        b"{\"a\": 1",
        b"{\"a\": 1,}",
        b"{\n  \"a\": tru\n}",
        b"{\"a\": \"x\ty\"}",
        b"{'a': 1}",
        b"{\"a\" 1}",
        b"{} {}",
        b"{\"a\": NaN}",
        b"{\"b\": 01}",
        b"{\n\"a\": \"\xff\"}",
        "\u{feff}{}".as_bytes(),
    ];
    let report: Vec<String> = cases.iter().map(|json| format!("{} → {}", json.escape_ascii(), told(json))).collect();
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn a_malformed_event_is_rejected_with_the_stable_reason() {
    let probe = Probe::new(&stream_of(&["/a"]));
    assert_eq!(probe.scan(b"[]").expect_err("no event").reason, Reason::MalformedJson);
    let Malformed { line, column, .. } = probe.examine(b"{\n \"a\": x}").expect_err("no event");
    assert_eq!((line, column), (2, 7));
}

#[test]
fn rules_route_by_presence_absence_equality_and_attribute() {
    let equals = |at: &str, scalar: Value| When::Equals(BTreeMap::from([(pointer(at), scalar)]));
    let stream = stream(vec![
        table("text", equals("/type", json!("order"))),
        table("number", equals("/version", json!(1))),
        table("fraction", equals("/version", json!(0.1))),
        table("large", equals("/version", json!(9_007_199_254_740_993_u64))),
        table("boolean", equals("/flag", json!(true))),
        table("attribute", When::Attribute(BTreeMap::from([("type".into(), "inventory".into())]))),
        table(
            "all",
            When::All(vec![When::Has(vec![pointer("/a"), pointer("/b/0")]), When::Lacks(vec![pointer("/c")])]),
        ),
    ]);
    let probe = Probe::new(&stream);
    let route = |json: &str, attributes: &BTreeMap<String, String>| {
        let event = probe.scan(json.as_bytes()).expect("an event");
        event.route(&stream, attributes).map(|table| table.key.clone())
    };
    for (json, expected) in [
        (r#"{"type": "order"}"#, Some("text")),
        (r#"{"type": "\u006frder"}"#, Some("text")),
        (r#"{"type": "Order"}"#, None),
        (r#"{"version": 1}"#, Some("number")),
        (r#"{"version": 1.0}"#, Some("number")),
        (r#"{"version": 10e-1}"#, Some("number")),
        (r#"{"version": "1"}"#, None),
        (r#"{"version": true}"#, None),
        (r#"{"version": 0.10}"#, Some("fraction")),
        (r#"{"version": 9007199254740993}"#, Some("large")),
        (r#"{"version": 9007199254740992}"#, None),
        (r#"{"flag": true}"#, Some("boolean")),
        (r#"{"flag": false}"#, None),
        (r#"{"flag": "true"}"#, None),
        (r#"{"a": {}, "b": [0]}"#, Some("all")),
        (r#"{"a": {}, "b": [0], "c": null}"#, Some("all")),
        (r#"{"a": {}, "b": [0], "c": 0}"#, None),
        (r#"{"a": null, "b": [0]}"#, None),
        (r#"{"a": 1, "b": []}"#, None),
        ("{}", None),
    ] {
        assert_eq!(route(json, &BTreeMap::new()).as_deref(), expected, "{json}");
    }
    let attributes = BTreeMap::from([("type".into(), "inventory".into()), ("other".into(), "x".into())]);
    assert_eq!(route("{}", &attributes).as_deref(), Some("attribute"));
    assert_eq!(route(r#"{"type": "order"}"#, &attributes).as_deref(), Some("text"));
}

#[test]
fn ids_are_taken_from_the_table_then_the_stream() {
    let mut stream = stream(vec![table("t", When::Always), table("u", When::Always)]);
    stream.event_id = Some(pointer("/id"));
    stream.tables[0].event_id = Some(pointer("/order/id"));
    let id = |json: &str, table: Option<usize>| {
        let probe = Probe::new(&stream);
        let event = probe.scan(json.as_bytes()).expect("an event");
        let id = stream.event_id(&event, table.map(|at| &stream.tables[at])).expect("a pointer");
        id.map(|id| id.to_string()).map_err(|rejection| rejection.to_string())
    };
    let json = r#"{"id": "a", "order": {"id": 12345678901234567890123}}"#;
    assert_eq!(id(json, None), Ok("a".into()));
    assert_eq!(id(json, Some(0)), Ok("12345678901234567890123".into()));
    assert_eq!(id(json, Some(1)), Ok("a".into()));
    let refused: Vec<String> =
        ["{}", r#"{"id": null}"#, r#"{"id": ""}"#, r#"{"id": true}"#, r#"{"id": {}}"#, r#"{"id": "\ud800"}"#]
            .map(|json| format!("{json} → {}", id(json, None).expect_err("no id")))
            .to_vec();
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn a_messages_own_words_come_first_and_its_id_last() {
    let mut stream = stream(vec![table("t", When::Always)]);
    let mut message = event::Message {
        message_id: "m-1".into(),
        publish_time: event::Timestamp::UNIX_EPOCH,
        ordering_key: String::new(),
        attributes: BTreeMap::new(),
        data: event::Bytes::from_static(br#"{"id": "j-1"}"#),
    };
    let id = |stream: &Stream, message: &event::Message| {
        let probe = Probe::new(stream);
        let event = probe.scan(&message.data).expect("an event");
        stream.message_event_id(message, &event, None).map(|id| id.to_string())
    };
    assert_eq!(id(&stream, &message), Ok("m-1".into()));
    stream.event_id = Some(pointer("/id"));
    assert_eq!(id(&stream, &message), Ok("j-1".into()));
    message.attributes.insert("ce-id".into(), "c-1".into());
    assert_eq!(id(&stream, &message), Ok("c-1".into()));
}

/// JSON text of a value; with `repeats`, keys may stand twice in an object.
fn json_text(repeats: bool) -> impl Strategy<Value = String> {
    let key = || prop::sample::select(vec!["a", "b", "0", "", "a/b"]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        (-1e9..1e9f64).prop_map(|value| json!(value).to_string()),
        ".{0,5}".prop_map(|value| json!(value).to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let object = move |entries: Vec<(&str, String)>| {
            let mut seen = BTreeSet::new();
            let entries = entries.iter().filter(|(key, _)| seen.insert(*key) || repeats);
            let entries: Vec<String> = entries.map(|(key, value)| format!("{}: {value}", json!(key))).collect();
            format!("{{{}}}", entries.join(" ,"))
        };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key(), inner), 0..5).prop_map(object),
        ]
    })
}

fn pointer_text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "0", "1", "", "a~1b"]), 1..4)
        .prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect())
}

proptest! {
    #[test]
    fn the_probe_sees_what_a_tree_would_hold(
        json in json_text(false).prop_filter("an object", |json| json.starts_with('{')),
        pointers in prop::collection::vec(pointer_text(), 1..5),
    ) {
        let tree: Value = serde_json::from_str(&json).expect("JSON");
        let texts: Vec<&str> = pointers.iter().map(String::as_str).collect();
        let probe = Probe::new(&stream_of(&texts));
        let event = probe.scan(json.as_bytes()).expect("an event");
        for at in texts {
            let expected = tree.pointer(at);
            let at = pointer(at);
            prop_assert_eq!(event.has(&at), expected.is_some_and(|value| !value.is_null()));
            let found: Option<Value> = event.raw(&at).map(|raw| serde_json::from_str(raw).expect("JSON"));
            prop_assert_eq!(found.as_ref(), expected);
            let text = match expected {
                Some(Value::String(text)) => Some(text.clone()),
                Some(scalar @ (Value::Number(_) | Value::Bool(_))) => Some(scalar.to_string()),
                _ => None,
            };
            prop_assert_eq!(event.text(&at).map(|text| text.into_owned()), text);
        }
    }

    #[test]
    fn no_bytes_make_the_probe_panic(
        json in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}:,\"\\\\a0-9eEtruefalsnl.u \n-]{0,80}".prop_map(String::into_bytes),
            json_text(true).prop_map(String::into_bytes),
        ],
        cut in 0.0..1.0f64,
    ) {
        let probe = Probe::new(&stream_of(&["/a", "/a/b", "/a/0", "/b/0/a"]));
        let end = (json.len() as f64 * cut) as usize;
        for json in [&json[..], &json[..end]] {
            let is_object = matches!(serde_json::from_slice(json), Ok(Value::Object(_)));
            match probe.examine(json) {
                Ok(event) => prop_assert!(event.raw(&pointer("/a")).is_none_or(|raw| !raw.is_empty())),
                Err(Malformed { line, column, pointer, .. }) => {
                    prop_assert!(!is_object || pointer.is_some());
                    let lines: Vec<&[u8]> = json.split(|byte| *byte == b'\n').collect();
                    prop_assert!((1..=lines.len()).contains(&line), "line {line} of {}", lines.len());
                    prop_assert!(column <= lines[line - 1].len() + 1, "column {column}");
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in ".{0,80}", json in json_text(true)) {
        if let Some(pointer) = JsonPointer::parse(&text) {
            prop_assert_eq!(pointer.as_str(), text.as_str());
        }
        for text in [text.as_str(), json.as_str()] {
            if let Err(faults) = TableSchema::parse(text) {
                prop_assert!(!faults.is_empty());
            }
        }
    }
}
