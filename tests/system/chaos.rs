//! The short form of scripts/chaos, and that it can fail.

use std::process::{Command, Output};

use tests::{
    Process,
    chaos::{Chaos, Outcome, seeds},
};

fn tell(outcome: &anyhow::Result<Outcome>) {
    match outcome {
        Ok(outcome) => println!("{outcome}"),
        Err(error) => println!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_every_event_ends_once() -> anyhow::Result<()> {
    let chaos = Chaos { events: 3_334, failover: true, unfenced: false };
    for outcome in seeds(chaos, &[1, 2, 3], 3, tell).await {
        let outcome = outcome?;
        assert!(outcome.faults().is_empty(), "{outcome}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_rows_are_missing_or_doubled() -> anyhow::Result<()> {
    let chaos = Chaos { events: 2_000, failover: false, unfenced: true };
    let mut is_open = false;
    for outcome in seeds(chaos, &[1, 2, 3], 3, tell).await {
        is_open |= !outcome?.report.is_closed();
    }
    assert!(is_open, "nothing went wrong");
    Ok(())
}

fn chaos(args: &[&str]) -> anyhow::Result<(Output, String)> {
    // Nothing is found on this path, redis-server neither.
    let nowhere = tempfile::tempdir()?;
    let output = Command::new(Process::binary("chaos")?).args(args).env("PATH", nowhere.path()).output()?;
    let said = [&output.stdout[..], &output.stderr].concat();
    Ok((output, String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn nothing_is_tried_by_no_seed_and_no_event() -> anyhow::Result<()> {
    for none in [["--seeds", "0"], ["--events", "0"]] {
        let (output, said) = chaos(&none)?;
        assert!(output.status.code() == Some(2) && said.contains("is not in 1.."), "{none:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_seed_that_fails_is_told_and_ends_no_other() -> anyhow::Result<()> {
    let (output, said) = chaos(&["--seed", "11", "--seed", "12", "--events", "10"])?;
    for seed in ["seed 11: starting redis-server", "seed 12: starting redis-server"] {
        assert!(said.lines().any(|line| line.starts_with(seed)), "{seed}: {said}");
    }
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned);
    assert_eq!(last.as_deref(), Some("missing 0, doubled 0 in 0 of 2 seeds; the others failed"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    Ok(())
}
