use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
};
use catalog::{TableName, View, dead_letters_table};
use serde_json::{Value, json};
use storage_write::{Tables, TablesError};

use crate::{schema, soon, table};

type Script = Arc<Mutex<(VecDeque<(u16, Value)>, Vec<(String, Value)>)>>;

/// A peer that gives these answers in turn, and keeps what it was asked.
async fn peer(answers: impl IntoIterator<Item = (u16, Value)>) -> (Tables, Script) {
    let script: Script = Arc::new(Mutex::new((answers.into_iter().collect(), Vec::new())));
    let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Tables::connect("p", Some(&endpoint)).await.expect("tables"), script)
}

async fn answer(State(script): State<Script>, method: Method, uri: Uri, body: Bytes) -> (StatusCode, String) {
    let mut script = script.lock().expect("no panic");
    script.1.push((format!("{method} {uri}"), serde_json::from_slice(&body).unwrap_or_default()));
    let (status, answer) = script.0.pop_front().unwrap_or((500, json!({})));
    (StatusCode::from_u16(status).expect("a status"), answer.to_string())
}

fn asked(script: &Script) -> Vec<(String, Value)> {
    script.lock().expect("no panic").1.clone()
}

fn refusal(status: u16, reason: &str) -> (u16, Value) {
    let error = json!({"code": status, "message": "scripted", "errors": [{"reason": reason, "domain": "global"}]});
    (status, json!({ "error": error }))
}

#[tokio::test]
async fn a_table_has_columns_and_an_epoch() {
    let found = json!({
        "kind": "bigquery#table", "creationTime": "1706781886123", "type": "TABLE",
        "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"},
        "schema": {"fields": [{"name": "a", "type": "STRING", "mode": "NULLABLE"}]},
    });
    // A passing fault is tried again.
    let (tables, script) = peer([refusal(503, "backendError"), (200, found)]).await;
    let (columns, epoch) = soon(tables.get(&table("t 1"))).await.expect("a table");
    assert_eq!((columns, epoch), (schema(&["a"]), 1_706_781_886_123));
    let path = "GET /bigquery/v2/projects/p/datasets/d/tables/t%201";
    assert_eq!(asked(&script).iter().map(|(call, _)| call.as_str()).collect::<Vec<_>>(), [path, path]);
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let (tables, script) = peer([refusal(404, "notFound")]).await;
    let error = soon(tables.get(&table("t"))).await.expect_err("an error");
    assert!(error.is_not_found());
    assert_eq!(error.to_string(), "BigQuery answered 404 (notFound): scripted");
    assert_eq!(asked(&script).len(), 1);
}

#[tokio::test]
async fn making_is_idempotent() {
    let (tables, script) = peer([
        (200, json!({})),
        refusal(409, "duplicate"),
        (200, json!({})),
        (200, json!({})),
        refusal(409, "duplicate"),
        refusal(403, "accessDenied"),
    ])
    .await;
    let letters = dead_letters_table();
    let view = View { name: TableName { dataset: "d".into(), table: "v".into() }, sql: "SELECT 1".into() };
    soon(async {
        tables.create_dataset("d").await.expect("made");
        tables.create_dataset("d").await.expect("there");
        tables.create_own_table(&letters).await.expect("made");
        tables.create_table(&letters).await.expect("made");
        tables.create_view(&view).await.expect("there");
    })
    .await;
    let error = soon(tables.create_dataset("e")).await.expect_err("refused");
    assert!(matches!(error, TablesError::Refused { status: 403, .. }), "{error}");
    let asked = asked(&script);
    assert_eq!(asked[0].0, "POST /bigquery/v2/projects/p/datasets");
    assert_eq!(asked[0].1, json!({"datasetReference": {"projectId": "p", "datasetId": "d"}}));
    let own = &asked[2];
    assert_eq!(own.0, "POST /bigquery/v2/projects/p/datasets/pipas_ops/tables");
    assert_eq!(own.1["timePartitioning"], json!({"type": "DAY", "field": "rejected_at"}));
    assert_eq!(own.1["clustering"], json!({"fields": ["stream", "reason"]}));
    assert_eq!(own.1["schema"]["fields"][0], json!({"name": "dead_letter_id", "type": "STRING", "mode": "REQUIRED"}));
    let columns = |body: &Value| body["schema"]["fields"].as_array().map_or(0, Vec::len);
    assert_eq!(columns(&asked[3].1), columns(&own.1) + 2, "`ingest` and `extra`");
    assert_eq!(asked[4].1["view"], json!({"query": "SELECT 1", "useLegacySql": false}));
}

#[tokio::test]
async fn a_query_is_waited_for_and_read_to_its_end() {
    let schema = json!({"fields": [{"name": "n", "type": "INTEGER"}]});
    let row = |text: &str| json!({"f": [{"v": text}]});
    let job = json!({"projectId": "p", "jobId": "j/1", "location": "EU"});
    let (tables, script) = peer([
        (200, json!({"jobComplete": false, "jobReference": job})),
        (200, json!({"jobComplete": true, "jobReference": job, "schema": schema, "rows": [row("1")], "pageToken": "next="})),
        (200, json!({"jobComplete": true, "jobReference": job, "schema": schema, "rows": [row("2")]})),
    ])
    .await;
    let answer = soon(tables.query("SELECT n")).await.expect("an answer");
    assert_eq!(answer.rows, [[json!("1")], [json!("2")]]);
    assert_eq!(answer.fields.len(), 1);
    let asked = asked(&script);
    let options = json!({"useInt64Timestamp": true});
    let request = json!({"query": "SELECT n", "useLegacySql": false, "useQueryCache": false, "formatOptions": options});
    assert_eq!(asked[0], ("POST /bigquery/v2/projects/p/queries".into(), request));
    let page =
        "GET /bigquery/v2/projects/p/queries/j%2F1?timeoutMs=10000&formatOptions.useInt64Timestamp=true&location=EU";
    assert_eq!(asked[1].0, page);
    assert_eq!(asked[2].0, format!("{page}&pageToken=next%3D"));
}
