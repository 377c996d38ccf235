//! The reference of pipas.yaml says what the code reads, and docs/ says what the reference does.

mod validator;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use catalog::{
    Catalog,
    reference::{self, Kind, keys},
};
use serde_json::Value;

const EVERYTHING: &str = "tests/reference/pipas.yaml";
const BEGIN: &str = "<!-- keys: made of shared/catalog/src/reference/keys -->\n";
const END: &str = "<!-- /keys -->\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

/// What the catalog `value` has against the JSON Schema.
fn faults(value: &Value) -> Vec<String> {
    let root = reference::json_schema();
    let mut faults = Vec::new();
    validator::validate(&root, &root, value, "", &mut faults);
    faults
}

#[test]
fn every_key_is_described_and_every_description_is_of_a_key() {
    let file = Path::new(EVERYTHING);
    Catalog::load(file).unwrap_or_else(|error| panic!("{error}"));
    let asked: BTreeSet<String> = reference::asked(file).iter().map(|place| reference::described_at(place)).collect();
    let is_setting = |path: &str| !path.ends_with('*') && !path.ends_with("[]");
    let described: BTreeSet<String> =
        keys().map(|key| key.path).filter(|path| is_setting(path)).map(str::to_owned).collect();
    let missing: Vec<_> = asked.difference(&described).collect();
    assert!(missing.is_empty(), "describe in src/reference/keys, and use in {EVERYTHING}: {missing:?}");
    let idle: Vec<_> = described.difference(&asked).collect();
    assert!(idle.is_empty(), "nothing reads these, or {EVERYTHING} has no use of them: {idle:?}");
}

#[test]
fn the_example_of_every_key_is_of_its_kind() {
    for key in keys().filter(|key| !key.example.is_empty()) {
        let value = yaml(key.example);
        let is_good = match key.kind {
            Kind::Text | Kind::Pointer | Kind::Duration | Kind::TableName | Kind::File => value.is_string(),
            Kind::Whole | Kind::Share | Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::Pointers | Kind::Columns | Kind::Scalars | Kind::List => value.is_array(),
            Kind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Kind::Scalar
            | Kind::Any
            | Kind::TextOrTexts
            | Kind::Settings
            | Kind::Map
            | Kind::Either(_)
            | Kind::Like(_) => true,
        };
        assert!(is_good, "{}: {}", key.path, key.example);
    }
    assert_eq!(faults(&yaml(&fs::read_to_string(EVERYTHING).expect("a file"))), [""; 0]);
}

/// Every catalog of the repository that is good.
fn catalogs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && !entry.is_symlink() && name != "target" && name != "refused" && !name.starts_with('.') {
            catalogs(&entry, found);
        } else if name == "pipas.yaml" {
            found.push(entry);
        }
    }
}

#[test]
fn every_catalog_of_the_repository_validates() {
    let mut files = Vec::new();
    catalogs(&repository(), &mut files);
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        let faults = faults(&yaml(&text));
        assert!(faults.is_empty(), "{}: {faults:#?}", file.display());
    }
}

/// Every map of `value`, as JSON pointers.
fn maps(value: &Value, at: &str, found: &mut Vec<String>) {
    if let Value::Object(entries) = value {
        found.push(at.to_owned());
        for (name, value) in entries {
            maps(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }
    }
    if let Value::Array(items) = value {
        items.iter().enumerate().for_each(|(index, item)| maps(item, &format!("{at}/{index}"), found));
    }
}

#[test]
fn an_unknown_key_does_not_validate_wherever_settings_stand() {
    let good = yaml(&fs::read_to_string(EVERYTHING).expect("a file"));
    let mut places = Vec::new();
    maps(&good, "", &mut places);
    // Maps of names that the user gives take any name, though not with any value.
    for place in places.iter().filter(|place| !place.contains("/constant")) {
        let mut bad = good.clone();
        bad.pointer_mut(place).expect("a map")["no_such_key"] = serde_json::json!({ "no": ["such"] });
        assert!(!faults(&bad).is_empty(), "an unknown key at {place} validates");
    }
}

#[test]
fn the_pages_are_what_the_reference_says() {
    let page = repository().join("docs/catalog.md");
    let text = fs::read_to_string(&page).expect("docs/catalog.md");
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the keys");
    let (_, after) = rest.split_once(END).expect("the end of the keys");
    let made = format!("{before}{BEGIN}\n{}{END}{after}", reference::markdown());
    let schema_page = repository().join("docs/pipas.schema.json");
    let schema = serde_json::to_string_pretty(&reference::json_schema()).expect("JSON") + "\n";
    if std::env::var_os("PIPAS_WRITE_DOCS").is_some() {
        fs::write(&page, &made).expect("written");
        fs::write(&schema_page, &schema).expect("written");
        return;
    }
    let advice = "is not what the reference says; PIPAS_WRITE_DOCS=1 cargo test -p catalog --test reference writes it";
    assert!(text == made, "docs/catalog.md {advice}");
    assert!(fs::read_to_string(&schema_page).is_ok_and(|found| found == schema), "docs/pipas.schema.json {advice}");
}
