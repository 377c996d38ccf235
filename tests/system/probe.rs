//! `pipas probe` and `pipas check`, as a user runs them.

use std::{path::Path, process::Command};

use local_cloud::{Action, Faults, LocalCloud, Options, Rule, When};
use pipas::Endpoints;
use serde_json::{Value, json};
use tests::{Process, World};
use tonic::Code;

/// Races of A3.
const TRIALS: u64 = 20;

/// The verdicts on A2 to A8.
async fn verdicts(faults: Faults) -> anyhow::Result<Vec<(String, String)>> {
    let cloud = LocalCloud::start(Options { faults, ..Options::default() }).await?;
    let local = cloud.endpoints();
    let nowhere = String::new;
    let endpoints = Endpoints {
        project: Options::default().project,
        archive_bucket: nowhere(),
        registry_bucket: nowhere(),
        receiver: nowhere(),
        loader: nowhere(),
        compactor: nowhere(),
        poller: nowhere(),
        pubsub: local.pubsub.clone(),
        bigquery: local.bigquery.clone(),
        bigquery_storage: local.bigquery_storage.clone(),
        storage: local.storage.clone(),
        tasks: local.tasks.clone(),
        pid: std::process::id(),
    };
    let data = tempfile::tempdir()?;
    std::fs::write(data.path().join(Endpoints::FILE), serde_json::to_vec(&endpoints)?)?;
    let folder = data.path().to_owned();
    let probe = move || pipas(&folder, &["probe", "--trials", &TRIALS.to_string(), "--idle", "1s", "--json"]);
    let found = tokio::task::spawn_blocking(probe).await??;
    println!("{found:#}");
    cloud.shutdown().await?;
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = found.as_array().into_iter().flatten();
    Ok(findings.map(|finding| (text(finding, "assumption"), text(finding, "verdict"))).collect())
}

fn pipas(data_dir: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let output = Command::new(Process::binary("pipas")?).args(args).env("PIPAS_DATA_DIR", data_dir).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{}: {error}", output.status))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_bigquery_keeps_what_is_assumed_of_the_real_one() -> anyhow::Result<()> {
    let found = verdicts(Faults::default()).await?;
    // Nobody waits three days for A7.
    let wanted = ["A2", "A3", "A4", "A5", "A6", "A7", "A8"];
    let wanted = wanted.map(|name| (name.to_owned(), if name == "A7" { "not_shown" } else { "holds" }.to_owned()));
    assert_eq!(found, wanted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_finalizes_a_stream_only_once_is_found_out() -> anyhow::Result<()> {
    let faults = Faults::default();
    let refuses = Action::error(Code::FailedPrecondition, "finalized already");
    // One call for A2, one for each trial, one that finalizes a stream for A4: the next repeats it.
    faults.inject(Rule::new("BigQueryWrite/FinalizeWriteStream", When::Every(1 + TRIALS + 1 + 1), refuses));
    let found = verdicts(faults).await?;
    assert!(found.contains(&("A4".to_owned(), "fails".to_owned())), "{found:?}");
    Ok(())
}

#[test]
fn the_shipped_catalog_is_checked() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let catalog = World::catalog_file().display().to_string();
    let checked = pipas(data.path(), &["check", "--catalog", &catalog, "--rate", "events=1000", "--json"])?;
    assert_eq!(checked["streams"].as_array().map(Vec::len), Some(2), "{checked}");
    assert!(checked["needs"]["ledger_bytes"].as_u64() > Some(4_000_000_000), "{checked}");
    assert_eq!(checked["needs"]["unknown_rates"], json!(["courier-chat"]));
    let bad = data.path().join("pipas.yaml");
    std::fs::write(&bad, "streams: { A: { tables: {} } }\n")?;
    let refused = pipas(data.path(), &["check", "--catalog", &bad.display().to_string()]);
    assert!(refused.is_err_and(|error| error.to_string().contains("problem(s)")));
    Ok(())
}
