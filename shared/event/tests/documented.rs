//! docs/dead-letters.md tells of every reason, and of no other.

use std::{collections::BTreeMap, path::Path};

use event::Reason;

#[test]
fn every_reason_is_documented_once() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dead-letters.md");
    let page = std::fs::read_to_string(file).expect("the page");
    let section = page.split("\n## ").find(|section| section.starts_with("Reasons\n")).expect("the section");
    let mut documented: BTreeMap<&str, usize> = BTreeMap::new();
    for line in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = line.split(" | ");
        let code = cells.next().and_then(|cell| cell.strip_suffix('`')).expect("a code");
        assert!(cells.next().is_some_and(|meaning| !meaning.is_empty()), "{code} has no meaning");
        *documented.entry(code).or_default() += 1;
    }
    let expected: BTreeMap<&str, usize> = Reason::ALL.map(|reason| (reason.code(), 1)).into();
    assert_eq!(documented, expected);
}

#[test]
fn codes_are_read_as_they_are_written() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(reason));
    }
    assert_eq!(Reason::from_code("nonsense"), None);
}
