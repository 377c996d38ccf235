//! Web pages that send from a browser, and documents that are not events yet.

use std::time::Duration;

use catalog::{ContentHash, Cors, Flatten, JsonPointer, Lookup, Match, Shaping, StarPointer, Stream, When};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{World, answer, stream};

const PAGE: &str = "https://www.example.com";

/// A stream of a search bar, for pages of one origin.
pub(crate) fn search() -> Stream {
    let origins = Some(vec![PAGE.to_owned(), "http://localhost:3000".to_owned()]);
    let cors = Cors { origins, credentials: true, max_age: Duration::from_secs(600) };
    Stream { cors: Some(cors), ..stream("search", None, None) }
}

/// A stream that takes events of any page.
pub(crate) fn open() -> Stream {
    let cors = Cors { origins: None, credentials: false, max_age: Duration::from_secs(600) };
    Stream { cors: Some(cors), ..stream("open", None, None) }
}

/// A stream whose documents are cut into events, and looked up.
pub(crate) fn departures() -> Stream {
    let pointer = |text| JsonPointer::parse(text).expect("a pointer");
    let lookup = Lookup {
        name: "stops".into(),
        from: pointer("/stop"),
        matches: vec![Match::Exact],
        suffixes: String::new(),
        suffix_to: None,
        fields: vec!["name".into()],
        rows: [("A1".to_owned(), vec!["First Avenue".to_owned()])].into(),
        keeps_missing: true,
    };
    let at = StarPointer::parse("/departures/*").expect("a pointer");
    let shaping = Shaping {
        flatten: vec![Flatten { at, carry: Vec::new(), keeps_own: true }],
        lookups: vec![lookup],
        filter: Some(When::Has(vec![pointer("/at")])),
    };
    let content_hash = Some(ContentHash::Of(vec![pointer("/stop"), pointer("/at")]));
    Stream { shaping, content_hash, ..stream("departures", None, None) }
}

fn preflight(world: &World, stream: &str, origin: &str, headers: &str) -> RequestBuilder {
    world
        .http
        .request(Method::OPTIONS, format!("{}/v1/streams/{stream}/events", world.base))
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, headers)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("a response")
}

fn told<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_preflight_is_answered_to_listed_origins_alone() {
    let world = World::start().await;
    for origin in [PAGE, "http://localhost:3000"] {
        let asked = "Content-Type, idempotency-key,pipas-attribute-team, x-other";
        let response = sent(preflight(&world, "search", origin, asked)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(told(&response, "access-control-allow-origin"), Some(origin));
        assert_eq!(told(&response, "access-control-allow-credentials"), Some("true"));
        assert_eq!(told(&response, "access-control-allow-methods"), Some("POST"));
        assert_eq!(
            told(&response, "access-control-allow-headers"),
            Some("content-type, idempotency-key, pipas-attribute-team")
        );
        assert_eq!(told(&response, "access-control-max-age"), Some("600"));
        assert!(told(&response, "vary").is_some_and(|vary| vary.contains("origin")));
    }
    for other in ["https://www.example.com.evil.example", "http://www.example.com", "null", "https://WWW.example.com"] {
        let response = sent(preflight(&world, "search", other, "content-type")).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{other}");
        assert_eq!(told(&response, "access-control-allow-origin"), None, "{other}");
    }
    let response = sent(preflight(&world, "chat", PAGE, "content-type")).await;
    assert_eq!(told(&response, "access-control-allow-origin"), None, "a stream that lists none");
}

#[tokio::test]
async fn a_page_that_is_not_listed_publishes_nothing() {
    let world = World::start().await;
    let post = world.post("search", "{}").header("origin", "https://evil.example").header("content-type", "text/plain");
    let (status, problem) = answer(post).await;
    assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("urn:pipas:problem:origin-not-allowed")));
    assert!(world.data().is_empty());
    assert_eq!(world.counted("pipas_receiver_refused_requests_total", &["origin_not_allowed"]), 1.0);
    // A server has no origin, and a stream without `cors` asks for none.
    assert_eq!(answer(world.post("search", "{}")).await.0, StatusCode::OK);
    assert_eq!(answer(world.post("chat", "{}").header("origin", "https://evil.example")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn beacons_are_taken_as_json() {
    let world = World::start().await;
    let event = r#"{"query": "lamp"}"#;
    // A string; a Blob of that type; a Blob without a type, which sends none.
    for content_type in [Some("text/plain;charset=UTF-8"), Some("application/json"), None] {
        world.peer.state().messages.clear();
        let mut post = world.post("search", event).header("origin", PAGE);
        if let Some(content_type) = content_type {
            post = post.header("content-type", content_type);
        }
        let response = sent(post).await;
        assert_eq!(response.status(), StatusCode::OK, "{content_type:?}");
        assert_eq!(told(&response, "access-control-allow-origin"), Some(PAGE));
        assert_eq!(told(&response, "access-control-allow-credentials"), Some("true"));
        assert_eq!(world.data(), [event], "{content_type:?}");
    }
    let refused = sent(world.post("search", "oops").header("origin", PAGE)).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(told(&refused, "access-control-allow-origin"), Some(PAGE), "a page may read why");
}

#[tokio::test]
async fn any_origin_is_one_without_credentials() {
    let world = World::start().await;
    let response = sent(preflight(&world, "open", "https://anyone.example", "content-type")).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(told(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(told(&response, "access-control-allow-credentials"), None);
    let response = sent(world.post("open", "{}").header("origin", "https://anyone.example")).await;
    assert_eq!((response.status(), told(&response, "access-control-allow-origin")), (StatusCode::OK, Some("*")));
}

#[tokio::test]
async fn a_document_is_cut_into_its_events() {
    let world = World::start().await;
    let document = json!({ "departures": [
        { "stop": "A1", "at": 10 }, { "stop": "B2", "at": 20, "note": "late" }, { "stop": "A1" },
    ] });
    let (status, said) = answer(world.post("departures", document.to_string())).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!((&said["accepted"], &said["filtered"]), (&json!(2), &json!(1)));
    assert_eq!(said["not_found"], json!({ "stops": ["B2"] }));
    let sent: Vec<Value> = world.data().iter().map(|data| serde_json::from_str(data).expect("JSON")).collect();
    assert_eq!(
        sent,
        [json!({ "stop": "A1", "at": 10, "name": "First Avenue" }), json!({ "stop": "B2", "at": 20, "note": "late" })]
    );
    let again = json!({ "departures": [{ "at": 2e1, "stop": "B2", "note": "later" }] });
    let (_, repeated) = answer(world.post("departures", again.to_string())).await;
    assert_eq!(repeated["event_ids"][0], said["event_ids"][1], "the same content is the same event");
    assert_eq!(world.counted("pipas_receiver_filtered_events_total", &["departures"]), 1.0);
    assert_eq!(world.counted("pipas_receiver_lookups_not_found_total", &["stops", "departures"]), 2.0);
    let (status, problem) = answer(world.post("departures", "{\"departures\": [\n1]}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["errors"][0]["detail"], "expected an object as an event, found a number at /departures/0");
    let (status, nothing) = answer(world.post("departures", "{}")).await;
    assert_eq!((status, &nothing["accepted"]), (StatusCode::OK, &json!(0)));
}
