//! Feeds from the web through the poller, and web pages through the receiver, into the warehouse.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use gtfs_realtime::transit_realtime::{
    FeedEntity, FeedHeader, FeedMessage, TripDescriptor, TripUpdate, VehicleDescriptor,
    trip_update::{StopTimeEvent, StopTimeUpdate},
};
use local_cloud::{Action, Rule, When};
use prost::Message;
use serde_json::{Value, json};
use tests::{FeedServer, Process, Setup, Up, World, eventually, pipas, python};
use tonic::Code;

const SOON: Duration = Duration::from_secs(60);

/// A catalog with a transit feed at `url`, and a stream of a search bar; its folder.
fn catalog(folder: &Path, url: &str) -> anyhow::Result<PathBuf> {
    let column = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let updates = json!([
        column("trip_id", "STRING"),
        column("vehicle_id", "STRING"),
        column("stop_id", "STRING"),
        column("stop_name", "STRING"),
        column("direction", "STRING"),
        column("arrival_time", "TIMESTAMP"),
    ]);
    let searches = json!([column("event_id", "STRING"), column("query", "STRING")]);
    std::fs::write(folder.join("updates.json"), updates.to_string())?;
    std::fs::write(folder.join("searches.json"), searches.to_string())?;
    std::fs::write(folder.join("stops.csv"), "\u{feff}stop_id,stop_name\nS01,First\nS02,Second\n")?;
    let file = folder.join("pipas.yaml");
    let yaml = format!(
        r#"
streams:
  transit:
    event_id: {{ content_hash: [/trip_id, /stop_id, /arrival_time] }}
    feeds:
      subway:
        url: "{url}"
        format: gtfs_realtime
        every: 20s
        timeout: 2s
        max_bytes: 100000
        backoff: 2s
        headers: {{ x-api-key: {{ env: TEST_FEED_KEY }} }}
    flatten:
      at: /entity/*/trip_update/stop_time_update/*
      carry:
        trip_id: /entity/*/trip_update/trip/trip_id
        vehicle_id: /entity/*/trip_update/vehicle/id
        arrival_time: /entity/*/trip_update/stop_time_update/*/arrival/time
        fetched_at: /header/timestamp
    lookup:
      stops:
        file: stops.csv
        key: stop_id
        from: /stop_id
        match: [exact, upper, suffix]
        suffixes: NS
        suffix_to: direction
        columns: [stop_name]
    filter: {{ has: [/arrival_time] }}
    tables:
      updates: {{ table: transit.updates, schema: updates.json }}
  search:
    event_id: /event_id
    cors: {{ origins: ["https://www.example.com"] }}
    tables:
      searches: {{ table: web.searches, schema: searches.json }}
"#
    );
    std::fs::write(&file, yaml)?;
    Ok(file)
}

/// A feed of one vehicle, fetched at `fetched`: it stops at each of `stops` at that time.
fn feed(fetched: u64, stops: &[(&str, i64)]) -> Vec<u8> {
    let update = |(stop, time): &(&str, i64)| StopTimeUpdate {
        stop_id: Some((*stop).to_owned()),
        arrival: (*time > 0).then(|| StopTimeEvent { time: Some(*time), ..Default::default() }),
        ..Default::default()
    };
    let trip_update = TripUpdate {
        trip: TripDescriptor { trip_id: Some("t1".into()), ..Default::default() },
        vehicle: Some(VehicleDescriptor { id: Some("v1".into()), ..Default::default() }),
        stop_time_update: stops.iter().map(update).collect(),
        ..Default::default()
    };
    let header = FeedHeader { gtfs_realtime_version: "2.0".into(), timestamp: Some(fetched), ..Default::default() };
    let entity = FeedEntity { id: "1".into(), trip_update: Some(trip_update), ..Default::default() };
    FeedMessage { header, entity: vec![entity] }.encode_to_vec()
}

const STOPS: [(&str, i64); 4] = [("S01N", 1_706_781_600), ("s02s", 1_706_781_700), ("X9S", 1_706_781_800), ("S01S", 0)];

struct Feeds {
    world: World,
    server: FeedServer,
    poller: Process,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Feeds {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = FeedServer::start().await?;
        let file = catalog(folder.path(), &server.url)?;
        let world = World::start(Setup { catalog: Some(file), ..Setup::default() }).await?;
        let poller = world.poller(&[("TEST_FEED_KEY", "k-1".to_owned())])?;
        Ok(Self { world, server, poller, http: reqwest::Client::new(), _folder: folder })
    }

    async fn fetch_at(&self, poller: &str) -> anyhow::Result<Value> {
        let answer = self.http.post(format!("{poller}/fetch?feed=subway")).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn fetch(&self) -> anyhow::Result<Value> {
        self.fetch_at(&self.poller.url).await
    }

    async fn rows(&self, count: usize) -> anyhow::Result<Vec<Vec<Value>>> {
        let sql = "SELECT stop_id, stop_name, direction, vehicle_id FROM transit.updates ORDER BY arrival_time";
        eventually(SOON, async || {
            let rows = self.world.query(sql).await?;
            anyhow::ensure!(rows.len() == count, "{rows:?}");
            Ok(rows)
        })
        .await
    }

    /// Waits until everything on the topic was delivered.
    async fn delivered(&self) -> anyhow::Result<()> {
        eventually(SOON, async || {
            let subscription = self.world.subscription("transit-loader").await?;
            anyhow::ensure!(subscription["backlog"] == 0, "{subscription}");
            Ok(())
        })
        .await
    }

    async fn stop(self) -> anyhow::Result<()> {
        let status = tokio::task::spawn_blocking(|| self.poller.terminate()).await??;
        anyhow::ensure!(status.success(), "the poller ended with {status}");
        self.world.stop().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_becomes_rows_once_however_often_it_is_polled() -> anyhow::Result<()> {
    let feeds = Feeds::start().await?;
    feeds.server.state().body = feed(1, &STOPS);
    let first = feeds.fetch().await?;
    assert_eq!((&first["result"], &first["published"]), (&json!("published"), &json!(3)), "{first}");
    assert_eq!((&first["filtered"], &first["not_found"]), (&json!(1), &json!({ "stops": ["X9S"] })), "{first}");
    let rows = feeds.rows(3).await?;
    assert_eq!(
        rows,
        [
            [json!("S01N"), json!("First"), json!("N"), json!("v1")],
            [json!("s02s"), json!("Second"), json!("S"), json!("v1")],
            [json!("X9S"), Value::Null, json!("S"), json!("v1")],
        ]
    );
    assert_eq!(feeds.server.state().requests[0]["x-api-key"], "k-1");

    // The same bytes, from a feed that knows no tags; then the same stops at another time of fetching.
    assert_eq!(feeds.fetch().await?["result"], json!("unchanged"));
    feeds.server.state().body = feed(2, &STOPS);
    let repeated = feeds.fetch().await?;
    assert_eq!((&repeated["published"], &repeated["repeated"]), (&json!(0), &json!(3)), "{repeated}");
    // Another instance remembers no snapshot: it publishes all again, and the ledger knows them.
    let other = feeds.world.poller(&[("TEST_FEED_KEY", "k-1".to_owned())])?;
    feeds.server.state().body = feed(3, &STOPS);
    assert_eq!(feeds.fetch_at(&other.url).await?["published"], json!(3));
    feeds.delivered().await?;
    feeds.rows(3).await?;
    let letters = feeds.world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?;
    assert_eq!(letters, json!("0"), "no repetition is a conflict");

    // One stop moves: one row more.
    let mut moved = STOPS;
    moved[0].1 += 30;
    feeds.server.state().body = feed(4, &moved);
    feeds.server.state().etag = Some("\"v4\"".to_owned());
    let changed = feeds.fetch_at(&other.url).await?;
    assert_eq!((&changed["published"], &changed["repeated"]), (&json!(1), &json!(2)), "{changed}");
    feeds.rows(4).await?;
    // Any instance asks with the tag, and hears that nothing has changed.
    assert_eq!(feeds.fetch().await?["result"], json!("not_modified"));
    let asked = feeds.server.state().requests.last().map(|headers| headers["if-none-match"].clone());
    assert_eq!(asked.as_ref().and_then(|tag| tag.to_str().ok()), Some("\"v4\""));
    drop(other);
    feeds.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_fails_is_left_alone_for_a_while_and_publishes_nothing() -> anyhow::Result<()> {
    let feeds = Feeds::start().await?;
    let failed = async |why: &str| -> anyhow::Result<()> {
        let report = eventually(SOON, async || {
            let report = feeds.fetch().await?;
            anyhow::ensure!(report["result"] == "failed", "{report}");
            Ok(report)
        })
        .await?;
        let error = report["error"].as_str().unwrap_or_default();
        anyhow::ensure!(error.contains(why), "{why}: {report}");
        let asked = feeds.server.state().requests.len();
        let left_alone = feeds.fetch().await?;
        anyhow::ensure!(left_alone["result"] == "backed_off" && left_alone["not_before"].is_string(), "{left_alone}");
        anyhow::ensure!(feeds.server.state().requests.len() == asked, "it was asked all the same");
        Ok(())
    };
    feeds.server.state().body = b"<html>busy</html>".to_vec();
    failed("no FeedMessage").await?;
    feeds.server.state().body = feed(1, &STOPS);
    feeds.server.state().status = Some(500);
    failed("500").await?;
    feeds.server.state().status = None;
    feeds.server.state().delay = Duration::from_secs(5);
    failed("did not answer within 2 s").await?;
    feeds.server.state().delay = Duration::ZERO;
    feeds.server.state().body = vec![0; 100_001];
    failed("more than 100000 bytes").await?;
    feeds.server.state().body = feed(1, &STOPS);
    eventually(SOON, async || {
        let report = feeds.fetch().await?;
        anyhow::ensure!(report["result"] == "published", "{report}");
        Ok(())
    })
    .await?;
    feeds.rows(3).await?;
    let metrics = feeds.world.metrics(&feeds.poller.url).await?;
    assert!(metrics.contains(r#"pipas_poller_fetches_total{feed="subway",result="failed"} 4"#), "{metrics}");
    feeds.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pubsub_does_not_take_is_counted_as_such_and_published_with_the_next_fetch() -> anyhow::Result<()> {
    let feeds = Feeds::start().await?;
    feeds.server.state().body = feed(1, &STOPS);
    let counted = async |published: u64, unpublished: u64| -> anyhow::Result<()> {
        let page = feeds.world.metrics(&feeds.poller.url).await?;
        for (result, count) in [("published", published), ("unpublished", unpublished)] {
            let line =
                format!(r#"pipas_poller_events_total{{feed="subway",result="{result}",stream="transit"}} {count}"#);
            anyhow::ensure!(page.lines().any(|found| found == line), "{line}: {page}");
        }
        Ok(())
    };
    let refusal = Action::error(Code::PermissionDenied, "not now");
    let rule = feeds.world.faults.inject(Rule::new("Publisher/Publish", When::Every(1), refusal));
    let failed = feeds.http.post(format!("{}/fetch?feed=subway", feeds.poller.url)).send().await?;
    assert_eq!(failed.status(), 503, "the task comes again");
    counted(0, 3).await?;
    assert!(feeds.world.faults.remove(rule));
    assert_eq!(feeds.fetch().await?["published"], json!(3));
    counted(3, 3).await?;
    feeds.rows(3).await?;
    feeds.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_do_not_fetch_at_once() -> anyhow::Result<()> {
    let feeds = Feeds::start().await?;
    let other = feeds.world.poller(&[("TEST_FEED_KEY", "k-1".to_owned())])?;
    feeds.server.state().body = feed(1, &STOPS);
    feeds.server.state().delay = Duration::from_millis(1500);
    let (one, two) = tokio::join!(feeds.fetch(), feeds.fetch_at(&other.url));
    let mut results = [one?["result"].clone(), two?["result"].clone()];
    results.sort_by_key(ToString::to_string);
    assert_eq!(results, [json!("overlap"), json!("published")]);
    assert_eq!(feeds.server.state().requests.len(), 1);
    feeds.server.state().delay = Duration::ZERO;
    assert_eq!(feeds.fetch().await?["result"], json!("unchanged"), "the lease is over");
    drop(other);
    feeds.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_is_queued_once_and_its_tasks_carry_tokens() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = FeedServer::start().await?;
    server.state().body = feed(1, &STOPS);
    let file = catalog(folder.path(), &server.url)?;
    let world = World::start(Setup { catalog: Some(file), ..Setup::default() }).await?;
    let account = "scheduler@pipas-local.iam.gserviceaccount.com";
    // What it is called by is known once it listens; a token's audience need not be a URL.
    let env = |poller: &str| {
        vec![
            ("TEST_FEED_KEY", "k-1".to_owned()),
            ("PIPAS_PUSH_AUTH", "oidc".to_owned()),
            ("PIPAS_PUSH_AUDIENCE", "poller".to_owned()),
            ("PIPAS_PUSH_SERVICE_ACCOUNT", account.to_owned()),
            ("PIPAS_PUSH_JWKS_URL", format!("{}/oauth2/v3/certs", world.endpoints.pubsub)),
            ("PIPAS_POLLER_URL", poller.to_owned()),
        ]
    };
    // One instance queues for another, as instances of one service do.
    let fetcher = world.poller(&env("http://127.0.0.1:9"))?;
    let poller = world.poller(&env(&fetcher.url))?;
    let http = reqwest::Client::new();
    let refused = http.post(format!("{}/poll?feed=subway", poller.url)).send().await?;
    assert_eq!(refused.status(), 401);
    let forged = http.post(format!("{}/fetch?feed=subway", poller.url)).bearer_auth("a.b.c").send().await?;
    assert_eq!(forged.status(), 401);

    // The scheduler's stand-in: a task with its token. Fired twice for one minute, with one period of it over.
    let queue = format!("{}/v2/{}/tasks", world.endpoints.tasks, world.endpoints.queue());
    let minute = jiff::Timestamp::now().as_second().div_euclid(60) * 60;
    let scheduled = jiff::Timestamp::from_second(minute + 60)?.to_string();
    for _ in 0..2 {
        let trigger = json!({ "task": { "httpRequest": {
            "url": format!("{}/poll?feed=subway", poller.url),
            "headers": { "x-cloudscheduler-scheduletime": scheduled },
            "oidcToken": { "serviceAccountEmail": account, "audience": "poller" },
        } } });
        http.post(&queue).json(&trigger).send().await?.error_for_status()?;
    }
    let counted = |result: &str, count: u64| {
        let line = format!(r#"pipas_poller_tasks_total{{feed="subway",result="{result}"}} {count}"#);
        let (world, poller) = (&world, &poller);
        async move {
            eventually(SOON, async || {
                let metrics = world.metrics(&poller.url).await?;
                anyhow::ensure!(metrics.contains(&line), "{line}: {metrics}");
                Ok(())
            })
            .await
        }
    };
    counted("created", 3).await?;
    counted("existing", 3).await?;
    let tasks: Value = http.get(&queue).send().await?.json().await?;
    let times: Vec<&str> =
        tasks["tasks"].as_array().into_iter().flatten().filter_map(|task| task["scheduleTime"].as_str()).collect();
    let mut times: Vec<i64> = times
        .iter()
        .filter_map(|time| time.parse::<jiff::Timestamp>().ok())
        .map(|time| time.as_second() - minute)
        .collect();
    times.sort_unstable();
    assert!(times.is_empty() || times == [60, 80, 100] || times == [80, 100], "{times:?}");
    // The first of them comes at the next minute, and is a fetch with a token.
    eventually(Duration::from_secs(75), async || {
        let rows = world.query_one("SELECT COUNT(*) FROM transit.updates").await?;
        anyhow::ensure!(rows == json!("3"), "{rows}");
        Ok(())
    })
    .await?;
    drop((poller, fetcher));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn up_polls_by_itself() -> anyhow::Result<()> {
    let (folder, data) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let server = FeedServer::start().await?;
    server.state().body = feed(1, &STOPS);
    let file = catalog(folder.path(), &server.url)?;
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(
        &file,
        text.replace("every: 20s", "every: 1s").replace("        headers: { x-api-key: { env: TEST_FEED_KEY } }\n", ""),
    )?;
    let up = Up::start_with(&file, data.path(), &[]).await?;
    let sql = "SELECT COUNT(*) AS n FROM transit.updates";
    let rows = async |count: u64| {
        eventually(SOON, async || {
            let output = pipas(data.path(), &["query", sql, "--json"])?;
            let found: Value = serde_json::from_slice(&output.stdout)?;
            anyhow::ensure!(found[0]["n"] == json!(count), "{found}");
            Ok(())
        })
        .await
    };
    rows(3).await?;
    server.state().body = feed(2, &[("S02N", 1_706_782_000)]);
    rows(4).await?;
    // Nothing came by the receiver; the account of the stream closes all the same.
    eventually(SOON, async || {
        let status: Value = serde_json::from_slice(&pipas(data.path(), &["status", "--json"])?.stdout)?;
        let transit = status.as_array().into_iter().flatten().find(|found| found["stream"] == "transit");
        let transit = transit.ok_or_else(|| anyhow::anyhow!("{status}"))?;
        for (name, count) in [("received", 4), ("published", 4), ("delivered", 4), ("written", 4), ("backlog", 0)] {
            anyhow::ensure!(transit[name] == json!(count), "{name}: {transit}");
        }
        Ok(())
    })
    .await?;
    let sent = pipas(data.path(), &["feed", "search", "--rate", "50", "--duration", "2s", "--seed", "7", "--json"])?;
    let report: Value = serde_json::from_slice(&sent.stdout)?;
    assert_eq!((&report["accepted"], &report["refused"]), (&json!(100), &json!(0)), "{report}");
    up.interrupt().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_s_events_reach_the_warehouse_and_a_second_subscriber() -> anyhow::Result<()> {
    const COUNT: usize = 200;
    let folder = tempfile::tempdir()?;
    let world =
        World::start(Setup { catalog: Some(catalog(folder.path(), "http://127.0.0.1:9")?), ..Setup::default() })
            .await?;
    let endpoints = json!({ "pubsub": world.endpoints.pubsub }).to_string();
    let subscriber = tokio::task::spawn_blocking(move || {
        python("second_subscriber.py", &[&endpoints, "search", "search-second", &COUNT.to_string()])
    });
    eventually(SOON, async || world.subscription("search-second").await).await?;
    let http = reqwest::Client::new();
    let url = format!("{}/v1/streams/search/events", world.endpoints.receiver);
    for number in 0..COUNT {
        // As `navigator.sendBeacon(url, JSON.stringify(…))` sends it.
        let beacon = http
            .post(&url)
            .header("origin", "https://www.example.com")
            .header("content-type", "text/plain;charset=UTF-8")
            .body(json!({ "event_id": format!("e-{number}"), "query": "lamp" }).to_string());
        let answer = beacon.send().await?;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://www.example.com");
    }
    let got: Value = serde_json::from_str(&subscriber.await??)?;
    assert_eq!(got.as_object().map(serde_json::Map::len), Some(COUNT));
    assert_eq!(got["e-7"], json!({ "event_id": "e-7", "query": "lamp" }));
    eventually(SOON, async || {
        let rows = world.query_one("SELECT COUNT(DISTINCT event_id) FROM web.searches").await?;
        anyhow::ensure!(rows == json!(COUNT.to_string()), "{rows}");
        Ok(())
    })
    .await?;
    world.stop().await
}
