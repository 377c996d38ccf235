//! How far a replay came: a small object beside the archive, so that whoever takes it up goes on where another ended.
//!
//! Each write names the generation that it replaces. So of two runs of one replay only the later one goes on: the other's next
//! write fails, and it ends.

use std::collections::{BTreeMap, BTreeSet};

use event::Timestamp;
use jiff::SignedDuration;
use objects::{ObjectStore, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Damaged, Mode, ReplayError, Request, listing::Source, target::Targets};

/// How long what an interrupted merge has staged is kept.
pub(crate) const STAGED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What is kept of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// Names this replay's staging tables and jobs.
    pub(crate) run: String,
    pub(crate) request: Request,
    /// Where the replay ends: the time of its first start, where the request names none.
    pub(crate) to: Timestamp,
    /// The epochs of its tables: one that was made anew needs all from the beginning.
    epochs: BTreeMap<String, i64>,
    /// Objects that are done.
    done: BTreeSet<String>,
    /// Records that are done of objects that are not.
    positions: BTreeMap<String, u64>,
    /// Rows in the staging tables.
    pub(crate) staged: BTreeMap<String, u64>,
    /// Everything that was listed is staged: what is left is to insert it. What is staged after an insertion began, the
    /// insertion would not know.
    #[serde(default)]
    pub(crate) is_staged: bool,
    /// The objects of which that was not so.
    #[serde(default)]
    pub(crate) damaged: Vec<Damaged>,
    /// How often the insertion into a table failed for good: a job that failed keeps its name.
    #[serde(default)]
    pub(crate) failed: BTreeMap<String, u32>,
    is_finished: bool,
    updated: Timestamp,
}

/// The checkpoint of the run under way.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    store: ObjectStore,
    name: String,
    /// Names this run. One that is taken up has another name, as a table may have been made anew meanwhile.
    pub(crate) run: String,
    /// Whether the run goes on where another ended.
    pub(crate) is_resumed: bool,
    state: Mutex<State>,
    generation: tokio::sync::Mutex<i64>,
}

#[derive(Debug)]
struct State {
    document: Document,
    is_changed: bool,
}

impl Checkpoint {
    /// The checkpoint of `request`: the one of the run that was interrupted, or a new one.
    pub(crate) async fn begin(
        store: &ObjectStore,
        request: &Request,
        targets: &Targets,
        now: Timestamp,
    ) -> Result<Self, ReplayError> {
        let identity = request.identity();
        let name = name(&identity)?;
        let epoch = |epoch: Option<Timestamp>| epoch.map_or(0, Timestamp::as_millisecond);
        let epochs: BTreeMap<String, i64> =
            targets.all().map(|target| (target.table.name.to_string(), epoch(target.epoch))).collect();
        let (found, generation) = match store.read_generation(&name).await {
            Ok((json, generation)) => (serde_json::from_slice::<Document>(&json).ok(), generation),
            Err(StoreError::NotFound { .. }) => (None, 0),
            Err(error) => return Err(error.into()),
        };
        let interrupted = found.filter(|found| !found.is_finished && !request.restart);
        if let Some(other) = interrupted.as_ref().filter(|found| found.request != identity)
            && now.duration_since(other.updated) < STAGED_FOR
        {
            let request = serde_json::to_string(&other.request).unwrap_or_default();
            return Err(ReplayError::OtherMerge { stream: request_stream(&identity), request });
        }
        let is_current = |found: &Document| {
            let is_staged = identity.mode == Mode::Merge;
            found.request == identity
                && found.epochs == epochs
                && (!is_staged || now.duration_since(found.updated) < STAGED_FOR / 2)
        };
        let interrupted = interrupted.filter(is_current);
        let is_resumed = interrupted.is_some();
        let document = interrupted.unwrap_or_else(|| Document {
            run: Uuid::new_v4().simple().to_string()[..16].to_owned(),
            to: identity.to.unwrap_or(now),
            request: identity,
            epochs,
            done: BTreeSet::new(),
            positions: BTreeMap::new(),
            staged: BTreeMap::new(),
            is_staged: false,
            damaged: Vec::new(),
            failed: BTreeMap::new(),
            is_finished: false,
            updated: now,
        });
        let checkpoint = Self {
            store: store.clone(),
            name,
            run: Uuid::new_v4().simple().to_string(),
            is_resumed,
            state: Mutex::new(State { document, is_changed: true }),
            generation: tokio::sync::Mutex::new(generation),
        };
        checkpoint.save().await?;
        Ok(checkpoint)
    }

