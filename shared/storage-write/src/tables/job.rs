//! Statements that must not run twice, as jobs with ids of the caller's.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Tables, TablesError, encoded};

/// How long a statement may run.
const JOB_TIMEOUT: Duration = Duration::from_secs(3600);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewJob<'a> {
    job_reference: NewReference<'a>,
    configuration: Configuration<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewReference<'a> {
    project_id: &'a str,
    job_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
}

#[derive(Serialize)]
struct Configuration<'a> {
    query: QueryConfiguration<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueryConfiguration<'a> {
    query: &'a str,
    use_legacy_sql: bool,
}

#[derive(Deserialize)]
struct Job {
    status: Status,
    #[serde(default)]
    statistics: Statistics,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: String,
    error_result: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
struct Statistics {
    #[serde(default)]
    query: QueryStatistics,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryStatistics {
    num_dml_affected_rows: Option<String>,
}

/// Where a job with an id of the caller's is: in the location of a dataset, which BigQuery wants to be told.
#[derive(Debug, Clone, Deserialize)]
struct DatasetLocation {
    location: Option<String>,
}

impl Tables {
    /// Runs the statement `sql` (GoogleSQL) over tables of `dataset` as the job `id`, and answers how many rows it changed.
    /// Asked again under the same id it does not run again: the answer is that of the first run.
    pub async fn run_job(&self, id: &str, dataset: &str, sql: &str) -> Result<u64, TablesError> {
        let found: DatasetLocation =
            self.call(Method::GET, &format!("/datasets/{}", encoded(dataset)), None::<&()>).await?;
        let location = found.location.as_deref();
        let new = NewJob {
            job_reference: NewReference { project_id: &self.project, job_id: id, location },
            configuration: Configuration { query: QueryConfiguration { query: sql, use_legacy_sql: false } },
        };
        let path = format!("/jobs/{}", encoded(id));
        let path = location.map_or(path.clone(), |location| format!("{path}?location={}", encoded(location)));
        let mut job: Job = match self.call(Method::POST, "/jobs", Some(&new)).await {
            Err(error) if error.is_conflict() => self.call(Method::GET, &path, None::<&()>).await?,
            answer => answer?,
        };
        let deadline = Instant::now() + JOB_TIMEOUT;
        let mut pause = FIRST_PAUSE;
        while job.status.state != "DONE" {
            if Instant::now() >= deadline {
                return Err(TablesError::QueryTimeout(JOB_TIMEOUT));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            job = self.call(Method::GET, &path, None::<&()>).await?;
        }
        if let Some(Fault { reason, message }) = job.status.error_result {
            return Err(TablesError::Job { job: id.to_owned(), reason, message });
        }
        let affected = job.statistics.query.num_dml_affected_rows;
        Ok(affected.and_then(|rows| rows.parse().ok()).unwrap_or_default())
    }
}
