//! What tables promise: delivery, keys, sequences, views of unique rows; and what loaders may use.

use std::{collections::BTreeMap, fs, path::Path};

use catalog::{Catalog, CatalogError, Delivery, OnLedgerLoss, Probe, Quotas, Registry, Upsert};
use event::{Bytes, Message, Reason};

const SCHEMA: &str = r#"[
    {"name": "order_id", "type": "STRING", "mode": "REQUIRED"},
    {"name": "line", "type": "INT64", "mode": "REQUIRED"},
    {"name": "state", "type": "STRING"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
    {"name": "price", "type": "FLOAT64", "mode": "REQUIRED"},
    {"name": "data", "type": "JSON", "mode": "REQUIRED"},
    {"name": "place", "type": "GEOGRAPHY", "mode": "REQUIRED"},
    {"name": "of", "type": "STRUCT", "mode": "REQUIRED", "fields": [{"name": "order_id", "type": "STRING"}]}
]"#;

fn load(yaml: &str) -> Result<Catalog, CatalogError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipas.yaml");
    fs::write(&file, yaml).expect("a file");
    fs::write(folder.path().join("s.json"), SCHEMA).expect("a file");
    fs::write(folder.path().join("v.sql"), "SELECT 1").expect("a file");
    Catalog::load(&file).map_err(|mut error| {
        error.problems.iter_mut().for_each(|problem| problem.file = Path::new("pipas.yaml").to_owned());
        error
    })
}

