//! The real binary: started, put under load, and told to stop.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::peer::Peer;

const CATALOG: &str = "
streams:
  chat:
    description: Chat
    tables:
      messages: { table: chat.messages, schema: messages.json }
";
const SCHEMA: &str = r#"[{ "name": "text", "type": "STRING" }]"#;

/// Starts the receiver; the string is its address.
async fn start(folder: &std::path::Path, endpoint: &str) -> (Child, String) {
    std::fs::write(folder.join("pipas.yaml"), CATALOG).expect("written");
    std::fs::write(folder.join("messages.json"), SCHEMA).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_receiver"))
        .env_clear()
        .env("PORT", "0")
        .env("GOOGLE_CLOUD_PROJECT", "p")
        .env("PIPAS_PUBSUB_ENDPOINT", endpoint)
        .env("PIPAS_CATALOG", folder.join("pipas.yaml"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    while let Some(line) = lines.next_line().await.expect("readable") {
        let entry: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
        if entry["message"] == "listening" {
            let port = entry["address"].as_str().and_then(|address| address.rsplit(':').next()).expect("a port");
            // The rest of the log is read away, so that the process never waits for us.
            let address = format!("127.0.0.1:{port}");
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, address);
        }
    }
    panic!("the receiver ended before it listened");
}

#[tokio::test]
async fn sigterm_under_load_loses_nothing_that_was_accepted() {
    let (peer, endpoint) = Peer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut child, address) = start(folder.path(), &endpoint).await;
    let (accepted, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (accepted, stopping) = (Arc::clone(&accepted), Arc::clone(&stopping));
            let url = format!("http://{address}/v1/streams/chat/events");
            tokio::spawn(async move {
                let http = reqwest::Client::new();
                loop {
                    match http.post(&url).body(r#"{"text":"hello"}"#).send().await {
                        Ok(response) if response.status().is_success() => accepted.fetch_add(1, Ordering::SeqCst),
                        Ok(response) => panic!("answered {}", response.status()),
                        Err(_) if stopping.load(Ordering::SeqCst) => break,
                        Err(error) => panic!("{error} before the stop"),
                    };
                }
            })
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    while accepted.load(Ordering::SeqCst) < 200 {
        assert!(Instant::now() < deadline, "too slow to be put under load");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stopping.store(true, Ordering::SeqCst);
    let pid = child.id().expect("running").to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
    assert!(killed.success());
    let status = tokio::time::timeout(Duration::from_secs(10), child.wait()).await.expect("within Cloud Run's 10 s");
    assert!(status.expect("a status").success());
    for sender in senders {
        sender.await.expect("no panic");
    }
    let on_topic = peer.state().messages.len();
    assert!(on_topic >= accepted.load(Ordering::SeqCst), "{on_topic} on the topic, {accepted:?} accepted");
}

#[tokio::test]
async fn a_bad_environment_is_an_exit_code_and_one_log_line() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_receiver")).env_clear().env("PORT", "http").output().await.expect("ran");
    assert!(!output.status.success());
    let entry: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
    assert_eq!(entry["severity"], "ERROR");
    let error = entry["error"].as_str().unwrap_or_default();
    for name in ["PORT", "GOOGLE_CLOUD_PROJECT"] {
        assert!(error.contains(name), "{error}");
    }
}
