//! Google's own Python clients against the local cloud, unmodified but for the endpoint.

use local_cloud::{LocalCloud, Options};
use tests::python;

async fn drive(script: &'static str) -> anyhow::Result<()> {
    let cloud = LocalCloud::start(Options::default()).await?;
    let endpoints = serde_json::to_string(cloud.endpoints())?;
    let printed = tokio::task::spawn_blocking(move || python(script, &[&endpoints])).await??;
    assert!(printed.trim_end().ends_with("ok"), "{printed}");
    cloud.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_pubsub() -> anyhow::Result<()> {
    drive("pubsub_client.py").await
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_bigquery() -> anyhow::Result<()> {
    drive("bigquery_client.py").await
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_bigquery_storage() -> anyhow::Result<()> {
    drive("bigquery_storage_client.py").await
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_storage() -> anyhow::Result<()> {
    drive("storage_client.py").await
}
