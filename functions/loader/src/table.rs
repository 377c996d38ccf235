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
const BELIEVED: Duration = Duration::from_secs(10);
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
    /// When the table was looked at last, as its writer knew an event; held while it is looked at.
    looked_at: tokio::sync::Mutex<Option<Instant>>,
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
        let Some(open) = self.open.read().clone().filter(|open| open.epoch == epoch) else { return };
        match self.services.tables.get(&self.name).await {
            Ok((schema, found)) if found == epoch => open.learn(&schema),
            Err(error) if !error.is_not_found() => {
                tracing::warn!(table = %self.name, error = %chain(&error), "the table cannot be read");
            }
            Ok(_) | Err(_) => self.let_go(&open),
        }
    }

    /// Whether the table of `epoch`, of which an event is said to be a row already, is not the one that there is: then the
    /// event is none of this one's. Looks at most once in a while, so that one who drops a table, makes it anew and sends its
    /// events again within [`BELIEVED`] may still find them taken for repetitions.
    pub(crate) async fn is_gone(&self, epoch: i64) -> bool {
        let mut looked_at = self.looked_at.lock().await;
        if looked_at.is_none_or(|at| at.elapsed() >= BELIEVED) {
            self.look_again(epoch).await;
            *looked_at = Some(Instant::now());
        }
        drop(looked_at);
        self.opened(epoch).is_none()
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
