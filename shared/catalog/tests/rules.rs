//! What a user reads of rules that cannot be.

use std::fs;

use catalog::Catalog;

const SCHEMA: &str = r#"[
    {"name": "id", "type": "STRING", "mode": "REQUIRED"}, {"name": "name", "type": "STRING", "maxLength": "10"},
    {"name": "n", "type": "INT64"}, {"name": "at", "type": "TIMESTAMP"}, {"name": "data", "type": "JSON"},
    {"name": "s", "type": "STRUCT", "fields": [{"name": "x", "type": "STRING"}]}, {"name": "copied", "type": "STRING"}]"#;

fn report(yaml: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipas.yaml");
    fs::write(&file, yaml).expect("written");
    fs::write(folder.path().join("t.json"), SCHEMA).expect("written");
    let prefix = format!("{}/", folder.path().display());
    Catalog::load(&file).expect_err("problems").to_string().replace(&prefix, "")
}

#[test]
fn every_bad_rule_is_told() {
    insta::assert_snapshot!(report(
        "streams:
  tried:
    event_id: /id
    ordering_key: /s/x
    delivery: upsert
    tables:
      raw: { raw: true, table: d.raw, when: { has: [/a] }, schema: t.json, mask: { payload: drop }, delivery: upsert }
      rules:
        when: { any: [], all: [{ nothing: 1 }], not: [] }
        table: d.t
        schema: t.json
        delivery: exactly_once
        checks:
          nowhere: { required: true }
          s.y: { enum: [] }
          s: { min: 1 }
          n: { min: 2, max: 1 }
          id: {}
          name: { pattern: '(' }
          data.x: { enum: [1] }
          '/bad~': { max: big, required: maybe }
        derive:
          s.x: { copy: /x }
          n: { uppercase: /x }
          at: { time: /x, format: '%Y-%m-%d %H:%M' }
          name: { time: /x, format: ['%Y', 7], zone: Rome }
          id: { copy: /a, constant: 1 }
          copied: { copy: /s/x, zone: Europe/Rome }
        mask:
          id: drop
          name: hash
          n: truncate_ip
          s.x: scramble
          nowhere: hash
          data.user.email: hash
      keyed: { table: d.u, schema: t.json, delivery: upsert, key: [id], derive: { id: { copy: /a } }, mask: { id: hash, s.x: drop }, sequence: /s }
"
    ));
}

#[test]
fn what_a_masked_value_is_stored_beside_is_refused() {
    insta::assert_snapshot!(report(
        "streams:
  tried:
    event_id: /ID
    ordering_key: /s/x
    tables:
      t:
        table: d.t
        schema: t.json
        event_id: /s
        derive: { copied: { copy: /s/x } }
        mask: { id: hash, s.x: drop }
"
    ));
}
