//! What is on disk: queues, tasks, and the names of tasks that are gone. A write is with the operating system when it returns.

use std::path::Path;

use anyhow::Context;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use jiff::Timestamp;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;

use super::resource::{Queue, Task};

pub(super) struct Store {
    /// `None` once it is closed.
    spaces: RwLock<Option<Spaces>>,
}

struct Spaces {
    database: Database,
    queues: Keyspace,
    tasks: Keyspace,
    /// By name, when the task went.
    gone: Keyspace,
}

impl Store {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let context = || format!("opening the Cloud Tasks data in {}", folder.display());
        let database = Database::builder(folder).worker_threads(1).cache_size(1 << 20).open().with_context(context)?;
        let space = |name| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(1 << 20);
            database.keyspace(name, options).with_context(context)
        };
        let (queues, tasks, gone) = (space("queues")?, space("tasks")?, space("gone")?);
        Ok(Self { spaces: RwLock::new(Some(Spaces { database, queues, tasks, gone })) })
    }

    pub(super) fn queues(&self) -> anyhow::Result<Vec<Queue>> {
        self.with(|spaces| all(&spaces.queues))
    }

    pub(super) fn tasks(&self) -> anyhow::Result<Vec<Task>> {
        self.with(|spaces| all(&spaces.tasks))
    }

    /// The names of tasks that are gone, and since when.
    pub(super) fn gone(&self) -> anyhow::Result<Vec<(String, Timestamp)>> {
        self.with(|spaces| all(&spaces.gone))
    }

    pub(super) fn put_queue(&self, queue: &Queue) -> anyhow::Result<()> {
        self.with(|spaces| {
            spaces.queues.insert(&queue.name, serde_json::to_vec(queue)?)?;
            Ok(spaces.database.persist(PersistMode::Buffer)?)
        })
    }

    pub(super) fn put_task(&self, task: &Task) -> anyhow::Result<()> {
        self.with(|spaces| {
            spaces.tasks.insert(&task.name, serde_json::to_vec(task)?)?;
            Ok(spaces.database.persist(PersistMode::Buffer)?)
        })
    }

    /// The task is gone, and its name taken.
    pub(super) fn remove_task(&self, name: &str, at: Timestamp) -> anyhow::Result<()> {
        self.with(|spaces| {
            spaces.gone.insert(name, serde_json::to_vec(&(name, at))?)?;
            spaces.tasks.remove(name)?;
            Ok(spaces.database.persist(PersistMode::Buffer)?)
        })
    }

    /// The name is free again.
    pub(super) fn forget(&self, name: &str) -> anyhow::Result<()> {
        self.with(|spaces| Ok(spaces.gone.remove(name)?))
    }

    pub(super) fn close(&self) -> anyhow::Result<()> {
        let Some(spaces) = self.spaces.write().take() else { return Ok(()) };
        spaces.database.persist(PersistMode::SyncAll).context("closing the Cloud Tasks data")
    }

    fn with<T>(&self, work: impl FnOnce(&Spaces) -> anyhow::Result<T>) -> anyhow::Result<T> {
        work(self.spaces.read().as_ref().context("the store is closed")?)
    }
}

fn all<T: DeserializeOwned>(space: &Keyspace) -> anyhow::Result<Vec<T>> {
    space.iter().map(|item| Ok(serde_json::from_slice(&item.into_inner()?.1)?)).collect()
}
