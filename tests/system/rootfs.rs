//! Each function in the file tree of its container, as nobody's user and with nothing else there.

use std::{
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, ensure};
use tests::{Process, Setup, World};

fn script(name: &str) -> String {
    format!("{}/../scripts/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The functions that `scripts/functions` names.
fn functions() -> anyhow::Result<Vec<String>> {
    let listed = Command::new(script("functions")).output()?;
    ensure!(listed.status.success(), "{listed:?}");
    Ok(String::from_utf8(listed.stdout)?.lines().map(str::to_owned).collect())
}

/// The tree of `function` in `dir`; the tests' own binary is not the one that is deployed, and may be large.
fn build(function: &str, dir: &Path) -> anyhow::Result<Output> {
    let mut command = Command::new(script("build-rootfs"));
    command.arg(function).arg(dir).arg(Process::binary(function)?).env("PIPAS_ANY_SIZE", "1");
    Ok(command.output()?)
}

/// Starts what the tree holds, within it.
fn enclosed(function: &str, dir: &Path, env: &[(&str, String)]) -> anyhow::Result<Process> {
    let mut command = Command::new("unshare");
    command.arg(format!("--root={}", dir.display()));
    if nix::unistd::geteuid().is_root() {
        command.args(["--setuid=65532", "--setgid=65532"]);
    } else {
        // Without privileges it takes a user namespace to change the root; within it we are mapped, and nobody outside.
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("/function");
    Process::start(function, command, env)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_runs_in_its_container() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;
    let mut env = world.endpoints.environment(Path::new("/etc/pipas/pipas.yaml"));
    env.push(("PIPAS_REDIS_URL", World::redis_url()?));
    env.push(("PIPAS_POLLER_URL", "http://127.0.0.1:9".to_owned()));
    for function in functions()? {
        let dir = tempfile::tempdir()?;
        let built = build(&function, dir.path())?;
        ensure!(built.status.success(), "{function}: {}", String::from_utf8_lossy(&built.stderr));
        let running = enclosed(&function, dir.path(), &env).with_context(|| function.clone())?;
        let ready = reqwest::get(format!("{}/readyz", running.url)).await?;
        assert_eq!(ready.status(), 200, "{function}: {}", ready.text().await?);
        if function == "receiver" {
            let url = format!("{}/v1/streams/courier-chat/events", running.url);
            let request = reqwest::Client::new().post(url).body(r#"{"orderId": 1, "cityCode": "ROM"}"#);
            assert_eq!(request.send().await?.status(), 200, "an event on the topic, by the catalog in the tree");
        }
        let ended = tokio::task::spawn_blocking(|| running.terminate()).await??;
        assert!(ended.success(), "{function} ended with {ended}");
    }
    world.stop().await
}

/// The clients of Google's endpoints are made at the start, and they want the authorities then.
#[test]
fn a_tree_without_certificate_authorities_shows_at_the_start() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let built = build("receiver", dir.path())?;
    ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let env = [("GOOGLE_CLOUD_PROJECT", "p".to_owned())];
    drop(enclosed("receiver", dir.path(), &env).context("with authorities it starts")?);
    std::fs::remove_dir_all(dir.path().join("etc/ssl"))?;
    assert!(enclosed("receiver", dir.path(), &env).is_err(), "without them it does not");
    Ok(())
}

/// What the container's own build holds to; `build` is let off, for a binary with debug information is large.
#[test]
fn a_tree_that_is_too_large_is_refused() -> anyhow::Result<()> {
    let (catalog, dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
    std::fs::write(catalog.path().join("pipas.yaml"), "streams: {}\n")?;
    std::fs::create_dir(catalog.path().join("schemas"))?;
    std::fs::create_dir(catalog.path().join("views"))?;
    let tree = |name: &str| {
        let mut command = Command::new(script("build-rootfs"));
        command.arg("receiver").arg(dir.path().join(name)).arg("/bin/true").env("PIPAS_CATALOG_DIR", catalog.path());
        command.env_remove("PIPAS_ANY_SIZE").output()
    };
    let small = tree("small")?;
    ensure!(small.status.success(), "{}", String::from_utf8_lossy(&small.stderr));
    std::fs::File::create(catalog.path().join("stations.csv"))?.set_len(26_000_000)?;
    let large = tree("large")?;
    let said = String::from_utf8_lossy(&large.stderr);
    assert!(!large.status.success() && said.contains("bytes are more than"), "{said}");
    Ok(())
}

#[test]
fn a_function_that_does_not_exist_and_a_folder_that_is_not_empty_are_refused() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let output = Command::new(script("build-rootfs")).arg("sender").arg(dir.path()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no function is named sender"), "{said}");
    std::fs::write(dir.path().join("x"), "")?;
    let said = build("receiver", dir.path())?;
    assert!(!said.status.success(), "{said:?}");
    Ok(())
}