fn loaded(yaml: &str) -> Catalog {
    load(yaml).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_table_promises_what_it_says_and_else_what_its_stream_says() {
    let catalog = loaded(
        "
streams:
  abc:
    delivery: at_least_once
    event_id: /ORDER_ID
    on_ledger_loss: append
    rate: 250
    tables:
      a: { table: d.a, schema: s.json, when: { has: [/a] } }
      b: { table: d.b, schema: s.json, when: { has: [/b] }, delivery: exactly_once }
      c: { table: d.c, schema: s.json, when: { has: [/c] }, delivery: upsert }
      d: { table: d.d, schema: s.json, when: { has: [/d] }, delivery: upsert, event_id: /line, cluster: [state] }
      e: { table: d.e, schema: s.json, delivery: upsert, key: [LINE, order_id], sequence: /of/version }
  other:
    tables:
      a: { table: e.a, schema: s.json }
",
    );
    let stream = &catalog.streams["abc"];
    let deliveries: Vec<_> = stream.tables.iter().map(|table| &table.delivery).collect();
    let upsert = |key: &[&str]| Upsert { key: key.iter().map(|column| (*column).to_owned()).collect(), sequence: None };
    assert_eq!(deliveries[..2], [&Delivery::AtLeastOnce, &Delivery::ExactlyOnce]);
    assert_eq!(deliveries[2], &Delivery::Upsert(upsert(&["order_id"])));
    assert_eq!(deliveries[3], &Delivery::Upsert(upsert(&["line"])));
    let Delivery::Upsert(Upsert { key, sequence }) = deliveries[4] else { panic!("{:?}", deliveries[4]) };
    assert_eq!(
        (key.as_slice(), sequence.as_ref().map(|at| at.as_str())),
        (&["line".into(), "order_id".into()][..], Some("/of/version"))
    );
    let clusters: Vec<_> = stream.tables.iter().map(|table| table.cluster.join(" ")).collect();
    assert_eq!(clusters, ["", "", "order_id", "state", "line order_id"]);
    assert_eq!((stream.on_ledger_loss, stream.rate), (OnLedgerLoss::Append, Some(250)));
    let other = &catalog.streams["other"];
    assert_eq!((other.on_ledger_loss, other.rate), (OnLedgerLoss::Nack, None));
    assert_eq!(other.tables[0].delivery, Delivery::ExactlyOnce);
    assert_eq!((catalog.registry, catalog.quotas), (Registry::Storage, Quotas::default()));
}

#[test]
fn every_bad_promise_is_told() {
    let many: Vec<_> = (0..17).map(|_| "order_id").collect();
    let yaml = format!(
        "
registry: bucket
quotas: {{ share: 1.5, connections: 0, create_write_streams: 7 }}
streams:
  abc:
    delivery: exact
    on_ledger_loss: drop
    max_delivery_attempts: 101
    rate: -1
    tables:
      a: {{ table: d.a, schema: s.json, key: [order_id] }}
  keys:
    delivery: upsert
    tables:
      none: {{ table: d.none, schema: s.json, when: {{ has: [/a] }} }}
      nested: {{ table: d.nested, schema: s.json, when: {{ has: [/a] }}, event_id: /of/order_id }}
      nullable: {{ table: d.nullable, schema: s.json, when: {{ has: [/a] }}, event_id: /state }}
      columns: {{ table: d.columns, schema: s.json, when: {{ has: [/a] }}, key: [of.order_id, tags, price, data, place, of, gone, line, LINE, 7] }}
      empty: {{ table: d.empty, schema: s.json, when: {{ has: [/a] }}, key: [] }}
      many: {{ table: d.many, schema: s.json, when: {{ has: [/a] }}, key: [{many}], sequence: version }}
      text: {{ table: d.text, schema: s.json, when: {{ has: [/a] }}, key: order_id }}
      plain: {{ table: d.plain, schema: s.json, delivery: at_least_once, key: [order_id], sequence: /version }}
  views:
    tables:
      a: {{ table: v.a, schema: s.json, when: {{ has: [/a] }} }}
      b: {{ table: v.a_unique, schema: s.json, when: {{ has: [/b] }} }}
      c: {{ table: v.c_unique, schema: s.json, when: {{ has: [/c] }} }}
      d: {{ table: v.c, schema: s.json, when: {{ has: [/d] }} }}
      e: {{ table: v.{long}, schema: s.json }}
views:
  v.a_unique: v.sql
",
        many = many[..].join(", "),
        long = "x".repeat(1020),
    );
    let told = load(&yaml).expect_err("problems").to_string().replace(&"x".repeat(1020), "x…");
    insta::assert_snapshot!(told);
}

#[test]
fn each_table_but_those_of_upserts_has_a_view_of_its_unique_rows() {
    let catalog = loaded(
        "
streams:
  abc:
    tables:
      a: { table: d.a, schema: s.json, when: { has: [/a] } }
      b: { table: d.b, schema: s.json, delivery: upsert, key: [line] }
views:
  d.b_unique: v.sql
",
    );
    let tables = &catalog.streams["abc"].tables;
    let view = tables[0].unique_view().expect("a view");
    assert_eq!(view.name.to_string(), "d.a_unique");
    insta::assert_snapshot!(view.sql, @r"
    SELECT *
    FROM `d.a`
    QUALIFY ingest.event_id IS NULL
      OR ROW_NUMBER() OVER (
        PARTITION BY ingest.event_id
        ORDER BY ingest.loaded_at, ingest.write_stream, ingest.write_offset
      ) = 1
    ");
    assert_eq!(tables[1].unique_view(), None);
}

#[test]
fn quotas_and_the_registry_are_read() {
    let catalog = loaded(
        "
registry: none
quotas: { share: 1, create_write_stream_per_hour: 20, connections: 30, throughput_bytes_per_second: 40 }
streams: { abc: { tables: { a: { table: d.a, schema: s.json } } } }
",
    );
    let quotas =
        Quotas { share: 1.0, create_write_stream_per_hour: 20, connections: 30, throughput_bytes_per_second: 40 };
    assert_eq!((catalog.registry, catalog.quotas), (Registry::None, quotas));
}

fn message(json: &str, received: Option<&str>) -> Message {
    Message {
        message_id: "1".into(),
        publish_time: "2024-02-01T10:04:47Z".parse().expect("a time"),
        ordering_key: String::new(),
        attributes: received
            .map(|time| ("ce-pipasreceived".to_owned(), time.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        data: Bytes::from(json.to_owned()),
    }
}

#[test]
fn the_order_of_a_key_comes_from_the_event_alone() {
    let table = |sequence: &str| {
        let yaml = format!(
            "streams: {{ abc: {{ tables: {{ a: {{ table: d.a, schema: s.json, delivery: upsert, key: [line]{sequence} }} }} }} }}"
        );
        loaded(&yaml).streams["abc"].clone()
    };
    let number = |sequence: &str, json: &str, received| {
        let stream = table(sequence);
        let Delivery::Upsert(upsert) = &stream.tables[0].delivery else { panic!("no upsert") };
        upsert.sequence_number(&Probe::new(&stream), &message(json, received))
    };
    let received = Some("2024-02-01T10:04:46.000001Z");
    assert_eq!(number("", "{}", received), Ok(format!("{:X}", 1_706_781_886_000_001_u64)));
    assert_eq!(number("", "{}", None), Ok(format!("{:X}", 1_706_781_887_000_000_u64)));
    let of = |json| number(", sequence: /of/version", json, received);
    let seen = format!("{:X}", 1_706_781_886_000_001_u64);
    assert_eq!(of(r#"{"of": {"version": 255}}"#), Ok(format!("FF/{seen}")));
    assert_eq!(of(r#"{"of": {"version": "18446744073709551615"}}"#), Ok(format!("FFFFFFFFFFFFFFFF/{seen}")));
    assert_eq!(of(r#"{"of": {"version": "1970-01-01T01:00:00.000016+01:00"}}"#), Ok(format!("10/{seen}")));
    for (json, reason) in [
        ("{}", Reason::MissingRequired),
        (r#"{"of": {"version": null}}"#, Reason::MissingRequired),
        (r#"{"of": {"version": {}}}"#, Reason::TypeMismatch),
        (r#"{"of": {"version": ""}}"#, Reason::TypeMismatch),
        (r#"{"of": {"version": 1.5}}"#, Reason::TypeMismatch),
        (r#"{"of": {"version": -1}}"#, Reason::TypeMismatch),
        (r#"{"of": {"version": 18446744073709551616}}"#, Reason::OutOfRange),
        (r#"{"of": {"version": "1969-12-31T23:59:59Z"}}"#, Reason::OutOfRange),
    ] {
        let refused = of(json).expect_err(json);
        assert_eq!((refused.reason, refused.pointer.as_deref()), (reason, Some("/of/version")), "{json}: {refused}");
    }
}
