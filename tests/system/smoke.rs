//! `scripts/smoke` against a running `pipas up`.

use std::process::{Command, Output};

use tests::Up;

fn smoke(arguments: &[&str]) -> anyhow::Result<Output> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/smoke");
    Ok(Command::new("python3").arg(script).args(arguments).output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_seen_through_all_of_it() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &[]).await?;
    let folder = data.path().to_string_lossy().into_owned();
    let output = smoke(&["--local", &folder])?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for word in ["posted", "row", "duplicate", "archived"] {
        assert!(said.lines().any(|line| line.starts_with(word)), "{word}: {said}");
    }
    // An event that goes elsewhere than expected is a failure that says so.
    let chat = data.path().join("chat.json");
    std::fs::write(&chat, r#"{"orderId": 1, "cityCode": "SMOKE_ID"}"#)?;
    let chat = chat.to_string_lossy();
    let into = ["--stream", "courier-chat", "--event", &chat, "--timeout", "2"];
    let elsewhere = smoke(&[&["--local", &folder, "--table", "courier_chat.conversations"], &into[..]].concat())?;
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(!elsewhere.status.success() && said.contains("courier_chat.conversations has 0 rows"), "{said}");
    let right = smoke(&[&["--local", &folder, "--table", "courier_chat.orders"], &into[..]].concat())?;
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    up.interrupt().await
}
