//! Rows that are ahead of their table: the loader knows a column that the table's write streams do not know yet.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tests::{Setup, World, eventually};

const PATIENCE: Duration = Duration::from_secs(60);
const EVENTS: usize = 20;
const STREAMS: [&str; 2] = ["strict", "loose"];

/// BigQuery's REST side as the loader sees it: it shows a column of the streams' tables that Storage Write does not know yet. On Google's
/// servers the one may be ahead of the other by minutes.
#[derive(Clone, Default)]
struct Ahead {
    bigquery: Arc<OnceLock<String>>,
    http: reqwest::Client,
}

impl Ahead {
    async fn start() -> anyhow::Result<(Self, String)> {
        let ahead = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(forward).with_state(ahead.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((ahead, url))
    }

    async fn answer(&self, request: Request) -> anyhow::Result<Response> {
        let bigquery = self.bigquery.get().context("BigQuery has not started")?;
        let (head, body) = request.into_parts();
        let url = format!("{bigquery}{}", head.uri);
        let body = axum::body::to_bytes(body, usize::MAX).await?;
        let sent = self.http.request(head.method, url).header(header::CONTENT_TYPE, "application/json").body(body);
        let answer = sent.send().await?;
        let status = answer.status();
        let mut body: Value = serde_json::from_slice(&answer.bytes().await?)?;
        if let Some(columns) = body["schema"]["fields"].as_array_mut()
            && head.uri.path().contains("/datasets/lag/tables/")
            && columns.iter().all(|column| column["name"] != "tip")
        {
            columns.push(tip());
        }
        Ok((status, [(header::CONTENT_TYPE, "application/json")], Body::from(body.to_string())).into_response())
    }
}

async fn forward(State(ahead): State<Ahead>, request: Request) -> Response {
    let answered = ahead.answer(request).await;
    answered.unwrap_or_else(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response())
}

fn tip() -> Value {
    json!({ "name": "tip", "type": "INTEGER", "mode": "NULLABLE" })
}

/// Adds the column to the table itself.
async fn catch_up(world: &World, stream: &str) -> anyhow::Result<()> {
    let (bigquery, project) = (&world.endpoints.bigquery, &world.endpoints.project);
    let url = format!("{bigquery}/bigquery/v2/projects/{project}/datasets/lag/tables/{stream}");
    let http = reqwest::Client::new();
    let mut table: Value = http.get(&url).send().await?.error_for_status()?.json().await?;
    let mut columns = table["schema"]["fields"].take();
    columns.as_array_mut().context("columns")?.push(tip());
    http.patch(&url).json(&json!({ "schema": { "fields": columns } })).send().await?.error_for_status()?;
    Ok(())
}

/// Waits until so many deliveries were let go of, to come again, and a write stream was given up.
async fn held(world: &World, deliveries: u64) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let page = world.metrics(&world.endpoints.loader).await?;
        let count = |series: &str| -> u64 {
            let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or_default()
        };
        let refused = count(r#"pipas_append_requests_total{outcome="schema_mismatch_extra_fields"}"#);
        let nacked = count(r#"pipas_loader_deliveries_total{outcome="retried",stream="strict"}"#);
        let given_up = count("pipas_loader_rotations_total");
        anyhow::ensure!(
            refused >= 4 && nacked >= deliveries && given_up >= 1,
            "{refused} appends were refused, {nacked} deliveries nacked, {given_up} write streams given up"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_ahead_of_their_table_wait_until_it_has_their_column() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("events.json"), r#"[{ "name": "event_id", "type": "STRING" }]"#)?;
    let stream = |name: &str, delivery: &str| {
        format!(
            "  {name}:\n    event_id: /event_id\n    delivery: {delivery}\n    tables:\n      events: {{ table: lag.{name}, schema: \
             events.json }}\n"
        )
    };
    let file = folder.path().join("pipas.yaml");
    let streams = [stream("strict", "exactly_once"), stream("loose", "at_least_once")].concat();
    std::fs::write(&file, format!("streams:\n{streams}"))?;
    let (ahead, url) = Ahead::start().await?;
    let loader_env = vec![
        ("PIPAS_BIGQUERY_ENDPOINT", url),
        ("PIPAS_HOLD", "2s".to_owned()),
        // A request that is refused for more than half of that has its write stream fenced, and goes to another.
        ("PIPAS_SUSPECT_AFTER", "4s".to_owned()),
    ];
    let world = World::start(Setup { catalog: Some(file), loader_env, ..Setup::default() }).await?;
    ahead.bigquery.set(world.endpoints.bigquery.clone()).map_err(|_| anyhow::anyhow!("it is set once"))?;

    // Every other event says nothing of the column; all are encoded by a schema that has it.
    let event = |n: usize| match n % 2 {
        0 => json!({ "event_id": format!("e{n}"), "tip": n }).to_string(),
        _ => json!({ "event_id": format!("e{n}") }).to_string(),
    };
    // The first one is refused alone, as a row that is at fault would be; the others together.
    for events in [0..1, 1..EVENTS] {
        let sent = events.end as u64;
        let body = events.map(event).collect::<Vec<_>>().join("\n");
        for stream in STREAMS {
            assert_eq!(world.post(stream, body.clone(), None).await?.status(), 200);
        }
        held(&world, sent).await?;
    }
    for stream in STREAMS {
        assert_eq!(world.query_one(&format!("SELECT COUNT(*) FROM lag.{stream}")).await?, json!("0"), "{stream}");
        assert_eq!(world.subscription(&format!("{stream}-loader")).await?["backlog"], json!(EVENTS), "{stream}");
    }
    assert_eq!(world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?, json!("0"));

    for stream in STREAMS {
        catch_up(&world, stream).await?;
    }
    for stream in STREAMS {
        let sql = format!("SELECT COUNT(DISTINCT event_id), COUNT(tip), SUM(tip) FROM lag.{stream}");
        eventually(PATIENCE, async || {
            let rows = world.query(&sql).await?;
            anyhow::ensure!(rows == [[json!("20"), json!("10"), json!("90")]], "{stream}: {rows:?}");
            let subscription = world.subscription(&format!("{stream}-loader")).await?;
            anyhow::ensure!(subscription["backlog"] == 0, "{subscription}");
            Ok(())
        })
        .await?;
    }
    assert_eq!(world.query_one("SELECT COUNT(*) FROM lag.strict").await?, json!("20"));
    assert_eq!(world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?, json!("0"));
    world.stop().await
}
