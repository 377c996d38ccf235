use super::{
    super::{
        identity::{Identify, event_key},
        row_keys::RowKeys,
    },
    *,
};

const DECLARED: &str = "
streams:
  tried:
    description: test
    event_id: /id
    tables:
      t: { table: d.t, schema: t.json }
";

fn stream(declared: &str) -> catalog::Stream {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("pipas.yaml"), declared).expect("written");
    std::fs::write(folder.path().join("t.json"), r#"[{"name":"id","type":"STRING","mode":"REQUIRED"}]"#)
        .expect("written");
    let mut catalog = catalog::Catalog::load(&folder.path().join("pipas.yaml")).expect("a catalog");
    catalog.streams.remove("tried").expect("the stream")
}

fn message(id: u32, data: &str) -> event::Message {
    event::Message {
        message_id: id.to_string(),
        publish_time: Timestamp::UNIX_EPOCH,
        ordering_key: String::new(),
        attributes: Default::default(),
        data: data.to_owned().into(),
    }
}

fn archive(messages: &[(u32, &str)]) -> Events {
    archive_of(DECLARED, messages)
}

fn archive_of(declared: &str, messages: &[(u32, &str)]) -> Events {
    let stream = stream(declared);
    let identify = Identify::new(&stream).expect("keys that can be read");
    let mut events = Events::default();
    for (id, data) in messages {
        for event in identify.message(&message(*id, data)) {
            events.archived(&event, Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1));
        }
    }
    events
}

fn row(events: &mut Events, id: &str, count: u64) {
    events.row(&Row::new("d.t", id, count, true, false), 10);
}

fn letter<'a>(id: &'a str, letter_id: &'a str, count: u64) -> Letter<'a> {
    Letter { letter_id, count, ..Letter::of_event(Some("d.t"), id) }
}

fn close(events: &Events) -> Report {
    events.close("tried", &Interval::default())
}

