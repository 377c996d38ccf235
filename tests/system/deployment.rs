//! What is deployed fits the functions: the variables that each reads, and the services that must be on before anything is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a deployment leaves as it is, because it is of the image, of tests, or a default that fits.
const LEFT: [&str; 15] = [
    "PIPAS_CATALOG",
    "PIPAS_PUSH_AUTH",
    "PIPAS_LEDGER_JOURNAL",
    "PIPAS_REDIS_BUCKETS",
    "PIPAS_JANITOR_IDLE",
    "PIPAS_RECOVERY_LIMIT",
    "PIPAS_LOADER_BUFFER_BYTES",
    "PIPAS_HOLD",
    "PIPAS_SUSPECT_AFTER",
    "PIPAS_APPEND_LIMIT",
    "PIPAS_COMPACTOR_IDLE_MS",
    "PIPAS_COMPACTOR_ACK_DEADLINE_S",
    "PIPAS_MAX_BODY_BYTES",
    "PIPAS_INTAKE_BYTES",
    "PIPAS_PUBLISH_BYTES",
];

/// The variables in quotation marks of a function's `config.rs`, without its tests.
fn read(function: &str) -> anyhow::Result<BTreeSet<String>> {
    let path = root().join("functions").join(function).join("src/config.rs");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let words = code.split('"').skip(1).step_by(2);
    let mut found: BTreeSet<String> = words.filter(|word| word.starts_with("PIPAS_")).map(str::to_owned).collect();
    if code.contains("OidcConfig::from_env") {
        found.extend(["PIPAS_PUSH_AUDIENCE", "PIPAS_PUSH_SERVICE_ACCOUNT"].map(str::to_owned));
    }
    if code.contains("loader::Config::from_env") {
        found.extend(self::read("loader")?);
    }
    Ok(found.into_iter().filter(|name| !name.ends_with("_ENDPOINT") && !LEFT.contains(&name.as_str())).collect())
}

/// `told.json` is what Terraform's test of the platform finds in each function's environment: the two tests meet there.
#[test]
fn each_function_is_told_what_it_reads() -> anyhow::Result<()> {
    let path = root().join("terraform/modules/platform/tests/told.json");
    let told: BTreeMap<String, BTreeSet<String>> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    ensure!(told.len() > 5, "only {:?} are told anything", told.keys());
    for (function, variables) in told {
        let ours: BTreeSet<_> = variables.into_iter().filter(|name| name.starts_with("PIPAS_")).collect();
        assert_eq!(ours, read(&function)?, "what Terraform tells the {function}, and what it reads");
    }
    Ok(())
}

/// A call of a module, or a resource: its name, and its text.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let starts = ["\nmodule \"", "\nresource \"", "\ndata \""];
    let mut found = Vec::new();
    for start in starts {
        for (at, _) in text.match_indices(start) {
            let block = text[at + 1..].split("\n}").next().unwrap_or_default();
            found.push((block.lines().next().unwrap_or_default(), block));
        }
    }
    found
}

/// On a first apply whatever does not wait for the services is made beside them, and refused.
#[test]
fn nothing_of_the_platform_is_made_before_its_services() -> anyhow::Result<()> {
    let (mut seen, mut early) = (0, Vec::new());
    for entry in std::fs::read_dir(root().join("terraform/modules/platform"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "tf") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        for (name, block) in blocks(&text) {
            seen += 1;
            // The catalog makes nothing; the project is there, and its services are the beginning.
            let is_first = ["\"catalog\"", "\"google_project\"", "\"google_project_service\""]
                .iter()
                .any(|first| name.contains(first));
            // A grant waits for the account that it names.
            let waits = block.contains("google_project_service.this")
                || (name.contains("iam_member") && block.contains("module.identity."));
            if !is_first && !waits {
                early.push(format!("{}: {name}", path.display()));
            }
        }
    }
    ensure!(seen > 15, "only {seen} blocks were seen");
    ensure!(early.is_empty(), "these do not depend on google_project_service.this: {early:#?}");
    Ok(())
}
