//! A transit agency's feed: GTFS-Realtime that changes over time, and the table of its stops.
//!
//! What is served is a function of the seed and the time, so any number of servers of one seed say the same.

use std::{fmt::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use gtfs_realtime::transit_realtime::{
    FeedEntity, FeedHeader, FeedMessage, TripDescriptor, TripUpdate, VehicleDescriptor,
    trip_update::{StopTimeEvent, StopTimeUpdate},
};
use jiff::Timestamp;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// The lines: `S` is one whose stops all have an S in their ids, whichever way their trains go.
const LINES: [char; 3] = ['A', 'R', 'S'];
const STOPS: u64 = 20;
/// Seconds from one stop to the next.
const HOP: i64 = 90;
/// Seconds that a train stands at a stop.
const DWELL: i64 = 30;
/// How many stops ahead are told.
const AHEAD: u64 = 10;
/// Predictions change every so many seconds.
const REFRESH: i64 = 10;

/// The stops: their ids without direction, after a byte-order mark, as agencies' tables come.
pub(super) fn stops_csv() -> String {
    let mut csv = String::from("\u{feff}stop_id,stop_name,line\r\n");
    for line in LINES {
        for stop in 1..=STOPS {
            // Writing to a String cannot fail.
            let _ = write!(csv, "{line}{stop:02},\"{} Street, {line}\",{line}\r\n", ordinal(stop));
        }
    }
    csv
}

fn ordinal(number: u64) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

/// The feed at `now`, with so many vehicles under way.
pub(super) fn feed(seed: u64, vehicles: u32, now: Timestamp) -> FeedMessage {
    let now = now.as_second().div_euclid(REFRESH) * REFRESH;
    let entity = (0..u64::from(vehicles)).map(|vehicle| entity(seed, vehicle, now)).collect();
    let header = FeedHeader {
        gtfs_realtime_version: "2.0".to_owned(),
        timestamp: u64::try_from(now).ok(),
        ..FeedHeader::default()
    };
    FeedMessage { header, entity }
}

/// One vehicle goes up and down its line for ever; each way is a trip.
fn entity(seed: u64, vehicle: u64, now: i64) -> FeedEntity {
    let line = LINES[usize::try_from(vehicle).unwrap_or_default() % LINES.len()];
    let stops = i64::try_from(STOPS).unwrap_or_default();
    let length = HOP * stops;
    let offset = i64::try_from(draw(seed, vehicle, 0) % 10_000).unwrap_or_default();
    let trip = (now + offset).div_euclid(length);
    let began = trip * length - offset;
    let direction = if trip % 2 == 0 { 'N' } else { 'S' };
    let next = u64::try_from((now - began).div_euclid(HOP)).unwrap_or_default();
    let updates = (next..STOPS.min(next + AHEAD)).map(|hop| {
        let number = if direction == 'N' { hop + 1 } else { STOPS - hop };
        // Farther stops are predicted less well, and the prediction changes.
        let round = u64::try_from(now / REFRESH).unwrap_or_default();
        let doubt = i64::try_from(draw(seed ^ round, vehicle, hop) % (1 + 2 * (hop - next))).unwrap_or_default();
        let arrival = began + HOP * i64::try_from(hop + 1).unwrap_or_default() - DWELL + doubt;
        // As agencies' feeds are: now and then an id in lower case, or of a stop that the table does not have.
        let id = match draw(seed, vehicle, 1000 + hop) % 50 {
            0 => format!("{line}{number:02}{direction}").to_lowercase(),
            1 => format!("X{number:02}{direction}"),
            _ => format!("{line}{number:02}{direction}"),
        };
        StopTimeUpdate {
            stop_sequence: u32::try_from(hop + 1).ok(),
            stop_id: Some(id),
            arrival: Some(StopTimeEvent { time: Some(arrival), ..StopTimeEvent::default() }),
            departure: Some(StopTimeEvent { time: Some(arrival + DWELL), ..StopTimeEvent::default() }),
            ..StopTimeUpdate::default()
        }
    });
    let trip_update = TripUpdate {
        trip: TripDescriptor {
            trip_id: Some(format!("{line}-{vehicle}-{trip}")),
            route_id: Some(line.to_string()),
            ..TripDescriptor::default()
        },
        vehicle: Some(VehicleDescriptor { id: Some(format!("V{vehicle:04}")), ..VehicleDescriptor::default() }),
        timestamp: u64::try_from(now).ok(),
        stop_time_update: updates.collect(),
        ..TripUpdate::default()
    };
    FeedEntity { id: format!("{vehicle}"), trip_update: Some(trip_update), ..FeedEntity::default() }
}

/// A number that looks drawn, and is the same for the same three.
fn draw(seed: u64, a: u64, b: u64) -> u64 {
    let hash = Sha256::digest([seed.to_be_bytes(), a.to_be_bytes(), b.to_be_bytes()].concat());
    u64::from_be_bytes(std::array::from_fn(|at| hash[at]))
}

#[derive(Clone)]
struct Served {
    seed: u64,
    vehicles: u32,
}

/// Serves the feed until `duration` is over, or Ctrl-C.
pub(super) async fn serve(
    address: SocketAddr,
    seed: u64,
    vehicles: u32,
    duration: Duration,
) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/gtfs-rt", get(protobuf))
        .route("/feed.json", get(json))
        .route("/feed.ndjson", get(ndjson))
        .route("/stops.csv", get(stops))
        .with_state(Arc::new(Served { seed, vehicles }));
    println!("http://{address}/gtfs-rt, /feed.json, /feed.ndjson and /stops.csv; {vehicles} vehicles, seed {seed}");
    let over = async move {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    axum::serve(listener, router).with_graceful_shutdown(over).await?;
    Ok(ExitCode::SUCCESS)
}

async fn stops() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], stops_csv())
}

