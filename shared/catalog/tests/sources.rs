//! Where a stream's events come from, as a catalog declares it: feeds, shapes, ids of content, web pages.

use std::{fs, time::Duration};

use catalog::{Catalog, ContentHash, FeedFormat, Match, Setting};

const STOPS: &str = "stop_id,name\nA1,One\nA2,Two\n";

fn load(stream: &str, stops: &str) -> Result<Catalog, String> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("s.json"), r#"[{"name": "id", "type": "STRING"}]"#).expect("a file");
    fs::write(folder.path().join("stops.csv"), stops).expect("a file");
    let file = folder.path().join("pipas.yaml");
    let yaml = format!(
        "streams:\n  transit:\n    tables: {{ t: {{ table: d.t, schema: s.json }} }}\n    {}\n",
        stream.trim().replace('\n', "\n    ")
    );
    fs::write(&file, yaml).expect("a file");
    let prefix = format!("{}/", folder.path().display());
    Catalog::load(&file).map_err(|error| error.to_string().replace(&prefix, ""))
}

const WHOLE: &str = "
event_id: { content_hash: [/trip_id, /stop_id] }
feeds:
  subway:
    url: { env: SUBWAY_URL, default: 'http://a' }
    format: gtfs_realtime
    every: 20s
    timeout: 5s
    max_bytes: 1000000
    backoff: 5m
    headers: { X-Api-Key: { env: SUBWAY_KEY }, accept: application/x-protobuf }
flatten: { at: /entity/*/updates/*, carry: { trip_id: /entity/*/trip/id, at: /header/time } }
lookup:
  stops: { file: stops.csv, key: stop_id, from: /stop_id, match: [exact, suffix], suffixes: ns, columns: [name] }
filter: { has: [/stop_id], lacks: [/gone] }
cors: { origins: [https://www.example.com] }
subscriptions: { live: { filter: 'attributes:type', retention: 1h }, other: {} }";

#[test]
fn every_key_is_read() {
    let catalog = load(WHOLE, STOPS).unwrap_or_else(|error| panic!("{error}"));
    let (stream, feed) = catalog.feed("subway").expect("the feed");
    assert_eq!(feed.url, Setting::Env { name: "SUBWAY_URL".into(), default: Some("http://a".into()) });
    assert_eq!((feed.format, feed.every), (FeedFormat::GtfsRealtime, Duration::from_secs(20)));
    assert_eq!((feed.timeout, feed.max_backoff), (Duration::from_secs(5), Duration::from_secs(300)));
    assert_eq!(feed.headers["x-api-key"], Setting::Env { name: "SUBWAY_KEY".into(), default: None });
    assert!(matches!(&stream.content_hash, Some(ContentHash::Of(pointers)) if pointers.len() == 2));
    let flatten = &stream.shaping.flatten[0];
    let carried: Vec<_> = flatten.carry.iter().map(|carry| (carry.field.as_str(), carry.depth)).collect();
    assert_eq!(carried, [("trip_id", 2), ("at", 0)]);
    let lookup = &stream.shaping.lookups[0];
    assert_eq!((lookup.matches.as_slice(), lookup.suffixes.as_str()), ([Match::Exact, Match::Suffix].as_slice(), "NS"));
    assert_eq!(lookup.find("A1N").map(|row| row[0].as_str()), Some("One"));
    let [live, other] = stream.subscriptions.as_slice() else { panic!("{:?}", stream.subscriptions) };
    assert_eq!((live.id.as_str(), live.filter.as_str()), ("transit-live", "attributes:type"));
    assert_eq!((live.ack_deadline, live.retention), (Duration::from_secs(60), Duration::from_secs(3600)));
    assert_eq!((other.filter.as_str(), other.retention), ("", Duration::from_secs(7 * 86_400)));
    let cors = stream.cors.as_ref().expect("cors");
    assert!(cors.credentials && cors.allows("https://www.example.com") && !cors.allows("https://example.com"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_header() {
    let catalog = load(WHOLE, &format!("\u{feff}{STOPS}")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(catalog.streams["transit"].shaping.lookups[0].rows.len(), 2);
}

#[test]
fn the_files_of_others_are_read_as_they_are_written() {
    let stops = "stop_id,name\nA1\nA2,Two,\n,Nowhere\n\nA3,Three\nA3,Three\n";
    let catalog = load(WHOLE, stops).unwrap_or_else(|error| panic!("{error}"));
    let rows: Vec<_> = catalog.streams["transit"].shaping.lookups[0].rows.iter().collect();
    let row = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        rows,
        [(&"A1".to_owned(), &row(&[""])), (&"A2".to_owned(), &row(&["Two"])), (&"A3".to_owned(), &row(&["Three"]))]
    );
}

#[test]
fn every_problem_is_told() {
    let bad = "
event_id: { content_hash: some }
feeds:
  Subway: { url: ftp://a, format: xml, every: 0s, timeout: 1h, headers: { 'a b': x, c: { env: 'A B' } }, evry: 1s }
flatten:
  - { at: entity, carry: { a: /b/* } }
  - { at: /entity/*, own: drop }
  - { at: /entity/*, carry: { a: /other/*/id, b: /entity/*/list/*/id } }
lookup:
  stops: { file: none.csv, key: stop_id, from: /stop_id, columns: [name] }
  lines: { file: stops.csv, key: line, from: /line, match: [fuzzy], suffixes: N1, columns: [name, color], missing: skip }
filter: { having: [/a] }
cors: { origins: ['*', https://Example.com, https://a.example/], credentials: sure }
subscriptions:
  Live: { filter: '', ack_deadline: 5s, retention: 60d, push: https://a.example }
  bare:";
    insta::assert_snapshot!(load(bad, STOPS).expect_err("problems"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let all = [
        load("feeds: { a: { url: 'http://a', format: json, every: 20s } }", STOPS),
        load("cors: { origins: '*', credentials: true }", STOPS),
        load(WHOLE, "stop_id,name\nA1,One\nA1,Two\n"),
        load(WHOLE, "stop_id,name\nA1,Pine St, North\n"),
        load("lookup: { s: { file: stops.csv, key: stop_id, from: /s, columns: [name], suffix_to: name } }", STOPS),
        load("subscriptions: { live: {}, loader: {} }", STOPS),
    ];
    insta::assert_snapshot!(all.map(|loaded| loaded.expect_err("a problem")).join("\n"));
}
