//! Marking dead letters as published again: rows of `pipas_ops.redrives`. They are appended, never changed, for BigQuery does not
//! let a statement change rows that were streamed lately.

use std::time::Duration;

use anyhow::Context;
use catalog::{UnknownFields, redrives_table};
use event::{DeadLetterId, Timestamp};
use futures::future::join_all;
use serde_json::json;
use storage_write::{Appender, AppenderConfig, LiveEncoder};

use super::source::Source;

/// How long a mark is tried. The dead letter stays open then, which does no harm but to publish it once more.
const PATIENCE: Duration = Duration::from_secs(15);

/// Appends marks.
pub(super) struct Marks {
    appender: Appender,
    encoder: LiveEncoder,
    patch: Option<String>,
    by: Option<String>,
}

/// A dead letter that was published again.
pub(super) struct Published {
    pub(super) id: DeadLetterId,
    pub(super) stream: String,
    pub(super) message_id: String,
}

impl Marks {
    /// `patch` is the hash of the patch that is applied.
    pub(super) async fn open(source: &Source, patch: Option<String>) -> anyhow::Result<Self> {
        let table = redrives_table().name;
        let (schema, _) = source.tables().await?.get(&table).await.with_context(|| table.to_string())?;
        let encoder = LiveEncoder::new(&schema, UnknownFields::Reject)?;
        let config = AppenderConfig { retry_for: PATIENCE, ..AppenderConfig::default() };
        let appender = Appender::spawn(&source.storage()?, &table, encoder.clone(), config);
        let by = std::env::var("USER").ok().filter(|user| !user.is_empty());
        Ok(Self { appender, encoder, patch, by })
    }

    /// Marks these; an error where one of them is not known to be marked.
    pub(super) async fn mark(&self, published: &[Published]) -> anyhow::Result<()> {
        let at = Timestamp::now().to_string();
        let encoder = self.encoder.current();
        let rows = published.iter().map(|letter| {
            let row = json!({
                "dead_letter_id": letter.id.to_string(),
                "stream": letter.stream,
                "redriven_at": at,
                "message_id": letter.message_id,
                "patch": self.patch,
                "redriven_by": self.by,
            });
            let mut bytes = Vec::new();
            encoder.encode(row.to_string().as_bytes(), &mut bytes)?;
            anyhow::Ok(bytes)
        });
        let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
        let appends = rows.into_iter().map(|row| self.appender.append(row.into(), encoder.shared_descriptor()));
        join_all(appends).await.into_iter().collect::<Result<(), _>>().context("marking dead letters")
    }

    /// Waits for what was begun.
    pub(super) async fn close(self) {
        self.appender.close().await;
    }
}
