//! Terraform and the functions read one catalog: what Terraform would make of it is what `pipas up` makes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use pipas::Endpoints;
use serde_json::{Map, Value, json};
use tests::{Example, Up, World, python};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs `terraform` in `folder`, with its own data in `scratch`. Needs no provider, and so no network.
fn terraform(folder: &Path, scratch: &Path, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("terraform");
    command.arg(format!("-chdir={}", folder.display())).args(args);
    command.env("TF_DATA_DIR", scratch.join("data")).env("CHECKPOINT_DISABLE", "1").env_remove("TF_CLI_CONFIG_FILE");
    let output = command.output().context("terraform")?;
    ensure!(output.status.success(), "terraform {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Whether `PIPAS_REQUIRE` names the tool: then its absence is a failure.
fn is_required(tool: &str) -> bool {
    std::env::var("PIPAS_REQUIRE").is_ok_and(|tools| tools.split(',').any(|named| named == tool))
}

/// What Terraform reads in the catalog; `None` where there is no Terraform.
fn planned(catalog: &Path) -> anyhow::Result<Option<Value>> {
    if Command::new("terraform").arg("version").output().is_err() {
        ensure!(!is_required("terraform"), "terraform is absent, and PIPAS_REQUIRE names it");
        eprintln!("terraform is absent: nobody has compared what it would make of {}", catalog.display());
        return Ok(None);
    }
    let scratch = tempfile::tempdir()?;
    let (folder, state) = (root().join("terraform/tests/catalog"), scratch.path().join("state"));
    let (state, file) = (format!("-state={}", state.display()), format!("-var=file={}", catalog.display()));
    terraform(&folder, scratch.path(), &["init", "-backend=false", "-input=false"])?;
    terraform(&folder, scratch.path(), &["apply", "-auto-approve", "-input=false", &state, &file])?;
    let plan = terraform(&folder, scratch.path(), &["output", &state, "-json", "plan"])?;
    Ok(Some(serde_json::from_slice(&plan)?))
}

/// What `pipas up` makes of the catalog, as Google's clients tell it.
async fn made(catalog: &Path) -> anyhow::Result<Value> {
    let data = tempfile::tempdir()?;
    let up = Up::start_with(catalog, data.path(), &["--ephemeral"]).await?;
    let endpoints = serde_json::to_string(&Endpoints::find(data.path())?)?;
    let made = tokio::task::spawn_blocking(move || python("made.py", &[&endpoints])).await??;
    up.interrupt().await?;
    Ok(serde_json::from_str(&made)?)
}

/// A column with everything that may be left out, by the API's names.
fn column(found: &Value) -> Value {
    const NAMES: [(&str, &str); 6] = [
        ("INT64", "INTEGER"),
        ("FLOAT64", "FLOAT"),
        ("BOOL", "BOOLEAN"),
        ("STRUCT", "RECORD"),
        ("DECIMAL", "NUMERIC"),
        ("BIGDECIMAL", "BIGNUMERIC"),
    ];
    let text = |key: &str| found[key].as_str().map(str::to_uppercase);
    let declared = text("type").unwrap_or_default();
    let field_type = NAMES.iter().find(|(alias, _)| *alias == declared).map_or(declared.as_str(), |(_, name)| name);
    json!({
        "name": found["name"],
        "type": field_type,
        "mode": text("mode").unwrap_or_else(|| "NULLABLE".into()),
        "description": found["description"],
        "precision": found["precision"],
        "scale": found["scale"],
        "maxLength": found["maxLength"],
        "fields": columns(&found["fields"]),
    })
}

fn columns(found: &Value) -> Vec<Value> {
    found.as_array().into_iter().flatten().map(column).collect()
}

fn entries(found: &Value) -> impl Iterator<Item = (&String, &Value)> {
    found.as_object().into_iter().flatten()
}

fn names(found: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeSet<String> {
    found.into_iter().map(|name| name.as_ref().to_owned()).collect()
}

fn texts(found: &Value) -> BTreeSet<String> {
    names(found.as_array().into_iter().flatten().filter_map(Value::as_str))
}

async fn compare(catalog: &Path) -> anyhow::Result<()> {
    let catalog = catalog.canonicalize()?;
    let Some(planned) = planned(&catalog)? else { return Ok(()) };
    let made = made(&catalog).await?;

    assert_eq!(texts(&planned["datasets"]), texts(&made["datasets"]), "datasets");

    let topics = entries(&planned["streams"]).flat_map(|(_, stream)| [&stream["topic"], &stream["dead_letter_topic"]]);
    assert_eq!(names(topics.filter_map(Value::as_str)), texts(&made["topics"]), "topics");

    let mut subscriptions = Map::new();
    for (name, stream) in entries(&planned["streams"]) {
        let push = format!("/push/{name}");
        let of = |topic: &Value, path: Option<&str>| {
            json!({ "topic": topic, "path": path, "is_ordered": false, "expires": false, "filter": "",
                    "dead_letter_topic": null, "max_delivery_attempts": null })
        };
        let mut loader = of(&stream["topic"], Some(&push));
        loader["is_ordered"] = stream["is_ordered"].clone();
        loader["dead_letter_topic"] = stream["dead_letter_topic"].clone();
        loader["max_delivery_attempts"] = stream["max_delivery_attempts"].clone();
        let id = |key: &str| stream[key].as_str().unwrap_or_default().to_owned();
        subscriptions.insert(id("loader_subscription"), loader);
        subscriptions.insert(id("archive_subscription"), of(&stream["topic"], None));
        subscriptions.insert(id("dead_letter_subscription"), of(&stream["dead_letter_topic"], Some(&push)));
        for (_, further) in entries(&stream["subscriptions"]) {
            let mut told = of(&stream["topic"], None);
            told["is_ordered"] = stream["is_ordered"].clone();
            for key in ["filter", "ack_deadline_seconds", "retention_seconds"] {
                told[key] = further[key].clone();
            }
            subscriptions.insert(further["id"].as_str().unwrap_or_default().to_owned(), told);
        }
    }
    let mut told = made["subscriptions"].clone();
    for (id, found) in told.as_object_mut().into_iter().flatten() {
        // How long Pipas' own keep a message is a matter of the deployment.
        let has_own_times = subscriptions.get(id).is_some_and(|planned| planned.get("retention_seconds").is_some());
        if let Some(found) = found.as_object_mut().filter(|_| !has_own_times) {
            found.retain(|key, _| !["ack_deadline_seconds", "retention_seconds"].contains(&key.as_str()));
        }
    }
    assert_eq!(Value::Object(subscriptions), told, "subscriptions");

    let mut tables = BTreeMap::new();
    for (name, table) in entries(&planned["tables"]) {
        let schema: Value = serde_json::from_str(table["schema"].as_str().context("a schema")?)?;
        let told = json!({ "schema": columns(&schema), "partition": table["partition"], "cluster": table["cluster"],
                           "primary_key": table["primary_key"] });
        tables.insert(name.clone(), told);
    }
    let told: BTreeMap<_, _> = entries(&made["tables"])
        .map(|(name, table)| {
            let mut table = table.clone();
            table["schema"] = columns(&table["schema"]).into();
            (name.clone(), table)
        })
        .collect();
    assert_eq!(names(tables.keys()), names(told.keys()), "tables");
    for (name, table) in &tables {
        assert_eq!(Some(table), told.get(name), "{name}");
    }

    let views: BTreeMap<_, _> =
        entries(&planned["views"]).map(|(name, view)| (name.clone(), view["query"].clone())).collect();
    let told: BTreeMap<_, _> = entries(&made["views"]).map(|(name, sql)| (name.clone(), sql.clone())).collect();
    assert_eq!(views, told, "views");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn terraform_makes_of_the_shipped_catalog_what_up_makes() -> anyhow::Result<()> {
    compare(&World::catalog_file()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn terraform_understands_every_form_as_the_functions_do() -> anyhow::Result<()> {
    let fixtures = root().join("terraform/modules/catalog/tests/fixture");
    compare(&fixtures.join("pipas.yaml")).await?;
    compare(&fixtures.join("raw.yaml")).await?;
    compare(&fixtures.join("subscribed.yaml")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn terraform_makes_of_the_examples_what_up_makes() -> anyhow::Result<()> {
    compare(&Example::catalog("all")).await
}

/// The metrics of the catalogue page, and whether each is a histogram; `None` where there is no page.
fn catalogued() -> Option<BTreeMap<String, bool>> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).ok()?;
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let (name, kind) = (cells.next()?.trim_end_matches('`'), cells.next()?);
        ["counter", "gauge", "histogram"].contains(&kind).then(|| (name.to_owned(), kind == "histogram"))
    });
    Some(rows.collect())
}

/// The words of a folder's Terraform files that can only be metrics of the functions.
fn metrics_in(folder: &Path, found: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            metrics_in(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "tf") {
            let text = std::fs::read_to_string(&path)?;
            let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
            let is_metric = |word: &&str| {
                word.starts_with("http_request_duration_seconds")
                    || word.strip_prefix("pipas_").is_some_and(|rest| !rest.is_empty() && !rest.starts_with("ops"))
            };
            found.extend(words.filter(is_metric).map(str::to_owned));
        }
    }
    Ok(())
}

#[test]
fn alerts_and_dashboard_use_metrics_of_the_catalogue() -> anyhow::Result<()> {
    let Some(catalogued) = catalogued() else {
        eprintln!("docs/metrics.md is absent: nobody has looked whether the alerts' metrics exist");
        return Ok(());
    };
    ensure!(catalogued.len() > 20, "docs/metrics.md has only {} metrics", catalogued.len());
    let mut used = BTreeSet::new();
    metrics_in(&root().join("terraform/modules"), &mut used)?;
    ensure!(used.len() > 10, "the alerts use only {used:?}");
    let is_known = |name: &&String| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        catalogued.contains_key(*name) || histogram.is_some_and(|name| catalogued.get(name) == Some(&true))
    };
    let unknown: Vec<_> = used.iter().filter(|name| !is_known(name)).collect();
    ensure!(unknown.is_empty(), "terraform/ uses metrics that docs/metrics.md does not know: {unknown:?}");
    Ok(())
}
