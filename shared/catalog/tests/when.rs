//! Rules beside a naive evaluator.

use std::{collections::BTreeMap, fs};

use catalog::{Catalog, Probe, Stream, When};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A rule as a catalog writes it.
fn rule() -> impl Strategy<Value = Value> {
    let pointer = || prop::sample::select(vec!["/a", "/b", "/a/b", "/c/0", "/c/1/a"]);
    let scalar = || prop::sample::select(vec![json!(1), json!("x"), json!(true), json!(1.5)]);
    let part = prop_oneof![
        prop::collection::vec(pointer(), 1..3).prop_map(|pointers| json!({ "has": pointers })),
        prop::collection::vec(pointer(), 1..3).prop_map(|pointers| json!({ "lacks": pointers })),
        prop::collection::btree_map(pointer(), scalar(), 1..3).prop_map(|equals| json!({ "equals": equals })),
        prop::sample::select(vec!["order", "other"]).prop_map(|kind| json!({ "attribute": { "type": kind } })),
    ];
    part.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|rules| json!({ "any": rules })),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|rules| json!({ "all": rules })),
            inner.clone().prop_map(|rule| json!({ "not": rule })),
            // Several keys of one map must all hold.
            (inner.clone(), inner).prop_map(|(a, b)| {
                let mut both = a.as_object().expect("a map").clone();
                both.extend(b.as_object().expect("a map").clone());
                Value::Object(both)
            }),
        ]
    })
}

fn event() -> impl Strategy<Value = Value> {
    let leaf =
        prop::sample::select(vec![json!(null), json!(1), json!(1.0), json!(1.5), json!("x"), json!(true), json!("1")]);
    let value = leaf.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned), inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned), value, 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// What a rule says, read from its YAML as people read it.
fn naive(rule: &Value, event: &Value, attributes: &BTreeMap<String, String>) -> bool {
    let found = |pointer: &str| event.pointer(pointer).filter(|value| !value.is_null());
    let equal = |found: &Value, wanted: &Value| match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => found == wanted,
    };
    rule.as_object().expect("a map").iter().all(|(key, rule)| {
        let mut rules = rule.as_array().into_iter().flatten();
        let texts = || rule.as_array().into_iter().flatten().filter_map(Value::as_str);
        match key.as_str() {
            "has" => texts().all(|pointer| found(pointer).is_some()),
            "lacks" => texts().all(|pointer| found(pointer).is_none()),
            "equals" => rule
                .as_object()
                .expect("a map")
                .iter()
                .all(|(pointer, wanted)| found(pointer).is_some_and(|found| equal(found, wanted))),
            "attribute" => rule
                .as_object()
                .expect("a map")
                .iter()
                .all(|(name, wanted)| attributes.get(name).map(String::as_str) == wanted.as_str()),
            "all" => rules.all(|rule| naive(rule, event, attributes)),
            "any" => rules.any(|rule| naive(rule, event, attributes)),
            "not" => !naive(rule, event, attributes),
            other => panic!("{other}"),
        }
    })
}

/// A stream with one table of this rule.
fn stream(rule: &Value) -> Stream {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog =
        json!({ "streams": { "tried": { "tables": { "t": { "when": rule, "table": "d.t", "schema": "t.json" } } } } });
    fs::write(folder.path().join("pipas.yaml"), catalog.to_string()).expect("written");
    fs::write(folder.path().join("t.json"), r#"[{"name":"id","type":"STRING"}]"#).expect("written");
    let mut catalog = Catalog::load(&folder.path().join("pipas.yaml")).unwrap_or_else(|error| panic!("{error}"));
    catalog.streams.remove("tried").expect("the stream")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rules_hold_as_they_read(rule in rule(), events in prop::collection::vec(event(), 8), kind in "order|other|none") {
        let stream = stream(&rule);
        let probe = Probe::new(&stream);
        let attributes = BTreeMap::from([("type".to_owned(), kind)]);
        for event in events {
            let text = event.to_string();
            let probed = probe.scan(text.as_bytes()).expect("an event");
            let routed = probed.route(&stream, &attributes).is_some();
            prop_assert_eq!(routed, naive(&rule, &event, &attributes), "{} of {}", rule, event);
        }
    }
}

#[test]
fn rules_nest_to_a_bound() {
    let nested = |depth: usize| (0..depth).fold(json!({ "has": ["/a"] }), |rule, _| json!({ "not": rule }));
    assert!(matches!(stream(&nested(32)).tables[0].when, When::Not(_)));
    let folder = tempfile::tempdir().expect("a folder");
    let table = json!({ "when": nested(33), "table": "d.t", "schema": "t.json" });
    fs::write(
        folder.path().join("pipas.yaml"),
        json!({ "streams": { "tried": { "tables": { "t": table } } } }).to_string(),
    )
    .expect("written");
    let error = Catalog::load(&folder.path().join("pipas.yaml")).expect_err("too deep").to_string();
    assert!(error.contains("nested at most 32 deep"), "{error}");
}
