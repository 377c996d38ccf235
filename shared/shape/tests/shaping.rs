//! Documents into events, by catalogs as people write them.

use std::{collections::BTreeMap, fs};

use catalog::{Catalog, Stream};
use event::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use shape::{LeftOut, Shape, Shaped};

const STOPS: &str = "\u{feff}stop_id,stop_name,zone\nA1,First Avenue,1\nR20,\"Pine, Square\",\n";

/// The stream `transit`, with these settings.
fn stream(settings: &str) -> Stream {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("s.json"), r#"[{"name": "id", "type": "STRING"}]"#).expect("a file");
    fs::write(folder.path().join("stops.csv"), STOPS).expect("a file");
    let file = folder.path().join("pipas.yaml");
    let indented = settings.replace('\n', "\n    ");
    let yaml = format!("streams:\n  transit:\n    {indented}\n    tables: {{ t: {{ table: d.t, schema: s.json }} }}\n");
    fs::write(&file, yaml).expect("a file");
    let catalog = Catalog::load(&file).unwrap_or_else(|error| panic!("{error}"));
    catalog.streams["transit"].clone()
}

fn shaped(settings: &str, document: &Value) -> Shaped {
    let shape = Shape::new(&stream(settings)).expect("a shape");
    shape.events(&Bytes::from(document.to_string()), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn events(settings: &str, document: &Value) -> Vec<Value> {
    let shaped = shaped(settings, document);
    shaped.events.iter().map(|event| serde_json::from_slice(event).expect("JSON")).collect()
}

fn feed() -> Value {
    json!({
        "header": { "timestamp": 1_706_781_600 },
        "entity": [
            { "id": "1", "trip_update": { "trip": { "trip_id": "t1" }, "stop_time_update": [
                { "stop_id": "A1N", "arrival": { "time": 10 } },
                { "stop_id": "a1s", "arrival": { "time": 20 } },
                { "stop_id": "X9S" },
            ] } },
            { "id": "2", "vehicle": { "trip": { "trip_id": "t1" } } },
            { "id": "3", "trip_update": null },
            { "id": "4", "trip_update": { "trip": { "trip_id": "t2" }, "stop_time_update": [
                { "stop_id": "R20", "arrival": { "time": 30 } },
            ] } },
        ],
    })
}

const FLATTEN: &str = "flatten:
  at: /entity/*/trip_update/stop_time_update/*
  carry:
    trip_id: /entity/*/trip_update/trip/trip_id
    arrival_time: /entity/*/trip_update/stop_time_update/*/arrival/time
    fetched: /header/timestamp";

#[test]
fn a_document_becomes_its_events() {
    let found = events(FLATTEN, &feed());
    let event = |stop: &str, trip: &str, time: u64| json!({ "stop_id": stop, "arrival": { "time": time }, "trip_id": trip, "arrival_time": time, "fetched": 1_706_781_600 });
    assert_eq!(
        found,
        [
            event("A1N", "t1", 10),
            event("a1s", "t1", 20),
            json!({ "stop_id": "X9S", "trip_id": "t1", "fetched": 1_706_781_600 }),
            event("R20", "t2", 30),
        ]
    );
}

#[test]
fn own_fields_can_be_left_out_and_rules_be_several() {
    let settings = "flatten:
  - { at: /entity/*/trip_update/stop_time_update/*, own: drop, carry: { stop: /entity/*/trip_update/stop_time_update/*/stop_id } }
  - { at: /entity/*/vehicle, carry: { entity: /entity/*/id } }
filter: { has: [/stop] }";
    let found = shaped(settings, &feed());
    assert_eq!((found.events.len(), found.filtered), (4, 1));
    assert_eq!(found.events[0], r#"{"stop":"A1N"}"#);
}

#[test]
fn objects_are_cut_by_their_values_and_arrays_by_index() {
    let document = json!({ "cars": { "x": { "n": 1 }, "y": { "n": 2 } }, "list": [{ "n": 3 }, { "n": 4 }] });
    assert_eq!(events("flatten: { at: /cars/* }", &document), [json!({ "n": 1 }), json!({ "n": 2 })]);
    assert_eq!(events("flatten: { at: /list/1 }", &document), [json!({ "n": 4 })]);
    assert!(events("flatten: { at: /nothing/* }", &document).is_empty());
}

#[test]
fn a_carried_field_stands_in_place_of_an_own_one() {
    let document = json!({ "id": "outer", "rows": [{ "id": "inner", "n": 1 }] });
    assert_eq!(events("flatten: { at: /rows/*, carry: { id: /id } }", &document), [json!({ "id": "outer", "n": 1 })]);
}

#[test]
fn of_several_pointers_the_first_that_finds_a_value_counts() {
    let settings = "flatten: { at: /rows/*, own: drop, carry: { a: /a, time: [/rows/*/time, /time], z: /z } }";
    let document = json!({ "time": 9, "z": 1, "rows": [{ "time": 1 }, { "time": null }, {}] });
    let found = shaped(settings, &document).events;
    assert_eq!(found, [r#"{"time":1,"z":1}"#, r#"{"time":9,"z":1}"#, r#"{"time":9,"z":1}"#]);
}

const LOOKUP: &str = "lookup:
  stops:
    file: stops.csv
    key: stop_id
    from: /stop_id
    match: [exact, upper, suffix]
    suffixes: NS
    suffix_to: direction
    columns: { name: stop_name, zone: zone }";

#[test]
fn a_lookup_adds_columns_and_says_what_is_missing() {
    let found = shaped(&format!("{FLATTEN}\nfilter: {{ has: [/arrival_time] }}\n{LOOKUP}"), &feed());
    let names: Vec<Value> = found
        .events
        .iter()
        .map(|event| serde_json::from_slice::<Value>(event).expect("JSON"))
        .map(|event| json!([event["name"], event["zone"], event["direction"]]))
        .collect();
    assert_eq!(
        names,
        [json!(["First Avenue", "1", "N"]), json!(["First Avenue", "1", "S"]), json!(["Pine, Square", null, null])]
    );
    assert_eq!(found.filtered, 1);
    assert!(found.missing.0.is_empty(), "what is left out is not missed: {:?}", found.missing);

    let found = shaped(&format!("{FLATTEN}\n{LOOKUP}"), &feed());
    assert_eq!(found.events.len(), 4);
    assert_eq!(found.missing.0["stops"], (1, ["X9S".to_owned()].into()));
    let found = shaped(&format!("{FLATTEN}\n{LOOKUP}\n    missing: drop"), &feed());
    assert_eq!((found.events.len(), found.missing.0["stops"].0), (3, 1));
}

#[test]
fn an_event_that_names_nothing_is_not_looked_up() {
    let found = shaped(LOOKUP, &json!({ "n": 1, "stop_id": null }));
    assert_eq!(found.events, [r#"{"n":1,"stop_id":null}"#]);
    assert!(found.missing.0.is_empty());
}

#[test]
fn a_document_that_is_only_filtered_stays_as_it_is() {
    let shape = Shape::new(&stream("filter: { has: [/n] }")).expect("a shape");
    let document = Bytes::from_static(b" {\"n\" : 1.0e2 }");
    assert_eq!(shape.events(&document, &BTreeMap::new()).expect("shaped").events, [document]);
    assert!(Shape::new(&stream("description: plain")).is_none());
}

#[test]
fn what_cannot_be_cut_is_told_with_its_place() {
    let shape = Shape::new(&stream(FLATTEN)).expect("a shape");
    let shaped = |document: &str| shape.events(&Bytes::copy_from_slice(document.as_bytes()), &BTreeMap::new());
    let told = |document: &str| match shaped(document) {
        Ok(Shaped { faults, .. }) => faults.told.first().expect("a fault").to_string(),
        Err(rejection) => rejection.to_string(),
    };
    assert_eq!(
        told(r#"{"entity":[{"trip_update":{"stop_time_update":[{}, 7]}}]}"#),
        "malformed_json: expected an object as an event, found a number at /entity/0/trip_update/stop_time_update/1"
    );
    assert_eq!(
        told(r#"{"entity":"none"}"#),
        "malformed_json: expected an array or an object, found a string at /entity"
    );
    assert_eq!(
        told(r#"{"entity":[3]}"#),
        "malformed_json: expected an object with the field `trip_update`, found a number at /entity/0"
    );
    assert!(shaped("[1]").is_err(), "no part of it can be looked into");
    assert!(told("[1]").starts_with("malformed_json: expected one JSON object, found an array"));
    assert!(told(r#"{"entity":[],"entity":[]}"#).contains("the field `entity` once"));
}

#[test]
fn one_bad_branch_holds_up_no_other() {
    let mut document = feed();
    let entities = document["entity"].as_array_mut().expect("entities");
    entities.insert(0, json!(3));
    entities.insert(2, json!({ "trip_update": "late" }));
    entities.push(json!({ "trip_update": { "stop_time_update": ["A1", { "stop_id": "A2" }] } }));
    let found = shaped(FLATTEN, &document);
    assert_eq!((found.events.len(), found.faults.count), (5, 3));
    let places: Vec<_> = found.faults.told.iter().map(|fault| fault.pointer.as_deref().expect("a place")).collect();
    assert_eq!(places, ["/entity/0", "/entity/2/trip_update", "/entity/6/trip_update/stop_time_update/0"]);

    let twice =
        r#"{"entity":[{"trip_update":1,"trip_update":2},{"trip_update":{"stop_time_update":[{"stop_id":"A1"}]}}]}"#;
    let shape = Shape::new(&stream(FLATTEN)).expect("a shape");
    let found = shape.events(&Bytes::from(twice), &BTreeMap::new()).expect("shaped");
    assert_eq!((found.events.len(), found.faults.count), (1, 1));

    let many = json!({ "entity": vec![3; 1_000] });
    let faults = shaped(FLATTEN, &many).faults;
    assert_eq!((faults.count, faults.told.len()), (1_000, 100));
}

#[test]
fn a_check_sees_what_is_left_out_and_why() {
    let shape =
        Shape::new(&stream(&format!("{FLATTEN}\nfilter: {{ has: [/arrival_time] }}\n{LOOKUP}"))).expect("a shape");
    let parts = |shape: &Shape| {
        let found = shape.parts(&Bytes::from(feed().to_string()), &BTreeMap::new()).expect("shaped");
        found.parts.into_iter().map(|part| (part.left_out, part.missing)).collect::<Vec<_>>()
    };
    let missed = || BTreeMap::from([("stops".to_owned(), "X9S".to_owned())]);
    let none = BTreeMap::new;
    assert_eq!(parts(&shape), [(None, none()), (None, none()), (Some(LeftOut::Filter), missed()), (None, none())]);
    let dropping = Shape::new(&stream(&format!("{FLATTEN}\n{LOOKUP}\n    missing: drop"))).expect("a shape");
    assert_eq!(parts(&dropping)[2], (Some(LeftOut::Lookup("stops".into())), missed()));
}

#[test]
fn ids_of_content_are_the_same_in_every_process() {
    let by = |pointers: &str| stream(&format!("event_id: {{ content_hash: {pointers} }}"));
    let id = |stream: &Stream, json: &str| {
        let probe = catalog::Probe::new(stream);
        let event = probe.scan(json.as_bytes()).expect("an object");
        stream
            .event_id(&event, None)
            .expect("a rule")
            .map(|id| id.to_string())
            .map_err(|rejection| rejection.to_string())
    };
    let chosen = by("[/trip_id, /arrival/time]");
    // printf '["t1",1e1]' | sha256sum
    let expected = "aac25c99f40241b47927655e4b4bdb8f772680539f23e2ba4fb62a749c768a28";
    for same in [
        r#"{"trip_id":"t1","arrival":{"time":10},"fetched":1}"#,
        r#"{"fetched":2, "arrival":{"delay":3,"time":1.0e1}, "trip_id":"\u00741"}"#,
    ] {
        assert_eq!(id(&chosen, same).as_deref(), Ok(expected), "{same}");
    }
    assert_ne!(id(&chosen, r#"{"trip_id":"t1"}"#).as_deref(), Ok(expected));
    assert_eq!(
        id(&chosen, r#"{"fetched":1}"#),
        Err("invalid_event_id: expected a value to make the event's id of, found none at /trip_id".into())
    );
    let all = by("all");
    assert_eq!(id(&all, r#"{"a":1,"b":null}"#), id(&all, r#" { "a" : 1.0 } "#));
    assert_ne!(id(&all, r#"{"a":1}"#), id(&all, r#"{"a":"1"}"#));
}

proptest! {
    #[test]
    fn arbitrary_documents_never_panic(document in r#"[\[\]{}":, \na1entity-]{0,60}"#) {
        let shape = Shape::new(&stream(&format!("{FLATTEN}\n{LOOKUP}"))).expect("a shape");
        let _ = shape.events(&Bytes::from(document), &BTreeMap::new());
    }

    #[test]
    fn no_event_is_lost_and_no_value_changed(rows in proptest::collection::vec(proptest::collection::vec(any::<i64>(), 0..5), 0..6)) {
        let groups: Vec<Value> = rows.iter().enumerate()
            .map(|(group, values)| json!({ "group": group, "rows": values.iter().map(|n| json!({ "n": n })).collect::<Vec<_>>() }))
            .collect();
        let found = events("flatten: { at: /groups/*/rows/*, carry: { group: /groups/*/group } }", &json!({ "groups": groups }));
        let expected: Vec<Value> = rows.iter().enumerate()
            .flat_map(|(group, values)| values.iter().map(move |n| json!({ "n": n, "group": group })))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
