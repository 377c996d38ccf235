//! Queries over REST.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Tables, TablesError, encoded};

const QUERY_TIMEOUT: Duration = Duration::from_secs(300);

/// A query's whole answer, as BigQuery's REST API writes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueryRows {
    /// The columns in BigQuery's JSON schema format.
    pub fields: Vec<serde_json::Value>,
    /// The rows, each with its cells in the order of the columns. A cell is what stands in its `v`: null, text, an array for
    /// REPEATED, an object with `f` for a STRUCT. A TIMESTAMP is its microseconds since 1970.
    pub rows: Vec<Vec<serde_json::Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueryRequest<'a> {
    query: &'a str,
    use_legacy_sql: bool,
    /// Who asks again wants to know what there is now.
    use_query_cache: bool,
    format_options: FormatOptions,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FormatOptions {
    /// Without it a TIMESTAMP is written as a float, which cuts its microseconds off.
    use_int64_timestamp: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryResponse {
    #[serde(default)]
    job_complete: bool,
    job_reference: Option<JobReference>,
    page_token: Option<String>,
    schema: Option<Schema>,
    #[serde(default)]
    rows: Vec<RowResource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobReference {
    job_id: String,
    location: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Schema {
    #[serde(default)]
    fields: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct RowResource {
    f: Vec<Cell>,
}

#[derive(Debug, Deserialize)]
struct Cell {
    v: serde_json::Value,
}

/// A query's answer, a page at a time: it may be larger than memory.
#[derive(Debug)]
pub struct QueryPages {
    tables: Tables,
    deadline: Instant,
    job: Option<JobReference>,
    page: Option<QueryResponse>,
    fields: Vec<serde_json::Value>,
}

impl Tables {
    /// Runs `sql` (GoogleSQL) and reads every page of its answer.
    pub async fn query(&self, sql: &str) -> Result<QueryRows, TablesError> {
        let mut pages = self.query_pages(sql).await?;
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        Ok(QueryRows { fields: pages.fields, rows })
    }

    /// Runs `sql` (GoogleSQL).
    pub async fn query_pages(&self, sql: &str) -> Result<QueryPages, TablesError> {
        let deadline = Instant::now() + QUERY_TIMEOUT;
        let format_options = FormatOptions { use_int64_timestamp: true };
        let request = QueryRequest { query: sql, use_legacy_sql: false, use_query_cache: false, format_options };
        let mut page: QueryResponse = self.call(Method::POST, "/queries", Some(&request)).await?;
        let job = page.job_reference.take();
        Ok(QueryPages { tables: self.clone(), deadline, job, page: Some(page), fields: Vec::new() })
    }
}

impl QueryPages {
    /// The next rows; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<serde_json::Value>>>, TablesError> {
        let Some(mut page) = self.page.take() else { return Ok(None) };
        while let (Some(job), false) = (&self.job, page.job_complete) {
            if Instant::now() >= self.deadline {
                return Err(TablesError::QueryTimeout(QUERY_TIMEOUT));
            }
            // BigQuery itself waits up to ten seconds for a job before it answers.
            page = self.tables.call(Method::GET, &next_page(job, page.page_token.as_deref()), None::<&()>).await?;
        }
        if let Some(schema) = page.schema.take() {
            self.fields = schema.fields;
        }
        if let (Some(job), Some(token)) = (&self.job, &page.page_token) {
            self.page = Some(self.tables.call(Method::GET, &next_page(job, Some(token)), None::<&()>).await?);
        }
        Ok(Some(page.rows.into_iter().map(|row| row.f.into_iter().map(|cell| cell.v).collect()).collect()))
    }

    /// The columns in BigQuery's JSON schema format; known after the first page.
    pub fn fields(&self) -> &[serde_json::Value] {
        &self.fields
    }
}

fn next_page(job: &JobReference, token: Option<&str>) -> String {
    let mut path = format!("/queries/{}?timeoutMs=10000&formatOptions.useInt64Timestamp=true", encoded(&job.job_id));
    for (name, value) in [("location", job.location.as_deref()), ("pageToken", token)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}
