//! The jobs: what runs, and the results of what ran.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use arrow::array::RecordBatch;
use catalog::TableSchema;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::watch, task::AbortHandle};

use super::{
    super::{error::ApiError, schema},
    execute::{self, Answer, Request},
};
use crate::bigquery::{
    LOCATION,
    store::{self, Store},
};

/// So many jobs are remembered, and of their results so many bytes.
const JOBS: usize = 1000;
const RESULT_BYTES: usize = 512 << 20;
/// The dataset that results without a destination are said to be in.
const ANONYMOUS: &str = "_anonymous";
/// How long running statements may hold up the shutdown.
const STOP: Duration = Duration::from_secs(2);

/// The jobs of the project. Statements run on threads of their own, so that a long one does not hold up appends.
pub(crate) struct Jobs {
    store: Arc<Store>,
    project: Arc<str>,
    runtime: Mutex<Option<Runtime>>,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    jobs: HashMap<String, Arc<Job>>,
    /// From the oldest to the newest.
    order: VecDeque<String>,
    by_request: HashMap<String, String>,
}

/// A query job.
pub(super) struct Job {
    pub(super) id: String,
    configuration: Value,
    request_id: Option<String>,
    /// In milliseconds since the epoch.
    created: i64,
    outcome: OnceLock<Outcome>,
    done: watch::Sender<bool>,
    running: OnceLock<AbortHandle>,
}

#[derive(Debug)]
struct Outcome {
    ended: i64,
    answer: Result<Answer, ApiError>,
}

impl Jobs {
    pub(crate) fn new(store: Arc<Store>, project: Arc<str>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("bigquery-query")
            .enable_all()
            .build()
            .context("starting the threads that run queries")?;
        Ok(Self { store, project, runtime: Mutex::new(Some(runtime)), remembered: Mutex::default() })
    }

    /// Ends what runs and forgets everything.
    pub(crate) fn stop(&self) {
        let jobs = std::mem::take(&mut *self.remembered.lock()).jobs;
        for job in jobs.into_values() {
            job.cancel();
        }
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_timeout(STOP);
        }
    }

    /// Starts a statement as a job; the same `request_id` is the same job.
    pub(super) fn start(
        &self,
        id: Option<String>,
        request_id: Option<String>,
        configuration: Value,
        request: Request,
    ) -> Result<Arc<Job>, ApiError> {
        let mut remembered = self.remembered.lock();
        let known = request_id.as_ref().and_then(|request| remembered.by_request.get(request));
        if let Some(job) = known.and_then(|id| remembered.jobs.get(id)) {
            return Ok(Arc::clone(job));
        }
        let id = id.unwrap_or_else(|| format!("job_{}", uuid::Uuid::now_v7().simple()));
        if remembered.jobs.contains_key(&id) {
            let message = format!("Already Exists: Job {}:{LOCATION}.{id}", self.project);
            return Err(ApiError::duplicate(message));
        }
        let job = Arc::new(Job {
            id: id.clone(),
            configuration,
            request_id: request_id.clone(),
            created: store::now() / 1000,
            outcome: OnceLock::new(),
            done: watch::Sender::new(false),
            running: OnceLock::new(),
        });
        remembered.jobs.insert(id.clone(), Arc::clone(&job));
        remembered.order.push_back(id.clone());
        if let Some(request) = request_id {
            remembered.by_request.insert(request, id);
        }
        remembered.evict();
        let work = execute::execute(Arc::clone(&self.store), Arc::clone(&self.project), request);
        let runtime = self.runtime.lock();
        let runtime = runtime.as_ref().ok_or_else(|| ApiError::internal("the server is stopping"))?;
        let running = Arc::clone(&job);
        let work = runtime.spawn(work);
        let abort = work.abort_handle();
        runtime.spawn(async move {
            running.finish(work.await.unwrap_or_else(|error| Err(failed(&error))));
        });
        // Nobody else sets it.
        let _ = job.running.set(abort);
        Ok(job)
    }

    /// Checks a statement without running it.
    pub(super) async fn describe(&self, request: Request) -> Result<Answer, ApiError> {
        let work = execute::execute(Arc::clone(&self.store), Arc::clone(&self.project), request);
        let running = {
            let runtime = self.runtime.lock();
            runtime.as_ref().ok_or_else(|| ApiError::internal("the server is stopping"))?.spawn(work)
        };
        running.await.unwrap_or_else(|error| Err(failed(&error)))
    }

    /// The columns of a view's query.
    pub(in crate::bigquery::rest) async fn describe_view(&self, query: &str) -> Result<TableSchema, ApiError> {
        let request =
            Request { sql: query.to_owned(), parameters: Default::default(), default_dataset: None, dry_run: true };
        let answer = self.describe(request).await?;
        answer.schema.ok_or_else(|| ApiError::invalid("The query of a view must be a SELECT"))
    }

    pub(super) fn job(&self, id: &str) -> Result<Arc<Job>, ApiError> {
        let found = self.remembered.lock().jobs.get(id).cloned();
        found.ok_or_else(|| ApiError::not_found(format!("Not found: Job {}:{LOCATION}.{id}", self.project)))
    }

    /// Every job that is remembered, the newest first.
    pub(super) fn jobs(&self) -> Vec<Arc<Job>> {
        let remembered = self.remembered.lock();
        remembered.order.iter().rev().filter_map(|id| remembered.jobs.get(id).cloned()).collect()
    }

    /// The rows of a job's result by the table that they are said to be in; `None` for any other table.
    pub(in crate::bigquery::rest) fn anonymous(
        &self,
        dataset: &str,
        table: &str,
    ) -> Option<Result<(TableSchema, Vec<RecordBatch>), ApiError>> {
        let id = (dataset == ANONYMOUS).then_some(table)?;
        let rows = self.job(id).and_then(|job| {
            let answer = job.answer().unwrap_or_else(|| Err(ApiError::invalid("The job is still running")))?;
            Ok((answer.schema.clone().unwrap_or(TableSchema { fields: Vec::new() }), answer.batches.clone()))
        });
        Some(rows)
    }

    pub(super) fn reference(&self, job: &Job) -> Value {
        json!({"projectId": &*self.project, "jobId": job.id, "location": LOCATION})
    }

    /// The job's resource.
    pub(super) fn show(&self, job: &Job) -> Value {
        let project = &*self.project;
        let mut configuration = json!({"jobType": "QUERY", "query": job.configuration});
        let mut statistics = json!({"creationTime": job.created.to_string(), "startTime": job.created.to_string()});
        let mut status = json!({"state": "RUNNING"});
        if let Some(outcome) = job.outcome.get() {
            status["state"] = json!("DONE");
            statistics["endTime"] = json!(outcome.ended.to_string());
            statistics["totalBytesProcessed"] = json!("0");
            match &outcome.answer {
                Ok(answer) => statistics["query"] = show_statistics(answer),
                Err(error) => {
                    status["errorResult"] = error.proto();
                    status["errors"] = json!([error.proto()]);
                }
            }
        }
        let destination = json!({"projectId": project, "datasetId": ANONYMOUS, "tableId": job.id});
        configuration["query"]["destinationTable"] = destination;
        json!({
            "kind": "bigquery#job",
            "etag": "job",
            "id": format!("{project}:{LOCATION}.{}", job.id),
            "selfLink": format!("/bigquery/v2/projects/{project}/jobs/{}?location={LOCATION}", job.id),
            "user_email": format!("local@{project}"),
            "jobReference": self.reference(job),
            "configuration": configuration,
            "statistics": statistics,
            "status": status,
        })
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("project", &self.project).finish_non_exhaustive()
    }
}

