//! The queues, and which tasks they hold.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dispatch,
    error::ApiError,
    resource::{Queue, Task},
    store::Store,
};
use crate::{faults::Faults, pubsub::Signer};

/// How long the name of a task that is gone stays taken.
const NAME_TAKEN: SignedDuration = SignedDuration::from_hours(24);

pub(super) struct Engine {
    pub(super) store: Store,
    state: Mutex<State>,
    pub(super) http: reqwest::Client,
    pub(super) signer: Arc<Signer>,
    pub(super) faults: Faults,
    pub(super) stop: CancellationToken,
    pub(super) dispatches: TaskTracker,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<String, Queue>,
    tasks: BTreeMap<String, Held>,
    gone: BTreeMap<String, Timestamp>,
}

/// A task that a queue holds.
struct Held {
    task: Task,
    /// Cancelled when the task is deleted.
    deleted: CancellationToken,
}

impl Engine {
    pub(super) fn open(folder: &Path, signer: Arc<Signer>, faults: Faults) -> anyhow::Result<Self> {
        let store = Store::open(folder)?;
        let http = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent("Google-Cloud-Tasks")
            .build()?;
        let queues = store.queues()?.into_iter().map(|queue| (queue.name.clone(), queue)).collect();
        let gone = store.gone()?.into_iter().collect();
        let state = Mutex::new(State { queues, gone, ..State::default() });
        Ok(Self { store, state, http, signer, faults, stop: CancellationToken::new(), dispatches: TaskTracker::new() })
    }

    /// Goes on with the tasks of an earlier process.
    pub(super) fn resume(self: &Arc<Self>) -> anyhow::Result<()> {
        for task in self.store.tasks()? {
            self.hold(&mut self.state.lock(), task);
        }
        Ok(())
    }

    pub(super) fn create_queue(&self, queue: Queue) -> Result<Queue, ApiError> {
        let mut state = self.state.lock();
        if state.queues.contains_key(&queue.name) {
            return Err(ApiError::exists(&queue.name));
        }
        self.store.put_queue(&queue)?;
        state.queues.insert(queue.name.clone(), queue.clone());
        Ok(queue)
    }

    pub(super) fn queue(&self, name: &str) -> Result<Queue, ApiError> {
        self.state.lock().queues.get(name).cloned().ok_or_else(|| ApiError::not_found(name))
    }

    pub(super) fn queues(&self, parent: &str) -> Vec<Queue> {
        let below = format!("{parent}/queues/");
        self.state.lock().queues.values().filter(|queue| queue.name.starts_with(&below)).cloned().collect()
    }

    /// Takes a task; its name must be new, and stay so for a day after it is gone.
    pub(super) fn create(self: &Arc<Self>, queue: &str, task: Task) -> Result<Task, ApiError> {
        let mut state = self.state.lock();
        if !state.queues.contains_key(queue) {
            return Err(ApiError::not_found(queue));
        }
        let now = Timestamp::now();
        let is_over = |at: &Timestamp| now.duration_since(*at) >= NAME_TAKEN;
        let over: Vec<String> = state.gone.iter().filter(|(_, at)| is_over(at)).map(|(name, _)| name.clone()).collect();
        for name in over {
            self.store.forget(&name)?;
            state.gone.remove(&name);
        }
        if state.tasks.contains_key(&task.name) || state.gone.contains_key(&task.name) {
            return Err(ApiError::exists(&task.name));
        }
        self.store.put_task(&task)?;
        self.hold(&mut state, task.clone());
        Ok(task)
    }

    fn hold(self: &Arc<Self>, state: &mut State, task: Task) {
        let deleted = self.stop.child_token();
        state.tasks.insert(task.name.clone(), Held { task: task.clone(), deleted: deleted.clone() });
        self.dispatches.spawn(dispatch::run(Arc::clone(self), task, deleted));
    }

    pub(super) fn task(&self, name: &str) -> Result<Task, ApiError> {
        self.state.lock().tasks.get(name).map(|held| held.task.clone()).ok_or_else(|| ApiError::not_found(name))
    }

    pub(super) fn tasks(&self, queue: &str) -> Vec<Task> {
        let below = format!("{queue}/tasks/");
        let state = self.state.lock();
        state.tasks.values().filter(|held| held.task.name.starts_with(&below)).map(|held| held.task.clone()).collect()
    }

    /// How the task stands now.
    pub(super) fn update(&self, task: &Task) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        let Some(held) = state.tasks.get_mut(&task.name) else { return Ok(()) };
        held.task = task.clone();
        self.store.put_task(task)
    }

    /// The task is gone. `false`: it was not there.
    pub(super) fn remove(&self, name: &str) -> anyhow::Result<bool> {
        let mut state = self.state.lock();
        let Some(held) = state.tasks.remove(name) else { return Ok(false) };
        held.deleted.cancel();
        let now = Timestamp::now();
        state.gone.insert(name.to_owned(), now);
        self.store.remove_task(name, now)?;
        Ok(true)
    }
}
