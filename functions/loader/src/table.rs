//! A table of the catalog, opened with its first event and again when it was made anew.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use catalog::{Rules, TableName, UnknownFields};
use exactly_once::Limits;
use parking_lot::{Mutex, RwLock};
use service::chain;
use storage_write::LiveEncoder;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters::DeadLetters,
    error::TableFault,
    loader::Services,
    version::{OpenTable, PAUSE, Parts},
    writer::Driver,
};

/// How long a table that was looked at is believed to be what it was, as far as repetitions go.
const BELIEVED: Duration = Duration::from_secs(1);
/// Replays that may be under way at once without a look at the table for each message.
const REPLAYS: usize = 8;

/// What a table's rows are.
#[derive(Clone)]
pub(crate) enum Purpose {
    /// Events; those that it will not take go elsewhere.
    Events { dead_letters: Arc<DeadLetters> },
    /// Dead letters, for which there is no elsewhere.
    DeadLetters,
}

/// A look at a table: when it began, and whether it told anything.
struct Look {
    at: Instant,
    result: Result<(), TableFault>,
}

pub(crate) struct Table {
    pub(crate) name: TableName,
    pub(crate) services: Arc<Services>,
    unknown: UnknownFields,
    rules: Arc<Rules>,
    purpose: Purpose,
    limits: Limits,
    stop: CancellationToken,
    open: RwLock<Option<Arc<OpenTable>>>,
    /// Held while the table is looked for; the last failure, so that a missing table is not asked for by every delivery.
    opening: tokio::sync::Mutex<Option<(Instant, TableFault)>>,
    /// The replays for which the table was looked at, the last one last.
    looked_for: tokio::sync::Mutex<VecDeque<String>>,
    /// The last look at the table as its writer knew an event; held while there is one.
    looked_at: tokio::sync::Mutex<Option<Look>>,
    /// Writers of tables that are no more.
    retired: Mutex<Vec<Arc<OpenTable>>>,
}