#[test]
fn copies_are_duplicates_and_other_contents_are_events() {
    let a = r#"{"id":"a"}"#;
    let mut events = archive(&[(1, a), (2, a), (2, a), (1, a), (3, r#"{"id":"a","x":1}"#), (4, r#"{"id":"b"}"#)]);
    row(&mut events, "a", 1);
    row(&mut events, "b", 1);
    let report = close(&events);
    assert_eq!((report.received, report.written, report.missing, report.doubled), (3, 2, 1, 0));
    assert_eq!((report.duplicates_refused, report.archived_again), (1, 2));
    events.letter(&Letter { is_conflict: true, ..letter("a", "l1", 1) }, 10);
    let report = close(&events);
    assert_eq!((report.dead_lettered, report.missing, report.doubled), (1, 0, 0), "a conflict has its dead letter");
    assert!(report.is_closed());
}

#[test]
fn the_line_of_a_log_says_whether_the_account_closes() {
    let mut events = archive(&[(1, r#"{"id":"a"}"#)]);
    let line = |events: &Events| serde_json::to_value(close(events)).expect("JSON");
    assert_eq!(line(&events)["closed"], serde_json::json!(false));
    row(&mut events, "a", 1);
    assert_eq!(line(&events)["closed"], serde_json::json!(true));
    row(&mut events, "a", 2);
    assert_eq!(line(&events)["closed"], serde_json::json!(false));
}

#[test]
fn the_room_is_taken_once() {
    let stream = stream(DECLARED);
    let identify = Identify::new(&stream).expect("keys that can be read");
    let mut events = Events::with_room(1_000).expect("room");
    let room = events.known.capacity();
    for id in 0..1_000 {
        let message = message(id, &format!(r#"{{"id":"{id}"}}"#));
        identify.message(&message).iter().for_each(|event| events.archived(event, Timestamp::MAX));
    }
    assert_eq!((events.known.len(), events.known.capacity()), (1_000, room));
    assert!(Events::with_room(u64::MAX).is_err());
    // What docs/deploy.md reckons with.
    assert_eq!(size_of::<(Key, Event)>(), 28);
}

#[test]
fn what_has_two_ends_is_doubled() {
    let mut events = archive(&[(1, r#"{"id":"a"}"#), (2, r#"{"id":"b"}"#), (3, r#"{"id":"c"}"#)]);
    row(&mut events, "a", 2);
    row(&mut events, "b", 1);
    events.letter(&letter("b", "l1", 1), 10);
    events.letter(&letter("c", "l2", 2), 10);
    let report = close(&events);
    assert_eq!((report.missing, report.doubled), (0, 3), "{:?}", report.doubled_ids);
}

#[test]
fn a_redriven_dead_letter_ended_and_so_does_what_it_was_published_as() {
    let of = "ab".repeat(16);
    let mut redriven = message(2, r#"{"id":"a","patched":true}"#);
    redriven.attributes.insert(event::attribute::REDRIVEN.into(), of.clone());
    let stream = stream(DECLARED);
    let identify = Identify::new(&stream).expect("keys that can be read");
    let mut events = archive(&[(1, r#"{"id":"a"}"#)]);
    for id in [2, 3] {
        let again = event::Message { message_id: id.to_string(), ..redriven.clone() };
        let since = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1);
        identify.message(&again).iter().for_each(|event| events.archived(event, since));
    }
    row(&mut events, "a", 1);
    events.letter(&letter("a", &of, 1), 10);
    let report = close(&events);
    assert_eq!((report.received, report.written, report.dead_lettered, report.duplicates_refused), (2, 1, 1, 1));
    assert!(report.is_closed(), "{report}");
    // One that was not redriven stands beside no row.
    events.letter(&letter("a", "other", 1), 10);
    assert_eq!(close(&events).doubled, 1);
    events.redriven(["marked".to_owned()]);
    events.letter(&letter("a", "marked", 1), 10);
    assert_eq!(close(&events).doubled, 1);
}

#[test]
fn a_dead_letter_that_had_no_table_is_of_the_table_that_takes_its_event_since() {
    let raw_first = ("      raw: { table: d.raw, raw: true }\n", vec![(1, r#"{"id":"a"}"#)], "d.raw");
    let other = "      s: { table: d.s, schema: t.json, when: { has: [/s] } }\n";
    let other_first = (other, vec![(1, r#"{"id":"a"}"#), (2, r#"{"id":"a","s":1}"#)], "d.s");
    for (before, messages, written) in [raw_first, other_first] {
        let declared = DECLARED.replace("      t: {", &format!("{before}      t: {{"));
        let mut events = archive_of(&declared, &messages);
        events.row(&Row::new(written, "a", 1, true, false), 10);
        let mut letter = Letter { letter_id: "l", ..Letter::of_event(None, "a") };
        letter.or_routed(&stream(&declared));
        events.letter(&letter, 10);
        let report = close(&events);
        assert_eq!((report.dead_lettered, report.not_archived), (1, 0), "beside {written}: {report}");
        assert_eq!((report.missing, report.doubled), (0, 0), "beside {written}: {report}");
    }
    // It is no end of what a raw table lacks.
    let declared = DECLARED.replace("      t: {", "      raw: { table: d.raw, raw: true }\n      t: {");
    let mut events = archive_of(&declared, &[(1, r#"{"id":"a"}"#)]);
    let mut letter = Letter { letter_id: "l", ..Letter::of_event(None, "a") };
    letter.or_routed(&stream(&declared));
    events.letter(&letter, 10);
    let missing: Vec<Key> = events.missing(10).into_iter().map(|(key, _)| key).collect();
    assert_eq!(missing, [event_key(Some("d.raw"), "a")]);
}

#[test]
fn what_names_nothing_is_found_by_its_message() {
    let mut events = archive(&[(7, "[1]"), (8, r#"{"id":"z"}"#)]);
    assert_eq!(close(&events).missing, 2);
    events.letter(&Letter::of_message(None, "7"), 10);
    row(&mut events, "z", 1);
    row(&mut events, "later", 1);
    let report = close(&events);
    assert_eq!((report.missing, report.not_archived, report.doubled), (0, 1, 0));
}

#[test]
fn what_was_given_up_without_a_name_is_neither_missing_nor_not_archived() {
    let declared = DECLARED.replace("    event_id: /id\n", "");
    let mut events = archive_of(&declared, &[(7, r#"{"id":"a"}"#), (8, r#"{"id":"b"}"#), (9, "[1]")]);
    // Pub/Sub gave the copies on the dead-letter topic other ids.
    let given_up = |id| Letter { is_unnamed: true, ..Letter::of_message(Some("d.t"), id) };
    events.letter(&given_up("107"), 10);
    events.letter(&given_up("108"), 10);
    let report = close(&events);
    assert_eq!((report.unnamed, report.missing, report.not_archived), (2, 1, 0));
    assert!(!report.is_closed());
    events.letter(&given_up("109"), 10);
    events.letter(&given_up("110"), 10);
    let report = close(&events);
    assert_eq!((report.unnamed, report.missing, report.not_archived), (3, 0, 1), "one has no event");
    // What has a name is missing whatever letters there are.
    let mut events = archive(&[(7, r#"{"id":"a"}"#)]);
    events.letter(&given_up("107"), 10);
    let report = close(&events);
    assert_eq!((report.unnamed, report.missing, report.not_archived), (0, 1, 1));
}

#[test]
fn repeated_rows_are_a_fault_only_where_once_was_promised() {
    let mut events = archive(&[(1, r#"{"id":"a"}"#)]);
    events.row(&Row::new("d.t", "a", 3, true, true), 10);
    let report = close(&events);
    assert_eq!((report.repeated, report.doubled), (2, 0));
}

#[test]
fn two_contents_of_an_id_that_are_two_rows_are_both_written() {
    let both = [(1, r#"{"id":"a","status":"a"}"#), (2, r#"{"id":"a","status":"b"}"#)];
    let mut events = archive(&both);
    events.row(&Row::new("d.t", "a", 2, true, true), 10);
    let report = close(&events);
    assert_eq!((report.received, report.written, report.repeated, report.missing), (2, 2, 0, 0));
    assert!(events.missing(10).is_empty());
    // A row twice, and the other content refused as a conflict.
    events.letter(&Letter { is_conflict: true, ..letter("a", "l1", 1) }, 10);
    let report = close(&events);
    assert_eq!((report.written, report.dead_lettered, report.repeated, report.missing), (1, 1, 1, 0));
    // One row is the end of one content.
    let mut events = archive(&both);
    events.row(&Row::new("d.t", "a", 1, true, true), 10);
    assert_eq!((close(&events).missing, events.missing(10).len()), (1, 1));
}

#[test]
fn an_id_that_is_used_again_beyond_the_window_is_doubled_and_not_missing_too() {
    let mut events = archive(&[(1, r#"{"id":"a","status":"a"}"#), (2, r#"{"id":"a","status":"b"}"#)]);
    row(&mut events, "a", 2);
    let report = close(&events);
    assert_eq!((report.written, report.repeated, report.missing, report.doubled), (2, 0, 0, 1));
}

#[test]
fn an_upserted_event_is_written_when_the_row_of_its_key_is_there() {
    let declared = DECLARED.replace("schema: t.json", "schema: t.json, delivery: upsert, key: [id]");
    let declared = declared.replace("event_id: /id", "event_id: /event");
    let states = [
        (1, r#"{"event":"1","id":"a"}"#),
        (2, r#"{"event":"2","id":"a"}"#),
        (3, r#"{"event":"3","id":"b"}"#),
        (4, r#"{"event":"1","id":"a","newer":true}"#),
        (4, r#"{"event":"1","id":"a","newer":true}"#),
    ];
    let mut events = archive_of(&declared, &states);
    let report = close(&events);
    assert_eq!((report.missing, report.superseded, report.duplicates_refused), (3, 2, 0));
    assert_eq!(report.archived_again, 1);
    let keys = RowKeys::of(&stream(&declared).tables[0]).expect("keys").expect("an upsert table");
    let key = keys.of_row(&[Some("a")]).expect("a key");
    let upsert = |count| Row::of_key(("d.t", key), "a", count, true);
    events.row(&upsert(1), 10);
    let report = close(&events);
    assert_eq!((report.received, report.written, report.missing, report.doubled), (3, 2, 1, 0));
    assert_eq!(events.missing(10).len(), 1);
    events.row(&upsert(2), 10);
    assert_eq!(close(&events).doubled, 1, "two visible rows of a key");
}
