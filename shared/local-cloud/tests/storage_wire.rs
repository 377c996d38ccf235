//! The local Cloud Storage as a client without a library sees it: JSON over HTTP.

use std::path::Path;

use local_cloud::{Action, Faults, LocalCloud, Options, Rule, When};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};

const QUANTUM: usize = 256 << 10;

struct World {
    cloud: LocalCloud,
    base: String,
    http: Client,
}

impl World {
    async fn start(folder: Option<&Path>) -> Self {
        Self::start_with(folder, Faults::default()).await
    }

    async fn start_with(folder: Option<&Path>, faults: Faults) -> Self {
        let options = Options { data_dir: folder.map(Path::to_owned), faults, ..Options::default() };
        let cloud = LocalCloud::start(options).await.expect("the local cloud");
        let base = cloud.endpoints().storage.clone();
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { cloud, base, http }
    }

    async fn with_bucket(self) -> Self {
        let made = self.call(Method::POST, "/storage/v1/b?project=p").json(&json!({ "name": "bucket" }));
        assert_eq!(made.send().await.expect("an answer").status(), 200);
        self
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn put(&self, name: &str, query: &str, bytes: impl Into<reqwest::Body>) -> Response {
        let path = format!("/upload/storage/v1/b/bucket/o?uploadType=media{query}");
        let request =
            self.call(Method::POST, &path).query(&[("name", name)]).header(header::CONTENT_TYPE, "text/plain");
        request.body(bytes).send().await.expect("an answer")
    }

    async fn get(&self, name: &str) -> Response {
        let path = format!("/storage/v1/b/bucket/o/{}?alt=media", encode(name));
        self.call(Method::GET, &path).send().await.expect("an answer")
    }

    async fn json(&self, method: Method, path: &str) -> (StatusCode, Value) {
        let answer = self.call(method, path).send().await.expect("an answer");
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn begin(&self, name: &str) -> String {
        let path = "/upload/storage/v1/b/bucket/o?uploadType=resumable&ifGenerationMatch=0";
        let answer = self.call(Method::POST, path).json(&json!({ "name": name })).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.headers()[header::LOCATION].to_str().expect("a URL").to_owned()
    }

    async fn chunk(&self, session: &str, range: &str, bytes: &[u8]) -> Response {
        let request = self.http.put(session).header(header::CONTENT_RANGE, range).body(bytes.to_vec());
        request.send().await.expect("an answer")
    }
}

fn encode(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn reason(body: &Value) -> &str {
    body.pointer("/error/errors/0/reason").and_then(Value::as_str).unwrap_or_default()
}

fn persisted(answer: &Response) -> (u16, Option<&str>) {
    (answer.status().as_u16(), answer.headers().get(header::RANGE).map(|range| range.to_str().expect("text")))
}

#[tokio::test]
async fn preconditions_hold_on_every_verb() {
    let world = World::start(None).await.with_bucket().await;
    let object: Value = world.put("a", "&ifGenerationMatch=0", "1").await.json().await.expect("json");
    let generation = object["generation"].as_str().expect("a generation").to_owned();
    assert_eq!(object["size"], "1");
    assert_eq!(object["metageneration"], "1");

    let refused = world.put("a", "&ifGenerationMatch=0", "2").await;
    assert_eq!(refused.status(), 412);
    assert_eq!(reason(&refused.json().await.expect("json")), "conditionNotMet");
    for (method, query, expected) in [
        (Method::GET, "ifGenerationMatch=1", 412),
        (Method::GET, &format!("ifGenerationNotMatch={generation}"), 304),
        (Method::GET, &format!("generation={generation}"), 200),
        (Method::GET, "generation=1", 404),
        (Method::GET, "ifGenerationMatch=x", 400),
        (Method::PATCH, "ifMetagenerationMatch=2", 412),
        (Method::PATCH, "ifMetagenerationMatch=1", 200),
        (Method::DELETE, "ifMetagenerationMatch=1", 412),
        (Method::DELETE, "ifGenerationMatch=1", 412),
        (Method::POST, "", 501),
        (Method::DELETE, &format!("ifGenerationMatch={generation}&ifMetagenerationMatch=2"), 204),
        (Method::DELETE, "", 404),
    ] {
        let (status, body) = world.json(method.clone(), &format!("/storage/v1/b/bucket/o/a?{query}")).await;
        assert_eq!(status, expected, "{method} {query}: {body}");
    }
    let missing = world.put("a", &format!("&ifGenerationMatch={generation}"), "2").await;
    assert_eq!(missing.status(), 412);
    world.cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn a_resumable_upload_is_exact_about_what_persists() {
    let faults = Faults::default();
    let world = World::start_with(None, faults.clone()).await.with_bucket().await;
    let bytes = pattern(5 * QUANTUM + 7);
    let session = world.begin("big").await;
    assert!(session.starts_with(&world.base), "{session}");

    assert_eq!(persisted(&world.chunk(&session, "bytes */*", b"").await), (308, None));
    let first = world.chunk(&session, &format!("bytes 0-{}/*", QUANTUM - 1), &bytes[..QUANTUM]).await;
    assert_eq!(persisted(&first), (308, Some("bytes=0-262143")));
    // A chunk that is no multiple of the quantum, a gap, and a body that is not what the range says change nothing.
    for (range, part, expected) in [
        (format!("bytes {QUANTUM}-{}/*", QUANTUM + 9), &bytes[..10], 400),
        (format!("bytes {}-{}/*", 2 * QUANTUM, 3 * QUANTUM - 1), &bytes[..QUANTUM], 503),
    ] {
        assert_eq!(world.chunk(&session, &range, part).await.status(), expected, "{range}");
    }
    // The server keeps less than was sent: it says so, and the next chunk begins inside the last one.
    faults.inject(Rule::new("storage/partial-persist", When::Next(1), Action::ApplyThenFail));
    let range = format!("bytes {QUANTUM}-{}/*", 4 * QUANTUM - 1);
    let cut = world.chunk(&session, &range, &bytes[QUANTUM..4 * QUANTUM]).await;
    assert_eq!(persisted(&cut), (308, Some("bytes=0-524287")));
    assert_eq!(world.get("big").await.status(), 404, "nothing is visible before the end");
    // Bytes that are there already are passed over.
    let range = format!("bytes {QUANTUM}-{}/{}", bytes.len() - 1, bytes.len());
    let last = world.chunk(&session, &range, &bytes[QUANTUM..]).await;
    assert_eq!(last.status(), 200);
    let object: Value = last.json().await.expect("json");
    assert_eq!(object["size"], bytes.len().to_string());
    let again = world.chunk(&session, "bytes */*", b"").await;
    assert_eq!(again.json::<Value>().await.expect("json")["generation"], object["generation"]);
    assert!(world.get("big").await.bytes().await.expect("bytes") == bytes);

    // The end may be known only at the end, or there may be nothing at all.
    let session = world.begin("unknown").await;
    let range = format!("bytes 0-{}/*", QUANTUM - 1);
    world.chunk(&session, &range, &bytes[..QUANTUM]).await;
    assert_eq!(world.chunk(&session, &format!("bytes */{QUANTUM}"), b"").await.status(), 200);
    assert!(world.get("unknown").await.bytes().await.expect("bytes") == bytes[..QUANTUM]);
    let session = world.begin("empty").await;
    assert_eq!(world.chunk(&session, "bytes */0", b"").await.status(), 200);

    let session = world.begin("cancelled").await;
    assert_eq!(world.http.delete(&session).send().await.expect("an answer").status(), 499);
    assert_eq!(world.chunk(&session, "bytes */*", b"").await.status(), 404);
    assert_eq!(world.chunk(&format!("{session}/../x"), "bytes */*", b"").await.status(), 404);
    world.cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn what_arrives_damaged_is_refused() {
    let world = World::start(None).await.with_bucket().await;
    let path = "/upload/storage/v1/b/bucket/o?uploadType=media&name=x";
    let send = |hash: &'static str| world.call(Method::POST, path).header("x-goog-hash", hash).body("hello").send();
    assert_eq!(send("crc32c=mnG7TA==").await.expect("an answer").status(), 200);
    let refused = send("crc32c=AAAAAA==").await.expect("an answer");
    assert_eq!(refused.status(), 400);
    let session = world.begin("y").await;
    let last = world.http.put(&session).header("x-goog-hash", "md5=AAAAAAAAAAAAAAAAAAAAAA==").body("hello");
    assert_eq!(last.send().await.expect("an answer").status(), 400);
    assert_eq!(world.chunk(&session, "bytes */5", b"").await.status(), 404, "the upload is over");
    assert_eq!(world.get("y").await.status(), 404);
    world.cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn everything_is_there_after_a_restart_even_an_upload_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = pattern(2 * QUANTUM);
    let world = World::start(Some(folder.path())).await.with_bucket().await;
    world.put("a/b.txt", "", "kept").await;
    world.put("a/gone.txt", "", "gone").await;
    world.json(Method::DELETE, "/storage/v1/b/bucket/o/a%2Fgone.txt").await;
    let before = world.json(Method::GET, "/storage/v1/b/bucket/o/a%2Fb.txt").await.1;
    let session = world.begin("later").await;
    world.chunk(&session, &format!("bytes 0-{}/*", QUANTUM - 1), &bytes[..QUANTUM]).await;
    let old_base = world.base.clone();
    world.cloud.shutdown().await.expect("a clean end");
    assert_eq!(std::fs::read(folder.path().join("storage/bucket/a/b.txt")).expect("a plain file"), b"kept");

    let world = World::start(Some(folder.path())).await;
    let mut after = world.json(Method::GET, "/storage/v1/b/bucket/o/a%2Fb.txt").await.1;
    for link in ["selfLink", "mediaLink"] {
        after[link] = after[link].as_str().expect("a link").replace(&world.base, &old_base).into();
    }
    assert_eq!(after, before);
    let (_, list) = world.json(Method::GET, "/storage/v1/b/bucket/o").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let session = session.replace(&old_base, &world.base);
    assert_eq!(persisted(&world.chunk(&session, "bytes */*", b"").await), (308, Some("bytes=0-262143")));
    let range = format!("bytes {QUANTUM}-{}/{}", 2 * QUANTUM - 1, 2 * QUANTUM);
    assert_eq!(world.chunk(&session, &range, &bytes[QUANTUM..]).await.status(), 200);
    assert!(world.get("later").await.bytes().await.expect("bytes") == bytes);
    // A later generation is later, whatever the clock did.
    let object: Value = world.put("a/b.txt", "", "new").await.json().await.expect("json");
    let number = |value: &Value| value["generation"].as_str().and_then(|text| text.parse::<i64>().ok());
    assert!(number(&object) > number(&before));
    world.cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn names_are_names_and_never_paths() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "é/".repeat(340);
    let names = [
        "a",
        "a/b",
        "a/b/c",
        "A",
        "..",
        "../../../x",
        "../bucket2/x",
        "/etc/passwd",
        "a//b",
        "a/",
        "a/../b",
        ".pipas/buckets/x",
        ".names/a_",
        "con",
        "a\\b",
        "a\0b",
        "%2e%2e%2f",
        "x%2fy",
        "x/y",
        " ",
        &long,
        "日本/語",
    ];
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "..").collect(); // ".." is no object name
    for _ in 0..2 {
        let world = World::start(Some(folder.path())).await;
        world.call(Method::POST, "/storage/v1/b").json(&json!({ "name": "bucket" })).send().await.expect("an answer");
        for name in &names {
            let answer = world.put(name, "", (*name).to_owned()).await;
            assert_eq!(answer.status(), 200, "{name:?}");
        }
        for name in &names {
            assert_eq!(world.get(name).await.text().await.expect("text"), *name);
        }
        let (_, list) = world.json(Method::GET, "/storage/v1/b/bucket/o").await;
        let listed: Vec<_> =
            list["items"].as_array().expect("items").iter().map(|item| item["name"].as_str()).collect();
        let mut expected: Vec<_> = names.iter().map(|name| Some(*name)).collect();
        expected.sort_unstable();
        assert_eq!(listed, expected);
        for bucket in ["..", ".pipas", "a/b", "A", "a..b"] {
            let made = world.call(Method::POST, "/storage/v1/b").json(&json!({ "name": bucket }));
            assert_eq!(made.send().await.expect("an answer").status(), 400, "{bucket}");
        }
        assert_eq!(world.put("..", "", "x").await.status(), 400);
        world.cloud.shutdown().await.expect("a clean end");
        let outside: Vec<_> = std::fs::read_dir(folder.path().join("storage")).expect("the folder").flatten().collect();
        let outside: Vec<_> = outside.iter().map(std::fs::DirEntry::file_name).collect();
        assert_eq!(outside.len(), 2, "{outside:?}: the bucket, and the hidden folder");
    }
    let world = World::start(Some(folder.path())).await;
    for name in &names {
        let (status, _) = world.json(Method::DELETE, &format!("/storage/v1/b/bucket/o/{}", encode(name))).await;
        assert_eq!(status, 204, "{name:?}");
    }
    assert_eq!(world.json(Method::DELETE, "/storage/v1/b/bucket").await.0, 204);
    assert!(!folder.path().join("storage/bucket").exists(), "nothing is left of it");
    world.cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn lists_have_pages_prefixes_and_ranges() {
    let world = World::start(None).await.with_bucket().await;
    for name in ["a/1", "a/2", "a/b/3", "b", "c/", "c/4"] {
        world.put(name, "", "x").await;
    }
    for (query, items, prefixes) in [
        ("", "a/1 a/2 a/b/3 b c/ c/4", ""),
        ("prefix=a/", "a/1 a/2 a/b/3", ""),
        ("delimiter=/", "b", "a/ c/"),
        ("delimiter=/&prefix=a/", "a/1 a/2", "a/b/"),
        ("delimiter=/&includeTrailingDelimiter=true", "b c/", "a/ c/"),
        ("startOffset=a/2&endOffset=c/", "a/2 a/b/3 b", ""),
        ("matchGlob=**/[1-3]", "a/1 a/2 a/b/3", ""),
        ("prefix=zzz", "", ""),
    ] {
        for size in [1, 2, 1000] {
            let (mut found, mut folded, mut token) = (Vec::new(), Vec::new(), String::new());
            loop {
                let path = format!("/storage/v1/b/bucket/o?{query}&maxResults={size}&pageToken={token}");
                let (_, page) = world.json(Method::GET, &path).await;
                let all = |key: &str| page[key].as_array().cloned().unwrap_or_default();
                found.extend(all("items").iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
                folded.extend(all("prefixes").iter().map(|prefix| prefix.as_str().expect("a prefix").to_owned()));
                let Some(next) = page["nextPageToken"].as_str() else { break };
                token = next.to_owned();
            }
            assert_eq!(
                (found.join(" ").as_str(), folded.join(" ").as_str()),
                (items, prefixes),
                "{query}, pages of {size}"
            );
        }
    }
    world.cloud.shutdown().await.expect("a clean end");
}

#[tokio::test]
async fn ranges_headers_and_refusals() {
    let world = World::start(None).await.with_bucket().await;
    world.put("a", "", "0123456789").await;
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=8-", 206, "89", "bytes 8-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
    ] {
        let path = "/download/storage/v1/b/bucket/o/a?alt=media";
        let answer = world.call(Method::GET, path).header(header::RANGE, range).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{range}");
        assert_eq!(answer.headers()[header::CONTENT_RANGE], content_range);
        assert_eq!(answer.headers().contains_key("x-goog-hash"), status == 206);
        if status == 206 {
            assert_eq!(answer.text().await.expect("text"), body);
        }
    }
    let (status, body) = world.json(Method::POST, "/batch/storage/v1").await;
    assert_eq!((status.as_u16(), reason(&body)), (501, "notImplemented"));
    let message = body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("batch"), "{message}");
    let (status, body) = world.json(Method::GET, "/storage/v1/b/none/o").await;
    assert_eq!((status.as_u16(), reason(&body)), (404, "notFound"));
    world.cloud.shutdown().await.expect("a clean end");
}
