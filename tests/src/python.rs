use std::process::Command;

use anyhow::{Context, bail};

/// Runs a Python script of `tests/python/` with the foreign clients that `scripts/test` installs. Fails where they are absent.
pub fn python(script: &str, args: &[&str]) -> anyhow::Result<String> {
    let python = std::env::var_os("PIPAS_TEST_PYTHON")
        .context("PIPAS_TEST_PYTHON names no Python with the foreign clients; scripts/test sets it")?;
    let file = format!("{}/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python).arg(&file).args(args).output().with_context(|| format!("running {script}"))?;
    if !output.status.success() {
        bail!("{script}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
