//! What a user reads when a catalog is refused.

use std::{fs, path::Path};

use catalog::{Catalog, CatalogError};

fn refused(file: &Path) -> CatalogError {
    Catalog::load(file).expect_err("a catalog with problems")
}

#[test]
fn every_problem_is_told_at_once() {
    insta::assert_snapshot!(refused(Path::new("tests/refused/pipas.yaml")));
}

/// The report on a catalog of this text alone, without the folder's name.
fn report(yaml: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipas.yaml");
    fs::write(&file, yaml).expect("a file");
    let prefix = format!("{}/", folder.path().display());
    refused(&file).to_string().replace(&prefix, "")
}

#[test]
fn what_is_no_catalog_at_all_is_refused() {
    let texts = [
        "",
        "[]",
        "streams: {}",
        "streams: []",
        "streams: {a: [}",
        "streams:\n  abc: 1\n  abc: 2\n",
        "streams:\n  1: a\n  0x1: b\n",
        "a: &x [*x]",
        "\u{0}",
    ];
    insta::assert_snapshot!(texts.map(|text| format!("{text:?}\n{}\n", report(text))).join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let file = Path::new("tests/refused/nowhere.yaml");
    insta::assert_snapshot!(refused(file), @r"
    the catalog has 1 problem(s):
      tests/refused/nowhere.yaml: the file cannot be read: No such file or directory (os error 2)
    ");
}
