//! docs/metrics.md against the metrics of all functions, in both directions.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Up, eventually, pipas};

/// A metric as the page, or a function, describes it.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    kind: String,
    labels: BTreeSet<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The page's rows, by metric.
fn documented() -> anyhow::Result<BTreeMap<String, Described>> {
    let page = std::fs::read_to_string(repository().join("docs/metrics.md"))?;
    let mut found = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", name, kind @ ("counter" | "gauge" | "histogram"), unit, labels, meaning, ""] = cells.as_slice() else {
            continue;
        };
        let name = name.trim_matches('`').to_owned();
        ensure!(!unit.is_empty() && !meaning.is_empty(), "{name} has no unit or no meaning");
        let is_seconds = name.ends_with("_seconds");
        ensure!(is_seconds == unit.starts_with("seconds"), "{name}: the unit is {unit}, which its name does not say");
        ensure!((*kind == "counter") == name.ends_with("_total"), "{name}: a {kind}, which its name does not say");
        let labels = labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect();
        let twice = found.insert(name.clone(), Described { kind: (*kind).to_owned(), labels });
        ensure!(twice.is_none(), "{name} stands twice");
    }
    Ok(found)
}

/// The names that the crates declare, each in its `metrics.rs`.
fn declared() -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in ["functions", "shared"] {
        for krate in std::fs::read_dir(repository().join(folder))? {
            let file = krate?.path().join("src/metrics.rs");
            if !file.exists() {
                continue;
            }
            let source = std::fs::read_to_string(&file)?;
            let strings = source.split('"').skip(1).step_by(2);
            let is_name = |text: &&str| {
                (text.starts_with("pipas_") || text.starts_with("http_"))
                    && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            };
            found.extend(strings.filter(is_name).map(str::to_owned));
        }
    }
    Ok(found)
}

/// The metrics of a `/metrics` page.
fn shown(page: &str) -> anyhow::Result<BTreeMap<String, Described>> {
    let mut found: BTreeMap<String, Described> = BTreeMap::new();
    for line in page.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').context("a type")?;
            found.insert(name.to_owned(), Described { kind: kind.to_owned(), labels: BTreeSet::new() });
        } else if let Some((series, labels)) = line.split_once('{') {
            let of =
                ["_bucket", "_sum", "_count"].iter().find_map(|part| found.get_key_value(series.strip_suffix(part)?));
            let name = of.map_or(series, |(name, _)| name).to_owned();
            let labels = labels.split_once('}').context("labels")?.0;
            let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            let described = found.get_mut(&name).with_context(|| format!("no type of {name}"))?;
            described.labels.extend(names.filter(|label| label != "le"));
        }
    }
    Ok(found)
}

#[test]
fn the_page_names_what_the_crates_declare_and_nothing_else() -> anyhow::Result<()> {
    let documented: BTreeSet<String> = documented()?.into_keys().collect();
    let declared = declared()?;
    let differences = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(differences(&declared, &documented), Vec::<String>::new(), "are not in docs/metrics.md");
    assert_eq!(
        differences(&documented, &declared),
        Vec::<String>::new(),
        "are in docs/metrics.md, and no crate has them"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_describes_what_the_functions_show() -> anyhow::Result<()> {
    let documented = documented()?;
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--compact-every", "1"]).await?;
    let demo = pipas(data.path(), &["demo", "--conversations", "5", "--json"])?;
    ensure!(demo.status.success(), "{demo:?}");
    let endpoints: Value = serde_json::from_slice(&std::fs::read(data.path().join("endpoints.json"))?)?;
    let receiver = endpoints["receiver"].as_str().context("the receiver")?;
    let http = reqwest::Client::new();
    let url = format!("{receiver}/v1/streams/courier-chat/events");
    http.post(&url).body("oops").send().await?;
    // A dead letter, and a nack.
    http.post(&url).body(r#"{"a": 1}"#).send().await?.error_for_status()?;
    let loader = endpoints["loader"].as_str().context("the loader")?;
    http.post(loader).body("no envelope").send().await?;
    let pages = eventually(Duration::from_secs(30), async || {
        let mut pages = BTreeMap::new();
        for (part, url) in endpoints.as_object().into_iter().flatten() {
            let Some(url) = url.as_str().filter(|url| url.starts_with("http://")) else { continue };
            // The local cloud's servers have no metrics, and some speak gRPC alone.
            let Ok(answer) = http.get(format!("{url}/metrics")).send().await else { continue };
            let page = answer.text().await.unwrap_or_default();
            if page.starts_with("# HELP") {
                pages.insert(part.clone(), page);
            }
        }
        let has = |part: &str, text: &str| pages.get(part).is_some_and(|page: &String| page.contains(text));
        ensure!(has("compactor", "pipas_compactor_runs_total"), "the compactor has not run");
        ensure!(has("loader", r#"{outcome="dead_lettered",stream="courier-chat"} 1"#), "no dead letter yet");
        Ok(pages)
    })
    .await?;
    let functions = std::fs::read_dir(repository().join("functions"))?.count() - 1;
    assert_eq!(pages.len(), functions, "the functions that `up` runs: {:?}", pages.keys());
    let mut seen = BTreeSet::new();
    for (function, page) in &pages {
        for (name, described) in shown(page)? {
            let expected = documented.get(&name).with_context(|| format!("{function}: {name} is not documented"))?;
            assert_eq!(described.kind, expected.kind, "{function}: {name}");
            // A family without a series yet shows no labels.
            assert!(
                described.labels.is_empty() || described.labels == expected.labels,
                "{function}: {name}: {described:?}"
            );
            seen.insert(name);
        }
    }
    let unseen: Vec<_> = documented.keys().filter(|name| !seen.contains(*name)).collect();
    println!("{} of {} documented metrics were seen; not these: {unseen:?}", seen.len(), documented.len());
    assert!(seen.len() * 2 > documented.len(), "most are seen: {unseen:?}");
    up.interrupt().await
}

/// What stands in Terraform's alerts and dashboards is on the page, as a metric or as one of a histogram's series.
#[test]
fn alerts_and_dashboards_use_documented_names() -> anyhow::Result<()> {
    let documented = documented()?;
    let prefixes: BTreeSet<String> =
        documented.keys().map(|name| name.split_inclusive('_').take(2).collect::<String>()).collect();
    let mut folders = vec![repository().join("terraform")];
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            println!("{} does not exist: nothing to hold the page against", folder.display());
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "tf") {
                let source = std::fs::read_to_string(&path)?;
                for word in source.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                    let is_metric = prefixes.iter().any(|prefix| word.starts_with(prefix.as_str()));
                    let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
                    let is_known = documented.contains_key(word)
                        || base.and_then(|base| documented.get(base)).is_some_and(|found| found.kind == "histogram");
                    ensure!(!is_metric || is_known, "{}: {word} is not in docs/metrics.md", path.display());
                }
            }
        }
    }
    Ok(())
}
