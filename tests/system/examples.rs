//! The examples together: what they share is the same, and all of them run at once.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use catalog::{Catalog, Stream, TableName, View};
use tests::{Example, Process, World};

const EXAMPLES: [&str; 4] = ["courier-chat", "shop", "transit", "search"];

fn load(file: &Path) -> Catalog {
    Catalog::load(file).unwrap_or_else(|error| panic!("{error}"))
}

/// A copy that stands by itself, and never differs.
#[test]
fn courier_chat_is_what_the_repository_ships() {
    let (shipped, copy) = (load(&World::catalog_file()), load(&Example::folder("courier-chat").join("pipas.yaml")));
    for (name, stream) in &copy.streams {
        assert_eq!(Some(stream), shipped.streams.get(name));
    }
    for (name, view) in &copy.views {
        assert_eq!(Some(view), shipped.views.get(name));
    }
    assert_eq!((copy.streams.len(), copy.views.len()), (1, 1));
}

#[test]
fn the_merged_catalog_is_the_union_of_the_four() {
    let merged = load(&Example::folder("all").join("pipas.yaml"));
    let each = EXAMPLES.map(|name| load(&Example::folder(name).join("pipas.yaml")));
    let streams: BTreeMap<&String, &Stream> = each.iter().flat_map(|example| &example.streams).collect();
    let views: BTreeMap<&TableName, &View> = each.iter().flat_map(|example| &example.views).collect();
    assert_eq!(merged.streams.iter().collect::<BTreeMap<_, _>>(), streams);
    assert_eq!(merged.views.iter().collect::<BTreeMap<_, _>>(), views);
    assert_eq!(streams.len(), each.iter().map(|example| example.streams.len()).sum::<usize>(), "no two share a name");
}

/// The text of the merged catalog: the streams and views of each example, and the files in its folder.
fn merged() -> anyhow::Result<String> {
    let mut sections = BTreeMap::from([("streams:", String::new()), ("views:", String::new())]);
    for name in EXAMPLES {
        let mut section = None;
        for text in sections.values_mut() {
            text.push_str(&format!("  # {name}\n"));
        }
        for line in fs::read_to_string(Example::folder(name).join("pipas.yaml"))?.lines() {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            if !line.starts_with(' ') {
                anyhow::ensure!(sections.contains_key(line), "{name}: the merged catalog has no place for `{line}`");
                section = sections.keys().find(|known| **known == line).copied();
                continue;
            }
            let line = ["schema: ", "file: "]
                .iter()
                .fold(line.to_owned(), |line, key| line.replace(key, &format!("{key}{name}/")));
            let line = if section == Some("views:") { line.replace(": ", &format!(": {name}/")) } else { line };
            let text = section.and_then(|section| sections.get_mut(section)).context("a section")?;
            text.push_str(&format!("{line}\n"));
        }
    }
    let mut merged = String::from("# The four examples in one catalog, made of what each of them declares.\n");
    for (section, text) in sections {
        merged.push_str(&format!("\n{section}\n{text}"));
    }
    Ok(merged)
}

#[test]
fn the_merged_catalog_is_made_of_the_four() -> anyhow::Result<()> {
    let (file, made) = (Example::folder("all").join("pipas.yaml"), merged()?);
    if std::env::var_os("PIPAS_WRITE_DOCS").is_some() {
        return Ok(fs::write(&file, made)?);
    }
    assert!(
        fs::read_to_string(&file)? == made,
        "examples/all/pipas.yaml is not what the four say; PIPAS_WRITE_DOCS=1 scripts/test -E 'test(made_of_the_four)' writes it"
    );
    Ok(())
}

#[test]
fn every_sample_is_as_it_must_be() -> anyhow::Result<()> {
    for name in EXAMPLES {
        let said = Example::check_samples(name)?;
        // Both kinds are there.
        assert!(!said.contains(": 0 samples") && !said.contains(", 0 would be refused"), "{name}: {said}");
    }
    Ok(())
}

#[test]
fn all_four_run_at_once_and_every_account_closes() -> anyhow::Result<()> {
    let mut load = Command::new(Example::folder("all").join("load"));
    load.args(["4", "150"]).env("PIPAS", Process::binary("pipas")?).env_remove("PIPAS_REDIS_URL");
    let output = load.stdin(Stdio::null()).output()?;
    let said = String::from_utf8([output.stdout, output.stderr].concat())?;
    assert!(output.status.success(), "{said}");
    for stream in ["courier-chat", "backend-events", "search", "transit"] {
        let account = said.lines().find_map(|line| line.strip_prefix(&format!("{stream}: received ")));
        let account = account.unwrap_or_else(|| panic!("no account of {stream}: {said}"));
        let received = account.split(' ').next().and_then(|count| count.parse::<u64>().ok());
        assert!(received > Some(0) && account.ends_with("; missing 0, doubled 0"), "{stream}: {said}");
    }
    Ok(())
}

/// The shipped catalog's folder of schemas and the example's hold the same files.
#[test]
fn the_files_of_courier_chat_are_those_that_are_shipped() -> anyhow::Result<()> {
    let (root, copy) = (World::catalog_file(), Example::folder("courier-chat"));
    for (shipped, copied) in [
        ("schemas/courier_chat/orders.json", "schemas/orders.json"),
        ("schemas/courier_chat/conversations.json", "schemas/conversations.json"),
        ("views/customer_courier_conversations.sql", "views/customer_courier_conversations.sql"),
    ] {
        assert_eq!(fs::read(root.with_file_name(shipped))?, fs::read(copy.join(copied))?, "{shipped}");
    }
    Ok(())
}
