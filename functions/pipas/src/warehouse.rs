//! BigQuery's REST API, as far as a query needs it.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cell::{Cell, Column};

/// The query service of one project.
#[derive(Debug, Clone)]
pub(crate) struct Warehouse {
    http: reqwest::Client,
    base: String,
}

/// A whole result.
#[derive(Debug)]
pub(crate) struct ResultSet {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    job_complete: bool,
    #[serde(default)]
    job_reference: Option<JobReference>,
    #[serde(default)]
    schema: Option<Schema>,
    #[serde(default)]
    rows: Vec<Value>,
    #[serde(default)]
    page_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobReference {
    job_id: String,
}

#[derive(Debug, Default, Deserialize)]
struct Schema {
    #[serde(default)]
    fields: Vec<Column>,
}

impl Warehouse {
    pub(crate) fn new(endpoint: &str, project: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(300)).build()?;
        Ok(Self { http, base: format!("{endpoint}/bigquery/v2/projects/{project}/queries") })
    }

    /// Runs `sql` and fetches every page of its result.
    pub(crate) async fn query(&self, sql: &str) -> anyhow::Result<ResultSet> {
        let request = json!({
            "query": sql,
            "useLegacySql": false,
            "timeoutMs": 60_000,
            "formatOptions": { "useInt64Timestamp": true },
        });
        let mut page = read(self.http.post(&self.base).json(&request)).await?;
        let mut result = ResultSet { columns: Vec::new(), rows: Vec::new() };
        loop {
            if page.job_complete {
                if let Some(schema) = page.schema.take() {
                    result.columns = schema.fields;
                }
                for row in &page.rows {
                    result.rows.push(read_row(&result.columns, row)?);
                }
                if page.page_token.is_none() {
                    return Ok(result);
                }
            }
            let job = page.job_reference.context("the answer names no job")?;
            let mut next = self.http.get(format!("{}/{}", self.base, job.job_id));
            next = next.query(&[("timeoutMs", "60000"), ("formatOptions.useInt64Timestamp", "true")]);
            if let Some(token) = &page.page_token {
                next = next.query(&[("pageToken", token)]);
            }
            page = read(next).await?;
        }
    }
}

async fn read(request: reqwest::RequestBuilder) -> anyhow::Result<Page> {
    let response = request.send().await.context("BigQuery does not answer")?;
    let status = response.status();
    let body: Value = response.json().await.with_context(|| format!("BigQuery answered {status} without JSON"))?;
    if !status.is_success() {
        let error = &body["error"];
        let reason = error["errors"][0]["reason"].as_str().unwrap_or("error");
        bail!("{reason}: {}", error["message"].as_str().unwrap_or(status.as_str()));
    }
    Ok(serde_json::from_value(body)?)
}

fn read_row(columns: &[Column], row: &Value) -> anyhow::Result<Vec<Cell>> {
    let values = row["f"].as_array().context("a row without values")?;
    columns.iter().zip(values).map(|(column, value)| column.read(&value["v"])).collect()
}
