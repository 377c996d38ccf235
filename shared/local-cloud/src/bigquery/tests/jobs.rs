//! Queries and the jobs that run them.

use serde_json::json;

use super::*;

impl World {
    async fn query(&self, sql: &str) -> Answer {
        self.call("POST", "/queries", Some(json!({"query": sql, "useLegacySql": false}))).await
    }

    async fn with_rows() -> Self {
        let world = Self::with_table(None).await;
        let rows: Vec<Value> = (0..5).map(|n| json!({"json": {"id": format!("row{n}"), "n": n}})).collect();
        world.call("POST", "/datasets/d/tables/t/insertAll", Some(json!({"rows": rows}))).await.expect(200);
        world
    }
}

fn column(answer: &Value) -> Vec<&str> {
    let rows = answer["rows"].as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().map(|row| row["f"][0]["v"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn a_query_answers_by_pages() {
    let world = World::with_rows().await;
    let query = json!({
        "query": "SELECT id, n FROM d.t WHERE n >= @least ORDER BY n",
        "useLegacySql": false,
        "maxResults": 2,
        "parameterMode": "NAMED",
        "queryParameters": [
            {"name": "least", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}},
        ],
    });
    let answer = world.call("POST", "/queries", Some(query)).await.expect(200);
    assert_eq!((&answer["jobComplete"], &answer["totalRows"]), (&json!(true), &json!("4")));
    assert_eq!(answer["schema"]["fields"][1], json!({"name": "n", "type": "INTEGER", "mode": "NULLABLE"}));
    assert_eq!(column(&answer), ["row1", "row2"]);
    let job = answer["jobReference"]["jobId"].as_str().expect("an id");
    let token = answer["pageToken"].as_str().expect("a token");
    let next = world.call("GET", &format!("/queries/{job}?pageToken={token}"), None).await.expect(200);
    assert_eq!(column(&next), ["row3", "row4"]);
    assert!(next.get("pageToken").is_none());
    let from = world.call("GET", &format!("/queries/{job}?startIndex=3&maxResults=5"), None).await.expect(200);
    assert_eq!(column(&from), ["row4"]);
    let none = world.call("GET", &format!("/queries/{job}?maxResults=0"), None).await.expect(200);
    assert!(none.get("rows").is_none() && none.get("pageToken").is_none());
    let stored = world.call("GET", &format!("/jobs/{job}"), None).await.expect(200);
    assert_eq!(
        (&stored["status"]["state"], &stored["statistics"]["query"]["statementType"]),
        (&json!("DONE"), &json!("SELECT"))
    );
    let anonymous = &stored["configuration"]["query"]["destinationTable"];
    let path = format!(
        "/datasets/{}/tables/{}/data",
        anonymous["datasetId"].as_str().expect("a dataset"),
        anonymous["tableId"].as_str().expect("a table")
    );
    let data = world.call("GET", &path, None).await.expect(200);
    assert_eq!(column(&data), ["row1", "row2", "row3", "row4"]);
    world.stop().await;
}

#[tokio::test]
async fn inserted_jobs_are_found_again_and_fail_as_jobs() {
    let world = World::with_rows().await;
    let job = |sql: &str| {
        let query = json!({"query": sql, "useLegacySql": false, "defaultDataset": {"datasetId": "d"}});
        json!({"jobReference": {"projectId": "p", "jobId": "mine"}, "configuration": {"query": query}})
    };
    world.call("POST", "/jobs", Some(job("SELECT COUNT(*) FROM t"))).await.expect(200);
    let results = world.call("GET", "/queries/mine", None).await.expect(200);
    assert_eq!(column(&results), ["5"]);
    assert_eq!(world.call("POST", "/jobs", Some(job("SELECT 1"))).await.reason(409), "duplicate");
    assert_eq!(world.call("GET", "/jobs/none", None).await.reason(404), "notFound");
    let list = world.call("GET", "/jobs", None).await.expect(200);
    assert_eq!(list["jobs"][0]["jobReference"]["jobId"], "mine");
    let mut failing = job("SELECT nope FROM t");
    failing["jobReference"]["jobId"] = json!("failing");
    world.call("POST", "/jobs", Some(failing)).await.expect(200);
    assert_eq!(world.call("GET", "/queries/failing", None).await.reason(400), "invalidQuery");
    let failed = world.call("GET", "/jobs/failing", None).await.expect(200);
    assert_eq!(failed["status"]["errorResult"]["reason"], "invalidQuery");
    world.stop().await;
}

#[tokio::test]
async fn a_request_id_runs_a_statement_once() {
    let world = World::with_rows().await;
    let insert = json!({
        "query": "INSERT INTO d.t (id, n) VALUES ('new', 9)", "useLegacySql": false, "requestId": "r1",
    });
    for _ in 0..2 {
        let answer = world.call("POST", "/queries", Some(insert.clone())).await.expect(200);
        assert_eq!(answer["numDmlAffectedRows"], "1");
    }
    assert_eq!(world.ids().await.len(), 6);
    world.stop().await;
}

#[tokio::test]
async fn statements_change_the_store() {
    let world = World::with_rows().await;
    let deleted = world.query("DELETE FROM d.t WHERE n < 2").await.expect(200);
    assert_eq!(deleted["numDmlAffectedRows"], "2");
    assert_eq!(world.ids().await, ["row2", "row3", "row4"]);
    world.query("CREATE TABLE d.copy AS SELECT id FROM d.t").await.expect(200);
    assert_eq!(world.call("GET", "/datasets/d/tables/copy", None).await.expect(200)["numRows"], "3");
    assert_eq!(world.query("CREATE TABLE d.copy AS SELECT 1 AS one").await.reason(409), "duplicate");
    world.query("CREATE OR REPLACE TABLE d.copy AS SELECT 1 AS one").await.expect(200);
    assert_eq!(world.call("GET", "/datasets/d/tables/copy", None).await.expect(200)["numRows"], "1");
    world.query("TRUNCATE TABLE d.t").await.expect(200);
    assert!(world.ids().await.is_empty());
    world.query("DROP TABLE d.copy").await.expect(200);
    assert_eq!(world.query("DROP TABLE d.copy").await.reason(404), "notFound");
    world.query("DROP TABLE IF EXISTS d.copy").await.expect(200);
    world.stop().await;
}

#[tokio::test]
async fn views_are_checked_and_have_a_schema() {
    let world = World::with_rows().await;
    let view = |sql: &str| {
        let view = json!({"query": sql, "useLegacySql": false});
        json!({"tableReference": {"tableId": "v"}, "view": view, "description": "sums"})
    };
    let bad = world.call("POST", "/datasets/d/tables", Some(view("SELECT nope FROM d.t"))).await;
    assert_eq!(bad.reason(400), "invalidQuery");
    let created =
        world.call("POST", "/datasets/d/tables", Some(view("SELECT SUM(n) AS total FROM d.t"))).await.expect(200);
    assert_eq!((&created["type"], &created["schema"]["fields"][0]["name"]), (&json!("VIEW"), &json!("total")));
    assert_eq!(column(&world.query("SELECT total FROM d.v").await.expect(200)), ["10"]);
    let patch = json!({"view": {"query": "SELECT MAX(n) AS highest FROM d.t"}});
    let patched = world.call("PATCH", "/datasets/d/tables/v", Some(patch)).await.expect(200);
    assert_eq!((&patched["schema"]["fields"][0]["name"], &patched["description"]), (&json!("highest"), &json!("sums")));
    assert_eq!(column(&world.query("SELECT highest FROM d.v").await.expect(200)), ["4"]);
    world.stop().await;
}

#[tokio::test]
async fn a_dry_run_answers_the_schema_alone() {
    let world = World::with_rows().await;
    let query = json!({"query": "SELECT n FROM d.t", "useLegacySql": false, "dryRun": true});
    let answer = world.call("POST", "/queries", Some(query)).await.expect(200);
    assert_eq!(answer["schema"]["fields"][0]["name"], "n");
    assert!(answer.get("rows").is_none());
    world.stop().await;
}
