//! The example of a transit agency: a feed that changes, fetched again and again, as rows and views.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tests::{Example, FeedServer, Process, eventually, pipas, said};
use tokio::net::TcpListener;

const STREAM: &str = "transit";
const PATIENCE: Duration = Duration::from_secs(90);
const ROWS: &str = "SELECT trip_id, vehicle_id, stop_id, stop_name, line, direction, UNIX_SECONDS(arrival_time) AS arrival, \
    UNIX_SECONDS(departure_time) AS departure, UNIX_SECONDS(updated_at) AS updated FROM transit.stop_updates";
const HEADWAYS: &str = "SELECT stop_id, previous_vehicle_id, vehicle_id, UNIX_SECONDS(previous_arrival_time) AS since, \
    UNIX_SECONDS(arrival_time) AS at, headway_seconds AS seconds FROM transit.headways ORDER BY stop_id, at, vehicle_id";

/// The rows of `transit.dwells`, or of `transit.dwells_arrived`.
fn dwells_of(view: &str) -> String {
    format!(
        "SELECT stop_id, vehicle_id, UNIX_SECONDS(previous_updated_at) AS since, UNIX_SECONDS(updated_at) AS at, \
         dwell_seconds AS seconds FROM transit.{view} ORDER BY stop_id, vehicle_id, at"
    )
}

/// `pipas feed transit`, behind a relay that keeps what it said. Dropping it kills it.
struct Agency {
    child: Child,
    url: String,
    said: Said,
}

/// What the agency answered with 200: the path, and the body.
type Said = Arc<Mutex<Vec<(String, Bytes)>>>;