async fn protobuf(State(served): State<Arc<Served>>, headers: HeaderMap) -> Response {
    answer(&headers, "application/x-protobuf", feed(served.seed, served.vehicles, Timestamp::now()).encode_to_vec())
}

async fn json(State(served): State<Arc<Served>>, headers: HeaderMap) -> Response {
    let bytes = feed(served.seed, served.vehicles, Timestamp::now()).encode_to_vec();
    match gtfs_realtime::to_json(&bytes) {
        Ok(json) => answer(&headers, "application/json", json),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// An entity a line.
async fn ndjson(State(served): State<Arc<Served>>, headers: HeaderMap) -> Response {
    let bytes = feed(served.seed, served.vehicles, Timestamp::now()).encode_to_vec();
    let lines = gtfs_realtime::to_json(&bytes).map_err(anyhow::Error::from).and_then(|json| {
        let feed: serde_json::Value = serde_json::from_slice(&json)?;
        let entities = feed["entity"].as_array().cloned().unwrap_or_default();
        Ok(entities.iter().map(|entity| format!("{entity}\n")).collect::<String>())
    });
    match lines {
        Ok(lines) => answer(&headers, "application/x-ndjson", lines.into_bytes()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The body, or 304 where the client has it.
fn answer(headers: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Response {
    let etag: String = Sha256::digest(&body).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    ([(header::CONTENT_TYPE, content_type.to_owned()), (header::ETAG, etag)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feed_is_a_function_of_seed_and_time_and_changes() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let now = at(1_706_781_600);
        assert_eq!(feed(1, 30, now), feed(1, 30, now));
        assert_eq!(feed(1, 30, now), feed(1, 30, at(1_706_781_609)), "it stands for ten seconds");
        assert_ne!(feed(1, 30, now), feed(1, 30, at(1_706_781_610)));
        assert_ne!(feed(1, 30, now), feed(2, 30, now));
    }

    #[test]
    fn trains_go_both_ways_through_known_stops() {
        let stops = stops_csv();
        assert!(stops.starts_with('\u{feff}'));
        let feed = feed(1, 60, Timestamp::from_second(1_706_781_600).expect("a time"));
        let updates = feed.entity.iter().filter_map(|entity| entity.trip_update.as_ref());
        let ids: Vec<&str> =
            updates.flat_map(|update| &update.stop_time_update).map(|update| update.stop_id()).collect();
        let known = |id: &&&str| stops.contains(&format!("\n{},", &id[..3]));
        assert!(ids.iter().any(|id| id.ends_with('N')) && ids.iter().any(|id| id.ends_with('S')));
        assert!(ids.iter().filter(known).count() > ids.len() * 9 / 10);
        assert!(ids.iter().any(|id| id.starts_with('S') && id.ends_with('N')), "an S that is no direction");
    }
}