impl Table {
    pub(crate) fn new(
        table: &catalog::Table,
        purpose: Purpose,
        limits: Limits,
        services: &Arc<Services>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            name: table.name.clone(),
            services: Arc::clone(services),
            unknown: table.unknown_fields,
            rules: Arc::new(table.rules.clone()),
            purpose,
            limits,
            stop,
            open: RwLock::new(None),
            opening: tokio::sync::Mutex::new(None),
            looked_for: tokio::sync::Mutex::default(),
            looked_at: tokio::sync::Mutex::default(),
            retired: Mutex::new(Vec::new()),
        }
    }

    /// The table for the messages of the replay `run`, looked at anew with its first one.
    ///
    /// A table that was dropped and made again is noticed by the next append, and a replay need not come to one: under the old
    /// table's epoch each of its events is a row, and would be refused as a duplicate.
    pub(crate) async fn open_for(self: &Arc<Self>, run: &str) -> Result<Arc<OpenTable>, TableFault> {
        let mut looked_for = self.looked_for.lock().await;
        if !looked_for.iter().any(|known| known == run) {
            let open = self.open().await?;
            let found = self.services.tables.get(&self.name).await;
            let (_, epoch) = found.map_err(|error| TableFault::Unreadable(Arc::new(error)))?;
            if epoch != open.epoch {
                self.let_go(&open);
            }
            if looked_for.len() >= REPLAYS {
                looked_for.pop_front();
            }
            looked_for.push_back(run.to_owned());
        }
        drop(looked_for);
        self.open().await
    }

    /// The table as BigQuery has it, with its writer.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<Arc<OpenTable>, TableFault> {
        if let Some(open) = self.open.read().clone() {
            return Ok(open);
        }
        let mut failed = self.opening.lock().await;
        if let Some(open) = self.open.read().clone() {
            return Ok(open);
        }
        if let Some((at, fault)) = &*failed
            && at.elapsed() < PAUSE
        {
            return Err(fault.clone());
        }
        match self.find().await {
            Ok(open) => {
                *failed = None;
                *self.open.write() = Some(Arc::clone(&open));
                Ok(open)
            }
            Err(fault) => {
                tracing::error!(table = %self.name, error = %chain(&fault), "the table cannot be loaded");
                *failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    async fn find(self: &Arc<Self>) -> Result<Arc<OpenTable>, TableFault> {
        let found = self.services.tables.get(&self.name).await;
        let (schema, epoch) = found.map_err(|error| TableFault::Unreadable(Arc::new(error)))?;
        let key = self.services.mask_key.clone();
        let encoder = LiveEncoder::with_rules(&schema, self.unknown, Arc::clone(&self.rules), key)
            .map_err(|error| TableFault::Unsupported(error.to_string().into()))?;
        let (offers, incoming) = mpsc::unbounded_channel();
        let stop = self.stop.child_token();
        let driver = Driver::new(self, epoch, self.purpose.clone(), self.limits.clone());
        let task = tokio::spawn(driver.run(incoming, stop.clone()));
        tracing::info!(table = %self.name, table.epoch = epoch, "table opened");
        Ok(Arc::new(OpenTable::new(Parts {
            name: self.name.clone(),
            epoch,
            encoder,
            offers,
            stop,
            task,
            storage: self.services.storage.clone(),
        })))
    }

    /// Something suggests that the table of `epoch` is not what it was: looks, learns its schema, or lets go of it.
    pub(crate) async fn look_again(&self, epoch: i64) {
        if let Err(error) = self.is_still(epoch).await {
            tracing::warn!(table = %self.name, error = %chain(&error), "the table cannot be read");
        }
    }

    /// Whether the table is that of `epoch`, as BigQuery says now: its schema is learnt; of another the table lets go. An error
    /// says that nobody knows.
    pub(crate) async fn is_still(&self, epoch: i64) -> Result<bool, TableFault> {
        let Some(open) = self.opened(epoch) else { return Ok(false) };
        match self.services.tables.get(&self.name).await {
            Ok((schema, found)) if found == epoch => {
                open.learn(&schema);
                return Ok(true);
            }
            Err(error) if !error.is_not_found() => return Err(TableFault::Unreadable(Arc::new(error))),
            Ok(_) | Err(_) => self.let_go(&open),
        }
        Ok(false)
    }

    /// Whether the table of `epoch`, of which an event is said to be a row already, is not the one that there is: then the
    /// event is none of this one's. One look serves all who ask while it is under way, or within [`BELIEVED`] of its beginning,
    /// so that one who drops a table, makes it anew and sends its events again in less time may still find them taken for
    /// repetitions. An error where the look told nothing: then nobody may be told that the event is a row.
    pub(crate) async fn is_gone(&self, epoch: i64) -> Result<bool, TableFault> {
        let asked = Instant::now();
        let mut last = self.looked_at.lock().await;
        if last.as_ref().is_none_or(|look| !look.serves(asked)) {
            let at = Instant::now();
            let result = self.is_still(epoch).await.map(drop);
            *last = Some(Look { at, result });
        }
        if let Some(Look { result: Err(fault), .. }) = &*last {
            return Err(fault.clone());
        }
        drop(last);
        Ok(self.opened(epoch).is_none())
    }

    /// The table is not the one that was opened: the next event opens it anew.
    fn let_go(&self, open: &Arc<OpenTable>) {
        tracing::warn!(table = %self.name, table.epoch = open.epoch, "the table is no more, or was made anew");
        let mut current = self.open.write();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, open)) {
            *current = None;
        }
        drop(current);
        open.stop();
        self.retired.lock().push(Arc::clone(open));
    }

    pub(crate) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Whether it is written to already.
    pub(crate) fn is_open(&self) -> bool {
        self.open.read().is_some()
    }

    /// The table, where it was opened and is what it was.
    pub(crate) fn opened(&self, epoch: i64) -> Option<Arc<OpenTable>> {
        self.open.read().clone().filter(|open| open.epoch == epoch)
    }

    /// Waits until every writer has stopped; they were told to.
    pub(crate) async fn close(&self) {
        let mut writers: Vec<Arc<OpenTable>> = std::mem::take(&mut *self.retired.lock());
        writers.extend(self.open.write().take());
        for writer in writers {
            writer.stop();
            writer.stopped().await;
        }
    }
}

impl Look {
    /// Whether it says enough to one who asked at `asked`. A look that failed serves those alone who waited for it.
    fn serves(&self, asked: Instant) -> bool {
        match self.result {
            Ok(()) => asked < self.at + BELIEVED,
            Err(_) => asked <= self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_believed_for_a_second() {
        let at = Instant::now();
        let look = Look { at, result: Ok(()) };
        assert!(look.serves(at) && look.serves(at + Duration::from_millis(999)));
        assert!(!look.serves(at + Duration::from_secs(1)));
    }

    #[test]
    fn a_look_that_failed_serves_only_those_who_waited() {
        let at = Instant::now();
        let look = Look { at, result: Err(TableFault::Unsupported("no".into())) };
        assert!(look.serves(at) && !look.serves(at + Duration::from_millis(1)));
    }
}
