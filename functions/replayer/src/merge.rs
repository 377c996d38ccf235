//! Merging: one statement that inserts into a table the staged rows whose events it lacks.

use std::{collections::BTreeMap, sync::Arc};

use catalog::TableName;
use storage_write::{Tables, TablesError};

use crate::{Inner, Progress, ReplayError, checkpoint::Checkpoint, sieve::Item, staging::Staging, target::Targets};

/// The staging tables of a run.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    tables: &'a Tables,
    checkpoint: &'a Checkpoint,
    progress: &'a Progress,
    staging: BTreeMap<usize, Staging>,
}

impl<'a> Merge<'a> {
    /// Makes the staging tables, or finds those of the run that was interrupted.
    pub(crate) async fn open(
        inner: &'a Inner,
        targets: &Arc<Targets>,
        checkpoint: &'a Checkpoint,
        progress: &'a Progress,
    ) -> Result<Self, ReplayError> {
        let document = checkpoint.document();
        let mut staging = BTreeMap::new();
        for place in 0..targets.tables.len() {
            let Some(target) = targets.at(place).filter(|target| !target.is_upsert()) else { continue };
            let table = target.table.name.to_string();
            let staged = document.staged.get(&table).copied().unwrap_or_default();
            if staged > 0 {
                progress.add(|counts| &counts.staged, staged);
                let name = TableName {
                    table: format!("{}__replay_{}", target.table.name.table, document.run),
                    ..target.table.name.clone()
                };
                inner.tables.get(&name).await.map_err(|error| match error {
                    error if error.is_not_found() => ReplayError::StagingGone { table: name.clone() },
                    error => error.into(),
                })?;
            }
            let opened = Staging::open(&inner.tables, &inner.rows, (targets, place), &document.run).await?;
            staging.extend(opened.map(|opened| (place, opened)));
        }
        Ok(Self { tables: &inner.tables, checkpoint, progress, staging })
    }

    /// Adds the rows of these events to the staging tables, where nobody sees them before [`Merge::commit`].
    pub(crate) async fn add(&mut self, items: Vec<Item>) -> Result<(), ReplayError> {
        for mut item in items {
            for (place, row) in std::mem::take(&mut item.rows) {
                if let Some(staging) = self.staging.get_mut(&place) {
                    staging.add(&item, row).await?;
                }
            }
            self.progress.add(|counts| &counts.taken, 1);
        }
        Ok(())
    }

    /// Commits what was added. The objects that it came from are done then.
    pub(crate) async fn commit(&mut self, objects: &[String]) -> Result<(), ReplayError> {
        for staging in self.staging.values_mut() {
            let rows = staging.commit().await?;
            let refused = std::mem::take(&mut staging.refused);
            self.progress.add(|counts| &counts.dead_letters, refused);
            self.progress.add(|counts| &counts.staged, rows);
            if let Some(target) = staging.target().filter(|_| rows > 0) {
                self.checkpoint.staged(&target.table.name.to_string(), rows);
            }
        }
        objects.iter().for_each(|object| self.checkpoint.finished(object));
        // Before this a run that takes over stages them once more, and each event is inserted once all the same.
        self.checkpoint.save().await
    }

    /// Inserts what the tables lack, and drops the staging tables.
    pub(crate) async fn insert(self) -> Result<(), ReplayError> {
        let document = self.checkpoint.document();
        for (place, staging) in &self.staging {
            let Some(target) = staging.target() else { continue };
            let table = target.table.name.to_string();
            if document.staged.get(&table).copied().unwrap_or_default() > 0 {
                let columns: Vec<&str> = target.schema.fields.iter().map(|field| field.name.as_str()).collect();
                // A run that takes over asks for the same job, which does not run twice.
                let failed = document.failed.get(&table).copied().unwrap_or_default();
                let job = job(&document.run, *place, failed);
                let sql = statement(&target.table.name, &staging.name, &columns);
                let inserted = self.tables.run_job(&job, &staging.name.dataset, &sql).await;
                if let Err(TablesError::Job { .. }) = &inserted {
                    self.checkpoint.insert_failed(&table).await?;
                }
                let rows = inserted?;
                self.progress.add(|counts| &counts.inserted, rows);
            }
        }
        // Written before anything is dropped: a run that came after would miss the rows.
        self.checkpoint.finish().await?;
        for staging in self.staging.values() {
            self.tables.drop_table(&staging.name).await?;
        }
        Ok(())
    }
}

/// The name of the job that inserts into the table at `place`, after so many that failed for good.
fn job(run: &str, place: usize, failed: u32) -> String {
    format!("pipas-replay-{run}-{place}-{failed}")
}

/// INSERT and not MERGE: BigQuery refuses to change rows that came by Storage Write within the half hour, and adds to them at
/// any time. Of the staged rows of an event the first one published counts, as at the loader.
fn statement(table: &TableName, staging: &TableName, columns: &[&str]) -> String {
    let columns = columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO `{table}` ({columns})\nSELECT {columns}\nFROM `{staging}` AS staged\nWHERE NOT EXISTS (\n  \
         SELECT 1 FROM `{table}` AS known WHERE known.ingest.event_id = staged.ingest.event_id\n)\n\
         QUALIFY ROW_NUMBER() OVER (\n  PARTITION BY staged.ingest.event_id\n  \
         ORDER BY staged.ingest.published_at, staged.ingest.message_id\n) = 1"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_failed_is_not_asked_for_again() {
        assert_eq!(job("r", 2, 0), "pipas-replay-r-2-0");
        assert_ne!(job("r", 2, 0), job("r", 2, 1));
    }

    #[test]
    fn the_statement_takes_each_event_once() {
        let name = |table: &str| TableName { dataset: "d".into(), table: table.into() };
        insta::assert_snapshot!(statement(&name("t"), &name("t__replay_1"), &["a", "ingest"]), @r"
        INSERT INTO `d.t` (`a`, `ingest`)
        SELECT `a`, `ingest`
        FROM `d.t__replay_1` AS staged
        WHERE NOT EXISTS (
          SELECT 1 FROM `d.t` AS known WHERE known.ingest.event_id = staged.ingest.event_id
        )
        QUALIFY ROW_NUMBER() OVER (
          PARTITION BY staged.ingest.event_id
          ORDER BY staged.ingest.published_at, staged.ingest.message_id
        ) = 1
        ");
    }
}