/// What a job's statistics say of its statement.
pub(super) fn show_statistics(answer: &Answer) -> Value {
    let mut shown = json!({
        "statementType": answer.statement,
        "totalBytesProcessed": "0",
        "totalBytesBilled": "0",
        "cacheHit": false,
    });
    if let Some(affected) = answer.affected {
        shown["numDmlAffectedRows"] = json!(affected.to_string());
    }
    if let Some(schema) = &answer.schema {
        shown["schema"] = schema::show(schema);
    }
    shown
}

impl Remembered {
    fn evict(&mut self) {
        let mut bytes = 0;
        let mut keep = 0;
        for id in self.order.iter().rev().take(JOBS) {
            bytes += self.jobs.get(id).map_or(0, |job| job.bytes());
            if bytes > RESULT_BYTES && keep > 0 {
                break;
            }
            keep += 1;
        }
        while self.order.len() > keep {
            let Some(job) = self.order.pop_front().and_then(|id| self.jobs.remove(&id)) else { continue };
            if let Some(request) = &job.request_id {
                self.by_request.remove(request);
            }
        }
    }
}

impl Job {
    fn finish(&self, answer: Result<Answer, ApiError>) {
        if self.outcome.set(Outcome { ended: store::now() / 1000, answer }).is_ok() {
            self.done.send_replace(true);
        }
    }

    /// What came of it; `None` while it runs.
    pub(super) fn answer(&self) -> Option<Result<&Answer, ApiError>> {
        self.outcome.get().map(|outcome| outcome.answer.as_ref().map_err(Clone::clone))
    }

    /// Waits until it has ended, at most so long.
    pub(super) async fn wait(&self, longest: Duration) {
        let mut done = self.done.subscribe();
        // Too long and gone are no different from not done.
        let _ = tokio::time::timeout(longest, done.wait_for(|done| *done)).await;
    }

    pub(super) fn cancel(&self) {
        if let Some(running) = self.running.get() {
            running.abort();
        }
    }

    fn bytes(&self) -> usize {
        let batches = self.outcome.get().and_then(|outcome| outcome.answer.as_ref().ok()).map(|answer| &answer.batches);
        batches.into_iter().flatten().map(RecordBatch::get_array_memory_size).sum()
    }
}

fn failed(error: &tokio::task::JoinError) -> ApiError {
    if error.is_cancelled() { ApiError::stopped() } else { ApiError::internal("The query engine panicked") }
}
