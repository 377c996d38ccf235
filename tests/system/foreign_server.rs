//! Our Storage Write client, unmodified, against a server that is not ours: PyPI's `bqemulator`.
//!
//! What it lacks: a connection's later requests may leave out the stream's name, as the service's documentation allows, and it
//! then finds no stream; and refusals carry a bare gRPC code, without the StorageError that tells why.

use std::time::Duration;

use bytes::Bytes;
use catalog::{Delivery, Field, FieldType, Mode, TableName, TableSchema, UnknownFields, When};
use serde_json::json;
use storage_write::{
    AppendError, Appender, AppenderConfig, Client, ClientConfig, LiveEncoder, Metrics, StreamWriter, Tables,
};
use tests::eventually;

/// The emulator's endpoints, REST and gRPC, where `scripts/test` started it.
fn emulator() -> Option<(String, String)> {
    let endpoint = |name: &str| std::env::var(name).ok();
    let found = endpoint("PIPAS_TEST_BQEMULATOR_REST").zip(endpoint("PIPAS_TEST_BQEMULATOR_GRPC"));
    if found.is_none() {
        println!(
            "skipped: bqemulator is absent (PIPAS_TEST_BQEMULATOR_REST and _GRPC are not set; scripts/test sets them)"
        );
    }
    found
}

const PROJECT: &str = "pipas-local";

struct Foreign {
    tables: Tables,
    client: Client,
    table: TableName,
    encoder: LiveEncoder,
}

impl Foreign {
    async fn with_table(name: &str, (rest, grpc): (String, String)) -> anyhow::Result<Self> {
        let tables = Tables::connect(PROJECT, Some(&rest)).await?;
        // The emulator may have served another run of the tests.
        let table = TableName { dataset: "foreign".into(), table: format!("{name}_{}", std::process::id()) };
        let fields = vec![
            Field::new("id", FieldType::String, Mode::Required),
            Field::new("number", FieldType::Integer, Mode::Nullable),
            Field::new("sent_at", FieldType::Timestamp, Mode::Nullable),
        ];
        let declared = catalog::Table {
            key: name.into(),
            name: table.clone(),
            when: When::Always,
            schema: TableSchema { fields },
            partition: None,
            cluster: Vec::new(),
            event_id: None,
            unknown_fields: UnknownFields::Ignore,
            delivery: Delivery::ExactlyOnce,
            rules: catalog::Rules::default(),
            is_raw: false,
        };
        eventually(Duration::from_secs(30), async || Ok(tables.create_dataset("foreign").await?)).await?;
        tables.create_own_table(&declared).await?;
        let (schema, _) = tables.get(&table).await?;
        let encoder = LiveEncoder::new(&schema, UnknownFields::Ignore)?;
        let metrics = Metrics::new(&prometheus::Registry::new())?;
        let client = Client::connect(ClientConfig::new(PROJECT, Some(grpc)), metrics)?;
        Ok(Self { tables, client, table, encoder })
    }

    fn row(&self, index: i64) -> anyhow::Result<Bytes> {
        let event = json!({ "id": format!("e-{index}"), "number": index, "sent_at": "2024-02-01T10:04:46.123456Z" });
        let mut row = Vec::new();
        let encoded = self.encoder.current().encode(event.to_string().as_bytes(), &mut row);
        encoded.map_err(|rejection| anyhow::anyhow!("{rejection:?}"))?;
        Ok(row.into())
    }

    fn rows(&self, indices: std::ops::Range<i64>) -> anyhow::Result<Vec<Bytes>> {
        indices.map(|index| self.row(index)).collect()
    }

    async fn writer(&self) -> anyhow::Result<StreamWriter> {
        let stream = self.client.create_write_stream(&self.table).await?;
        Ok(self.client.stream_writer(stream, self.encoder.current().shared_descriptor().clone()))
    }

    /// How many rows the emulator's REST side shows, how many of them differ, and what their numbers add up to.
    async fn found(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        let sql =
            format!("SELECT COUNT(*), COUNT(DISTINCT id), SUM(number), COUNT(sent_at) FROM `{PROJECT}.{}`", self.table);
        Ok(self.tables.query(&sql).await?.rows.pop().unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_server_takes_appends_at_offsets_and_is_fenced() -> anyhow::Result<()> {
    let Some(emulator) = emulator() else { return Ok(()) };
    let foreign = Foreign::with_table("offsets", emulator).await?;
    let mut writer = foreign.writer().await?;
    let stream = writer.stream().clone();
    assert_eq!(foreign.client.get_write_stream(&stream).await?.name, stream);

    assert_eq!(writer.append(0, foreign.rows(0..10)?).await?.offset, Some(0));
    // A connection's second request leaves out the stream's name.
    let unnamed = writer.append(10, foreign.rows(10..15)?).await;
    assert!(matches!(unnamed, Err(AppendError::StreamGone(_))), "bqemulator can do more now: {unnamed:?}");
    // Another connection, as after a lost answer: the same bytes at the same offset are there already.
    let descriptor = foreign.encoder.current().shared_descriptor().clone();
    let mut again = foreign.client.stream_writer(stream.clone(), descriptor.clone());
    let repeated = again.append(0, foreign.rows(0..10)?).await;
    assert!(matches!(repeated, Err(AppendError::AlreadyExists(_))), "{repeated:?}");
    let mut next = foreign.client.stream_writer(stream.clone(), descriptor.clone());
    assert_eq!(next.append(10, foreign.rows(10..15)?).await?.offset, Some(10));
    let mut ahead = foreign.client.stream_writer(stream.clone(), descriptor.clone());
    let gap = ahead.append(99, foreign.rows(99..100)?).await;
    assert!(matches!(gap, Err(AppendError::OutOfRange(_))), "{gap:?}");

    // Another process's view: it knows the stream's name alone.
    assert_eq!(foreign.client.finalize(&stream).await?, 15);
    assert_eq!(foreign.client.finalize(&stream).await?, 15, "a repeat says the same");
    let mut late = foreign.client.stream_writer(stream.clone(), descriptor);
    let refused = late.append(15, foreign.rows(15..16)?).await;
    assert!(matches!(refused, Err(AppendError::StreamGone(_))), "{refused:?}");
    assert_eq!(foreign.found().await?, [json!("15"), json!("15"), json!("105"), json!("15")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_server_takes_rows_of_the_default_stream() -> anyhow::Result<()> {
    let Some(emulator) = emulator() else { return Ok(()) };
    let foreign = Foreign::with_table("appender", emulator).await?;
    let appender = Appender::spawn(&foreign.client, &foreign.table, foreign.encoder.clone(), AppenderConfig::default());
    let descriptor = foreign.encoder.current().shared_descriptor().clone();
    for row in foreign.rows(0..20)? {
        appender.append(row, &descriptor).await?;
    }
    appender.close().await;
    assert_eq!(foreign.found().await?, [json!("20"), json!("20"), json!("190"), json!("20")]);
    Ok(())
}