    /// What is kept by now.
    pub(crate) fn document(&self) -> Document {
        self.state.lock().document.clone()
    }

    /// Whether every message of the object is done.
    pub(crate) fn is_done(&self, source: &Source) -> bool {
        let done = &self.state.lock().document.done;
        let is_merged = !source.replaces.is_empty() && source.replaces.iter().all(|object| done.contains(object));
        done.contains(&source.name) || is_merged
    }

    /// How many records of the object are done.
    pub(crate) fn position(&self, object: &str) -> u64 {
        self.state.lock().document.positions.get(object).copied().unwrap_or_default()
    }

    /// So many records of the object are done.
    pub(crate) fn reached(&self, object: &str, position: u64) {
        self.change(|document| {
            document.positions.insert(object.to_owned(), position);
        });
    }

    /// The object is done.
    pub(crate) fn finished(&self, object: &str) {
        self.change(|document| {
            document.positions.remove(object);
            document.done.insert(object.to_owned());
        });
    }

    /// So many rows more are in the staging table of `table`.
    pub(crate) fn staged(&self, table: &str, rows: u64) {
        self.change(|document| *document.staged.entry(table.to_owned()).or_default() += rows);
    }

    /// Everything is staged, but for these objects.
    pub(crate) async fn all_staged(&self, damaged: &[Damaged]) -> Result<(), ReplayError> {
        self.change(|document| (document.is_staged, document.damaged) = (true, damaged.to_vec()));
        self.save().await
    }

    /// Nothing was inserted into `table`, and the job will not do it any more: the next run's has another name.
    pub(crate) async fn insert_failed(&self, table: &str) -> Result<(), ReplayError> {
        self.change(|document| *document.failed.entry(table.to_owned()).or_default() += 1);
        self.save().await
    }

    fn change(&self, change: impl FnOnce(&mut Document)) {
        let mut state = self.state.lock();
        change(&mut state.document);
        state.is_changed = true;
    }

    /// Writes what changed. [`ReplayError::TakenOver`]: another run of this replay goes on.
    pub(crate) async fn save(&self) -> Result<(), ReplayError> {
        let mut generation = self.generation.lock().await;
        let json = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.is_changed) {
                return Ok(());
            }
            state.document.updated = Timestamp::now();
            serde_json::to_vec_pretty(&state.document).map_err(ReplayError::Checkpoint)?
        };
        let json = bytes::Bytes::from(json);
        *generation = match self.store.put(&self.name, "application/json", json.clone(), *generation).await {
            Ok(written) => written,
            Err(StoreError::Changed { .. }) => match self.store.read_generation(&self.name).await? {
                // An earlier try had succeeded, and its answer was lost.
                (found, written) if found == json => written,
                _ => return Err(ReplayError::TakenOver { checkpoint: self.name.clone() }),
            },
            Err(error) => {
                self.state.lock().is_changed = true;
                return Err(error.into());
            }
        };
        Ok(())
    }

    /// The replay is complete: the same request begins anew.
    pub(crate) async fn finish(&self) -> Result<(), ReplayError> {
        self.change(|document| {
            document.is_finished = true;
            document.done.clear();
            document.positions.clear();
        });
        self.save().await
    }
}

/// Beside the streams' archives, in a folder whose name no stream has. A stream has one merge at a time.
fn name(request: &Request) -> Result<String, ReplayError> {
    let stream = &request.stream;
    if request.mode == Mode::Merge {
        return Ok(format!("_replay/{stream}/merge.json"));
    }
    let json = serde_json::to_vec(request).map_err(ReplayError::Checkpoint)?;
    let hash = Sha256::digest(json);
    let short = u64::from_be_bytes(std::array::from_fn(|at| hash[at]));
    Ok(format!("_replay/{stream}/publish-{short:016x}.json"))
}

fn request_stream(request: &Request) -> String {
    request.stream.clone()
}
