//! `pipas probe`, `scripts/probe-live` and `pipas check`, as a user runs them.

use std::{
    path::Path,
    process::{Command, Output},
};

use local_cloud::{Action, Faults, LocalCloud, Options, Rule, When};
use pipas::Endpoints;
use serde_json::{Value, json};
use storage_write::StorageErrorCode;
use tests::{Process, World};
use tonic::Code;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/probe-live");

/// Races of A3.
const TRIALS: u64 = 20;

/// What `pipas probe` says of a local cloud with `faults`.
struct Probed {
    findings: Vec<Value>,
    exit_code: Option<i32>,
    error: String,
}

impl Probed {
    async fn with(faults: Faults, args: &'static [&'static str]) -> anyhow::Result<Self> {
        let output = beside(faults, move |data| {
            Ok(Command::new(Process::binary("pipas")?)
                .args(["probe", "--json"])
                .args(args)
                .env("PIPAS_DATA_DIR", data)
                .output()?)
        })
        .await?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{}{error}", String::from_utf8_lossy(&output.stdout));
        let findings =
            serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{}: {error}", output.status))?;
        Ok(Self { findings, exit_code: output.status.code(), error })
    }

    fn verdicts(&self) -> Vec<(&str, &str)> {
        self.findings.iter().map(|finding| (text(&finding["assumption"]), text(&finding["verdict"]))).collect()
    }

    fn evidence(&self, assumption: &str) -> &str {
        let finding = self.findings.iter().find(|finding| finding["assumption"] == assumption);
        finding.map_or("", |finding| text(&finding["evidence"]))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Runs `command` with the data directory of a local cloud that has `faults`.
async fn beside(
    faults: Faults,
    command: impl FnOnce(&Path) -> anyhow::Result<Output> + Send + 'static,
) -> anyhow::Result<Output> {
    let cloud = LocalCloud::start(Options { faults, ..Options::default() }).await?;
    let endpoints = Endpoints::of_cloud(&Options::default().project, cloud.endpoints());
    let data = tempfile::tempdir()?;
    std::fs::write(data.path().join(Endpoints::FILE), serde_json::to_vec(&endpoints)?)?;
    let folder = data.path().to_owned();
    let output = tokio::task::spawn_blocking(move || command(&folder)).await??;
    cloud.shutdown().await?;
    Ok(output)
}

fn refusing(calls: &str, when: When, code: Code) -> Faults {
    let faults = Faults::default();
    faults.inject(Rule::new(calls, when, Action::error(code, "injected")));
    faults
}

/// One call for A2, one for each trial, one that finalizes a stream for A4: the next repeats it.
fn finalizes_once(trials: u64) -> Faults {
    refusing("BigQueryWrite/FinalizeWriteStream", When::Every(1 + trials + 1 + 1), Code::FailedPrecondition)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_bigquery_keeps_what_is_assumed_of_the_real_one() -> anyhow::Result<()> {
    let probed = Probed::with(Faults::default(), &["--trials", "20", "--idle", "1s"]).await?;
    let mut wanted = ["A2", "A3", "A4", "A5", "A6", "A7", "A8"].map(|name| (name, "holds"));
    // Nobody waits three days for A7.
    wanted[5].1 = "not_shown";
    assert_eq!(probed.verdicts(), wanted);
    assert_eq!(probed.exit_code, Some(2), "{}", probed.error);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_finalizes_a_stream_only_once_is_found_out() -> anyhow::Result<()> {
    let probed = Probed::with(finalizes_once(TRIALS), &["--trials", "20"]).await?;
    assert!(probed.verdicts().contains(&("A4", "fails")), "{:?}", probed.verdicts());
    assert_eq!(probed.exit_code, Some(1), "{}", probed.error);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_accepted_append_nothing_is_shown() -> anyhow::Result<()> {
    let faults = refusing("BigQueryWrite/AppendRows", When::Every(1), Code::Internal);
    let probed = Probed::with(faults, &["--trials", "20"]).await?;
    let mut wanted = ["A2", "A3", "A4", "A5", "A6", "A7", "A8"].map(|name| (name, "not_shown"));
    wanted[5].1 = "not_tried";
    assert_eq!(probed.verdicts(), wanted);
    assert_eq!(probed.exit_code, Some(2), "{}", probed.error);
    Ok(())
}

/// Appends are refused as if the stream were finalized, but before anyone finalizes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_finalize_did_not_make_is_no_race() -> anyhow::Result<()> {
    let faults = Faults::default();
    let storage_error = Some(StorageErrorCode::StreamFinalized);
    let refuses = Action::Error { code: Code::InvalidArgument, message: "injected".to_owned(), storage_error };
    faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Every(7), refuses));
    let probed = Probed::with(faults, &["--trials", "20"]).await?;
    assert!(probed.verdicts().contains(&("A3", "not_shown")), "{:?}", probed.verdicts());
    assert!(probed.evidence("A3").contains("before finalize was called"), "{}", probed.evidence("A3"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_error_is_not_taken_for_a_refusal() -> anyhow::Result<()> {
    // Five rows are written, and the sixth append comes after finalize: that of A2, then that of A5.
    let faults = refusing("BigQueryWrite/AppendRows", When::Every(6), Code::PermissionDenied);
    let probed = Probed::with(faults, &["--trials", "0"]).await?;
    let wanted = [
        ("A2", "not_shown"),
        ("A3", "not_shown"),
        ("A4", "holds"),
        ("A5", "not_shown"),
        ("A6", "holds"),
        ("A7", "not_tried"),
        ("A8", "holds"),
    ];
    assert_eq!(probed.verdicts(), wanted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_fails_is_left_out_and_counted() -> anyhow::Result<()> {
    // One stream for A2, one for each of 20 trials: the 5th, the 10th, the 15th and the 20th are refused.
    let faults = refusing("BigQueryWrite/CreateWriteStream", When::Every(5), Code::PermissionDenied);
    let probed = Probed::with(faults, &["--trials", "20"]).await?;
    assert!(probed.verdicts().contains(&("A3", "holds")), "{:?}", probed.verdicts());
    assert!(probed.evidence("A3").contains("; 4 trials left out, the first: "), "{}", probed.evidence("A3"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_told_though_the_table_cannot_be_dropped() -> anyhow::Result<()> {
    let faults = refusing("bigquery/tables.delete", When::Every(1), Code::PermissionDenied);
    let probed = Probed::with(faults, &["--trials", "0"]).await?;
    assert!(probed.verdicts().contains(&("A2", "holds")), "{:?}", probed.verdicts());
    assert!(probed.error.contains("is left behind"), "{}", probed.error);
    Ok(())
}

/// The script on a local cloud with `faults`: its exit code and what it said.
async fn script(faults: Faults) -> anyhow::Result<(Option<i32>, String)> {
    let pipas = Process::binary("pipas")?;
    let output = beside(faults, move |data| {
        let mut script = Command::new(SCRIPT);
        script.args(["--trials", "2"]).env("PIPAS_BINARY", pipas).env("PIPAS_DATA_DIR", data);
        Ok(script.output()?)
    })
    .await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_tells_what_holds_from_what_fails_and_what_is_not_shown() -> anyhow::Result<()> {
    let refused = refusing("BigQueryWrite/CreateWriteStream", When::Every(1), Code::PermissionDenied);
    let (good, bad, none) = tokio::try_join!(script(Faults::default()), script(finalizes_once(2)), script(refused))?;
    for name in ["A2", "A3", "A4", "A5", "A6", "A8"] {
        assert!(good.1.lines().any(|line| line.starts_with(&format!("{name} holds "))), "{name}: {}", good.1);
        assert!(none.1.lines().any(|line| line.starts_with(&format!("{name} not shown "))), "{name}: {}", none.1);
    }
    assert!(good.1.contains("A7 not tried"), "{}", good.1);
    assert!(bad.1.contains("A4 fails"), "{}", bad.1);
    assert_eq!((good.0, bad.0, none.0), (Some(0), Some(1), Some(2)), "{}{}{}", good.1, bad.1, none.1);
    // Nobody is there.
    let empty = tempfile::tempdir()?;
    let mut alone = Command::new(SCRIPT);
    alone.env("PIPAS_BINARY", Process::binary("pipas")?).env("PIPAS_DATA_DIR", empty.path());
    let alone = tokio::task::spawn_blocking(move || alone.output()).await??;
    assert_eq!(alone.status.code(), Some(2), "{}", String::from_utf8_lossy(&alone.stderr));
    Ok(())
}

fn check(data_dir: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let pipas = Process::binary("pipas")?;
    let output = Command::new(pipas).arg("check").args(args).env("PIPAS_DATA_DIR", data_dir).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{}: {error}", output.status))
}

#[test]
fn the_shipped_catalog_is_checked() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let catalog = World::catalog_file().display().to_string();
    let checked = check(data.path(), &["--catalog", &catalog, "--rate", "events=1000", "--json"])?;
    assert_eq!(checked["streams"].as_array().map(Vec::len), Some(2), "{checked}");
    assert!(checked["needs"]["ledger_bytes"].as_u64() > Some(4_000_000_000), "{checked}");
    assert_eq!(checked["needs"]["unknown_rates"], json!(["courier-chat"]));
    let bad = data.path().join("pipas.yaml");
    std::fs::write(&bad, "streams: { A: { tables: {} } }\n")?;
    let refused = check(data.path(), &["--catalog", &bad.display().to_string()]);
    assert!(refused.is_err_and(|error| error.to_string().contains("problem(s)")));
    Ok(())
}