impl Agency {
    async fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(Process::binary("pipas")?);
        // Of 15 vehicles three at least go the same way on one line, so near each other that there is a headway.
        command.args(["feed", "transit", "--rate", "15", "--duration", "10m", "--address", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("standard output")?).read_line(&mut line)?;
        let origin = line.split_once("/gtfs-rt").map(|(url, _)| url.to_owned()).context(line)?;
        let said = Said::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(relay).with_state((origin, Arc::clone(&said)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { child, url, said })
    }

    fn env(&self) -> [(&'static str, String); 3] {
        env(&format!("{}/gtfs-rt", self.url), &format!("{}/feed.json", self.url), &format!("{}/feed.ndjson", self.url))
    }

    /// Every update that was served, as the row that it must be; one that was served in two forms is there twice.
    fn updates(&self) -> anyhow::Result<Vec<Value>> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for (path, body) in said.iter() {
            let entities: Vec<Value> = match path.as_str() {
                "/feed.ndjson" => body
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(serde_json::from_slice)
                    .collect::<Result<_, _>>()?,
                "/feed.json" => {
                    serde_json::from_slice::<Value>(body)?["entity"].as_array().context("entities")?.clone()
                }
                _ => {
                    let feed: Value = serde_json::from_slice(&gtfs_realtime::to_json(body)?)?;
                    feed["entity"].as_array().context("entities")?.clone()
                }
            };
            for update in entities.iter().map(|entity| &entity["trip_update"]) {
                let stops = update["stop_time_update"].as_array().into_iter().flatten();
                found.extend(stops.map(|stop| {
                    json!({
                        "trip_id": update["trip"]["trip_id"], "vehicle_id": update["vehicle"]["id"],
                        "stop_id": stop["stop_id"], "arrival": second(&stop["arrival"]["time"]),
                        "departure": second(&stop["departure"]["time"]), "updated": second(&update["timestamp"]),
                    })
                }));
            }
        }
        Ok(found)
    }
}

async fn relay(State((origin, said)): State<(String, Said)>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let mut asked = reqwest::Client::new().get(format!("{origin}{path}"));
    if let Some(tag) = request.headers().get(header::IF_NONE_MATCH) {
        asked = asked.header(header::IF_NONE_MATCH, tag);
    }
    let Ok(answer) = asked.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, tag) = (answer.status(), answer.headers().get(header::ETAG).cloned());
    let body = answer.bytes().await.unwrap_or_default();
    if status == StatusCode::OK {
        said.lock().unwrap_or_else(PoisonError::into_inner).push((path, body.clone()));
    }
    let mut answer = (status, body).into_response();
    if let Some(tag) = tag {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// A number, or the text of one.
fn second(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

impl Drop for Agency {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn env(gtfs: &str, json: &str, ndjson: &str) -> [(&'static str, String); 3] {
    [
        ("TRANSIT_GTFS_RT_URL", gtfs.to_owned()),
        ("TRANSIT_JSON_URL", json.to_owned()),
        ("TRANSIT_NDJSON_URL", ndjson.to_owned()),
    ]
}

async fn fetch(example: &Example, feed: &str) -> anyhow::Result<Value> {
    let url = format!("{}/fetch?feed={feed}", example.endpoints.poller);
    Ok(reqwest::Client::new().post(url).send().await?.error_for_status()?.json().await?)
}

/// Waits until everything on the topic has been delivered.
async fn delivered(example: &Example) -> anyhow::Result<Value> {
    eventually(PATIENCE, async || {
        let status = pipas(example.data.path(), &["status", "--json"])?;
        anyhow::ensure!(status.status.success(), "{}", said(&status));
        let status: Value = serde_json::from_slice(&status.stdout)?;
        anyhow::ensure!(status[0]["stream"] == STREAM && status[0]["backlog"] == 0, "{status}");
        Ok(status[0].clone())
    })
    .await
}

/// The agency's stops by their ids, from the example's table.
fn stops() -> anyhow::Result<BTreeMap<String, String>> {
    let csv = std::fs::read_to_string(Example::catalog(STREAM).with_file_name("stops.csv"))?;
    let csv = csv.strip_prefix('\u{feff}').context("a byte-order mark")?;
    csv.lines()
        .skip(1)
        .map(|line| Ok((line[..3].to_owned(), line.split('"').nth(1).context("a name")?.to_owned())))
        .collect()
}

/// What the row says of its stop is what its stop's id means.
fn is_of_its_stop(row: &Value, stops: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let id = row["stop_id"].as_str().context("a stop")?.to_uppercase();
    let (direction, stem) = match id.as_bytes().last() {
        Some(b'N') => (json!("N"), &id[..id.len() - 1]),
        Some(b'S') => (json!("S"), &id[..id.len() - 1]),
        _ => (Value::Null, id.as_str()),
    };
    let name = stops.get(&id).or_else(|| stops.get(stem));
    let line = name.map(|_| id[..1].to_owned());
    anyhow::ensure!(
        row["direction"] == direction && row["stop_name"] == json!(name) && row["line"] == json!(line),
        "{row}"
    );
    Ok(())
}

/// What a row's vehicle is known by: its id, else its trip.
fn vehicle(row: &Value) -> anyhow::Result<&str> {
    row["vehicle_id"].as_str().or_else(|| row["trip_id"].as_str()).with_context(|| format!("a vehicle: {row}"))
}

/// The pairs of consecutive vehicles at each stop, by their first arrivals there, at most 20 minutes apart.
fn headways(rows: &[Value]) -> anyhow::Result<Vec<Value>> {
    let mut first: BTreeMap<(String, &str, &str), (i64, &Value)> = BTreeMap::new();
    for row in rows {
        let text = |name: &str| row[name].as_str().with_context(|| format!("{name}: {row}"));
        let arrival = row["arrival"].as_i64().context("an arrival")?;
        let known = first.entry((text("stop_id")?.to_uppercase(), vehicle(row)?, text("trip_id")?));
        let known = known.or_insert((arrival, &row["vehicle_id"]));
        known.0 = arrival.min(known.0);
    }
    let mut of_stop: BTreeMap<String, BTreeMap<(i64, &str, &str), &Value>> = BTreeMap::new();
    for ((stop, vehicle, trip), (arrival, id)) in first {
        of_stop.entry(stop).or_default().insert((arrival, vehicle, trip), id);
    }
    let pairs = of_stop.iter().flat_map(|(stop, arrivals)| {
        arrivals.iter().zip(arrivals.iter().skip(1)).map(move |(one, next)| (stop, one, next))
    });
    let close = pairs.filter(|(_, (one, _), (next, _))| one.1 != next.1 && next.0 - one.0 <= 1200);
    let rows = close.map(|(stop, (one, before), (next, id))| {
        json!({
            "stop_id": stop, "previous_vehicle_id": before, "vehicle_id": id, "since": one.0, "at": next.0, "seconds": next.0 - one.0,
        })
    });
    Ok(rows.collect())
}

/// The pairs of consecutive updates of a vehicle at a stop, at most 300 seconds apart; `has_arrived`: of those alone that were
/// made after it was there.
fn dwells(rows: &[Value], has_arrived: bool) -> anyhow::Result<Vec<Value>> {
    let mut of_visit: BTreeMap<(String, &str), BTreeMap<i64, &Value>> = BTreeMap::new();
    for row in rows {
        let stop = row["stop_id"].as_str().context("a stop")?.to_uppercase();
        let arrival = row["arrival"].as_i64().context("arrival")?;
        if let Some(updated) = row["updated"].as_i64()
            && (!has_arrived || updated >= arrival)
        {
            of_visit.entry((stop, vehicle(row)?)).or_default().insert(updated, &row["vehicle_id"]);
        }
    }
    let pairs = of_visit.iter().flat_map(|((stop, _), updates)| {
        updates.iter().zip(updates.iter().skip(1)).map(move |((one, _), (next, id))| (stop, id, one, next))
    });
    let row = |(stop, id, one, next): (&String, &&Value, &i64, &i64)| {
        json!({
            "stop_id": stop, "vehicle_id": id, "since": one, "at": next, "seconds": next - one,
        })
    };
    Ok(pairs.filter(|(.., one, next)| *next - *one <= 300).map(row).collect())
}

/// How many rows the three views have, which are what these rows make.
fn views_are(example: &Example, rows: &[Value]) -> anyhow::Result<[usize; 3]> {
    let (headways, all, arrived) = (headways(rows)?, dwells(rows, false)?, dwells(rows, true)?);
    assert_eq!(example.query(HEADWAYS)?, headways);
    assert_eq!(example.query(&dwells_of("dwells"))?, all);
    assert_eq!(example.query(&dwells_of("dwells_arrived"))?, arrived);
    Ok([headways.len(), all.len(), arrived.len()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_changes_is_rows_in_time_and_once() -> anyhow::Result<()> {
    let mut agency = Agency::start().await?;
    let example = Example::start(STREAM, &agency.env()).await?;
    // Nobody asks for a fetch: the scheduler and the queue of `pipas up` do.
    eventually(Duration::from_secs(60), async || {
        let found = example.query("SELECT COUNT(*) AS n FROM transit.stop_updates")?;
        anyhow::ensure!(found[0]["n"].as_u64() > Some(0), "no row within a minute");
        Ok(())
    })
    .await?;
    // Until a snapshot was asked for twice, and a vehicle was heard of twice where it stands.
    let is_unchanged = Cell::new(false);
    eventually(PATIENCE, async || {
        let fetched = fetch(&example, "transit-gtfs-rt").await?;
        is_unchanged.set(is_unchanged.get() || fetched["result"] == "not_modified");
        anyhow::ensure!(is_unchanged.get() && !example.query(&dwells_of("dwells_arrived"))?.is_empty(), "{fetched}");
        Ok(())
    })
    .await?;
    agency.child.kill()?;

    // What was served in any form is a row, once, and nothing else is.
    let key = |row: &Value| {
        let part = |name: &str| row[name].to_string();
        ["trip_id", "vehicle_id", "stop_id", "arrival", "departure", "updated"].map(part).join(" ")
    };
    let rows = eventually(PATIENCE, async || {
        let (served, rows) = (agency.updates()?, example.query(ROWS)?);
        let mut found: Vec<String> = rows.iter().map(key).collect();
        found.sort();
        let expected: BTreeSet<String> = served.iter().map(key).collect();
        anyhow::ensure!(found.iter().eq(&expected), "{} rows of {} updates", found.len(), expected.len());
        anyhow::ensure!(served.len() > expected.len(), "nothing was served in two forms");
        Ok(rows)
    })
    .await?;
    let stops = stops()?;
    for row in &rows {
        is_of_its_stop(row, &stops)?;
    }
    delivered(&example).await?;
    let found = views_are(&example, &rows)?;
    assert!(found.iter().all(|count| *count > 0), "headways, dwells and those of arrived vehicles: {found:?}");
    example.closes(STREAM, PATIENCE).await?;
    example.stop().await
}

/// An entity of a feed: a vehicle, heard of at `updated`, and its stops with their times of arrival.
fn entity(vehicle: &str, updated: i64, stops: &[(&str, Option<i64>)]) -> Value {
    let stop = |(id, time): &(&str, Option<i64>)| match time {
        Some(time) => json!({ "stop_id": id, "arrival": { "time": time }, "departure": { "time": time + 30 } }),
        None => json!({ "stop_id": id, "departure": { "time": updated } }),
    };
    json!({ "id": vehicle, "trip_update": {
        "trip": { "trip_id": format!("t-{vehicle}"), "route_id": "R" }, "vehicle": { "id": vehicle }, "timestamp": updated,
        "stop_time_update": stops.iter().map(stop).collect::<Vec<_>>(),
    } })
}

/// The entity on another trip.
fn of_trip(trip: &str, mut entity: Value) -> Value {
    entity["trip_update"]["trip"]["trip_id"] = json!(trip);
    entity
}

fn document(entities: &[Value]) -> String {
    json!({ "header": { "gtfs_realtime_version": "2.0", "timestamp": 1 }, "entity": entities }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_lines_are_rows_by_the_rules_of_the_example() -> anyhow::Result<()> {
    const T: i64 = 1_706_781_600;
    let (json_feed, ndjson_feed) = (FeedServer::start().await?, FeedServer::start().await?);
    // The third feed fails, and holds up nothing.
    let silent = FeedServer::start().await?;
    silent.state().status = Some(500);
    // Each way of finding a stop; a line S whose trains go both ways; an S and an N that are no directions.
    let found = [
        ("A01N", json!("1st Street, A"), json!("N")),
        ("a02s", json!("2nd Street, A"), json!("S")),
        ("A03", json!("3rd Street, A"), Value::Null),
        ("a04", json!("4th Street, A"), Value::Null),
        ("S07N", json!("7th Street, S"), json!("N")),
        ("s08n", json!("8th Street, S"), json!("N")),
        ("S09", json!("9th Street, S"), Value::Null),
        ("S10S", json!("10th Street, S"), json!("S")),
        ("X05N", Value::Null, json!("N")),
        ("NS1", Value::Null, Value::Null),
        ("S07E", Value::Null, Value::Null),
    ];
    let at_stops: Vec<_> = found.iter().map(|(id, ..)| (*id, Some(T + 60))).collect();
    // Entities that are no updates hold up no others.
    let entities = [json!(7), json!({ "trip_update": "late" }), entity("finder", T, &at_stops)];
    json_feed.state().body = document(&entities).into_bytes();
    // A headway of 20 minutes to the second, and one that is longer; an arrival that was told of earlier still.
    let lines = [
        entity("first", T, &[("R01N", Some(T + 500)), ("R20N", None)]),
        entity("first", T + 10, &[("R01N", Some(T + 400))]),
        entity("second", T, &[("R01N", Some(T + 1600))]),
        entity("third", T, &[("R01N", Some(T + 2801))]),
        entity("other-way", T, &[("R01S", Some(T + 450))]),
        // On its next trip the third is at the stop again: it does not follow itself.
        of_trip("t-third-again", entity("third", T, &[("R01N", Some(T + 3000))])),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    ndjson_feed.state().body = format!("{lines}{{\"id\": \n").into_bytes();
    let example = Example::start(STREAM, &env(&silent.url, &json_feed.url, &ndjson_feed.url)).await?;
    let count = "SELECT COUNT(*) AS n FROM transit.stop_updates";
    let rows_come_to = async |wanted: usize| {
        eventually(PATIENCE, async || {
            let found = example.query(count)?;
            anyhow::ensure!(found[0]["n"] == wanted, "{found:?}, expected {wanted}");
            Ok(())
        })
        .await
    };
    rows_come_to(found.len() + 6).await?;
    assert!(!silent.state().requests.is_empty());
    for feed in ["transit-json", "transit-ndjson"] {
        assert_eq!(fetch(&example, feed).await?["result"], json!("unchanged"), "{feed}");
    }

    // Documents and lines that are posted mean the same: those of the feeds once more, and a vehicle that stands. Its gaps are
    // 300 s and 301 s; what is said of it before it is there is no stay.
    let http = reqwest::Client::new();
    let post = async |body: String, form: &str| -> anyhow::Result<(u16, Value)> {
        let answer = http.post(example.events_of(STREAM)).header("content-type", form).body(body).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    let (status, again) = post(document(&[entity("finder", T, &at_stops)]), "application/json").await?;
    assert_eq!((status, &again["accepted"]), (200, &json!(found.len())), "{again}");
    assert_eq!(again["not_found"], json!({ "stops": ["NS1", "S07E", "X05N"] }), "{again}");
    let (status, again) = post(lines, "application/x-ndjson").await?;
    assert_eq!((status, &again["accepted"], &again["filtered"]), (200, &json!(6), &json!(1)), "{again}");
    let stays = [-20, 0, 300, 601].map(|after| entity("stays", T + 100 + after, &[("R02S", Some(T + 100))]));
    assert_eq!(post(document(&stays), "application/json").await?.0, 200);
    // An agency that names no vehicle and no time of its own; what is taken back, and a trip that does not run.
    let mut unnamed = entity("unnamed", T, &[("R03S", Some(T + 100))]);
    (unnamed["trip_update"]["vehicle"], unnamed["trip_update"]["timestamp"]) = (json!({}), Value::Null);
    let mut deleted = entity("deleted", T, &[("R03S", Some(T + 100))]);
    deleted["is_deleted"] = json!(true);
    let mut canceled = entity("canceled", T, &[("R03S", Some(T + 100))]);
    canceled["trip_update"]["trip"]["schedule_relationship"] = json!("CANCELED");
    let unknown = entity("unknown", T, &[("X99", Some(T))]);
    let checked = http.post(example.events_of(STREAM).replace("/events", "/check"));
    let sample = document(&[unnamed.clone(), deleted.clone(), unknown]);
    let checked: Value = checked.body(sample).send().await?.error_for_status()?.json().await?;
    assert_eq!(json!([checked["checked"], checked["loaded"], checked["filtered"]]), json!([3, 2, 1]), "{checked}");
    let events = &checked["events"];
    assert_eq!((&events[1]["loaded"], &events[1]["left_out"]), (&json!(false), &json!("filter")), "{checked}");
    assert_eq!(
        (&events[2]["loaded"], &events[2]["not_found"]),
        (&json!(true), &json!({ "stops": "X99" })),
        "{checked}"
    );
    let (status, told) = post(document(&[unnamed, deleted, canceled]), "application/json").await?;
    assert_eq!((status, &told["accepted"], &told["filtered"]), (200, &json!(1), &json!(2)), "{told}");
    let all = found.len() + 6 + stays.len() + 1;
    rows_come_to(all).await?;
    let unnamed = example.query(&format!("{ROWS} WHERE trip_id = 't-unnamed'"))?;
    assert_eq!((&unnamed[0]["vehicle_id"], &unnamed[0]["updated"]), (&Value::Null, &json!(1)), "{unnamed:?}");

    // What is no update: a document that cannot be cut is refused, an event that cannot be a row is a dead letter.
    let mut uncut = entity("bad", T, &[]);
    uncut["trip_update"]["stop_time_update"] = json!("none");
    let sound = entity("sound", T, &[("A01N", Some(T))]);
    let (status, problem) = post(document(&[sound, uncut]), "application/json").await?;
    assert!(status == 400 && problem.to_string().contains("/entity/1/trip_update/stop_time_update"), "{problem}");
    assert_eq!(post("{\"entity\": [".to_owned(), "application/json").await?.0, 400);
    let mut late = entity("late", T, &[("A01N", Some(T))]);
    late["trip_update"]["stop_time_update"][0]["arrival"]["time"] = json!("soon");
    let mut nowhere = entity("nowhere", T, &[("A01N", Some(T))]);
    nowhere["trip_update"]["trip"] = json!(null);
    assert_eq!(post(document(&[late, nowhere]), "application/json").await?.0, 200);
    let letters = "SELECT reason, pointer FROM pipas_ops.dead_letters ORDER BY pointer";
    eventually(PATIENCE, async || {
        let letters = example.query(letters)?;
        let expected = json!([
            { "reason": "type_mismatch", "pointer": "/arrival_time" },
            { "reason": "missing_required", "pointer": "/trip_id" },
        ]);
        anyhow::ensure!(json!(letters) == expected, "{letters:?}");
        Ok(())
    })
    .await?;
    delivered(&example).await?;

    let (rows, stops) = (example.query(ROWS)?, stops()?);
    assert_eq!(rows.len(), all);
    for (id, name, direction) in &found {
        let row = rows.iter().find(|row| row["stop_id"] == *id).context(*id)?;
        assert_eq!((&row["stop_name"], &row["direction"]), (name, direction), "{row}");
        is_of_its_stop(row, &stops)?;
    }
    views_are(&example, &rows)?;
    let headways = example.query(HEADWAYS)?;
    let told: Vec<_> =
        headways.iter().map(|row| json!([row["previous_vehicle_id"], row["vehicle_id"], row["seconds"]])).collect();
    assert_eq!(told, [json!(["first", "second", 1200])]);
    let dwells = |view: &str| -> anyhow::Result<Vec<Value>> {
        let rows = example.query(&dwells_of(view))?;
        Ok(rows.iter().map(|row| json!([row["vehicle_id"], row["seconds"]])).collect())
    };
    assert_eq!(dwells("dwells")?, [json!(["first", 10]), json!(["stays", 20]), json!(["stays", 300])]);
    assert_eq!(dwells("dwells_arrived")?, [json!(["stays", 300])]);
    example.closes(STREAM, PATIENCE).await?;
    example.stop().await
}

#[test]
fn the_samples_are_as_they_must_be() -> anyhow::Result<()> {
    let said = Example::check_samples(STREAM)?;
    let expected = "6 samples would be loaded, 3 would be refused and must be, 0 are not as they must be, 2 left out by the filter, \
        1 without a row of the lookup `stops`";
    assert!(said.contains(expected), "{said}");
    Ok(())
}
