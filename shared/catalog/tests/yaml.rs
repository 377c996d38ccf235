//! Catalogs as they come: whatever a file holds, it is read or refused.

use std::fs;

use catalog::Catalog;
use proptest::prelude::*;

fn load(yaml: &[u8]) -> Result<Catalog, catalog::CatalogError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipas.yaml");
    fs::write(&file, yaml).expect("a file");
    fs::write(folder.path().join("s.json"), r#"[{"name": "id", "type": "STRING"}]"#).expect("a file");
    Catalog::load(&file)
}

#[test]
fn tables_keep_their_order_and_settings_their_defaults() {
    let yaml = "
streams:
  abc:
    tables:
      zebra: { when: { equals: { /type: z, /version: 2 }, attribute: { type: 'true' } }, table: d.z, schema: s.json }
      apple: { when: { has: [/id] }, table: d.a, schema: ./s.json, event_id: /id, unknown_fields: reject }
      mango: { table: d.m, schema: s.json }
archive: { codec: null, compact: { max_messages: 5 } }
";
    let catalog = load(yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_debug_snapshot!((&catalog.streams["abc"], &catalog.archive));
}

#[test]
fn anchors_may_be_used() {
    let yaml = "
streams:
  abc:
    tables:
      a: &a { table: d.a, when: { has: [/id] }, schema: s.json, cluster: [id] }
      b: { <<: *a, table: d.b }
";
    let catalog = load(yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(catalog.streams["abc"].tables[1].cluster, ["id"]);
    assert_eq!(catalog.streams["abc"].tables[1].name.to_string(), "d.b");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_file_makes_the_reader_panic(
        noise in prop::collection::vec(any::<u8>(), 0..60),
        words in prop::collection::vec(
            prop::sample::select(vec![
                "streams", "abc", "tables", "when", "has", "table", "d.t", "schema", "s.json", ":", ": ", "\n", "  ", "- ", "[", "]",
                "{", "}", "null", "1", "views", "archive", "&a ", "*a", "!!str ", "'", "\"", "|", ">", "#", ",", "/id", "? ", "<<: ",
            ]),
            0..40,
        ),
    ) {
        for yaml in [noise, words.concat().into_bytes()] {
            if let Err(error) = load(&yaml) {
                prop_assert!(!error.problems.is_empty());
            }
        }
    }
}
