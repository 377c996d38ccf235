//! The REST API.

use serde_json::json;

use super::*;

#[tokio::test]
async fn datasets_come_and_go() {
    let world = World::with_table(None).await;
    let twice = json!({"datasetReference": {"datasetId": "d"}});
    assert_eq!(world.call("POST", "/datasets", Some(twice)).await.reason(409), "duplicate");
    assert_eq!(world.call("GET", "/datasets/none", None).await.reason(404), "notFound");
    let dataset = world.call("PATCH", "/datasets/d", Some(json!({"description": "mine"}))).await.expect(200);
    assert_eq!(
        (&dataset["id"], &dataset["description"], &dataset["location"]),
        (&json!("p:d"), &json!("mine"), &json!("US"))
    );
    let list = world.call("GET", "/datasets", None).await.expect(200);
    assert_eq!(list["datasets"][0]["datasetReference"]["datasetId"], "d");
    assert_eq!(world.call("DELETE", "/datasets/d", None).await.reason(400), "resourceInUse");
    world.call("DELETE", "/datasets/d?deleteContents=true", None).await.expect(204);
    assert_eq!(world.call("GET", "/datasets/d", None).await.reason(404), "notFound");
    world.stop().await;
}

#[tokio::test]
async fn tables_are_created_changed_and_deleted() {
    let world = World::with_table(None).await;
    let reference = json!({"projectId": "p", "datasetId": "d", "tableId": "u"});
    let schema = json!({"fields": [{"name": "at", "type": "TIMESTAMP"}, {"name": "city", "type": "STRING"}]});
    let table = json!({
        "tableReference": reference,
        "schema": schema,
        "description": "orders",
        "timePartitioning": {"type": "DAY", "field": "at"},
        "clustering": {"fields": ["city"]},
    });
    let created = world.call("POST", "/datasets/d/tables", Some(table.clone())).await.expect(200);
    assert_eq!(created["timePartitioning"]["field"], "at");
    assert_eq!(created["numRows"], "0");
    assert!(created["creationTime"].as_str().expect("text").len() == 13);
    assert_eq!(world.call("POST", "/datasets/d/tables", Some(table)).await.reason(409), "duplicate");
    for bad in [
        json!({"tableReference": {"tableId": "v"}, "schema": {"fields": [{"name": "a", "type": "NOPE"}]}}),
        json!({"tableReference": {"tableId": "v"}, "schema": schema, "clustering": {"fields": ["none"]}}),
        json!({"tableReference": {"tableId": "v"}, "schema": schema, "timePartitioning": {"type": "DAY", "field": "city"}}),
        json!({"tableReference": {"tableId": "a b"}, "schema": schema}),
    ] {
        assert_eq!(world.call("POST", "/datasets/d/tables", Some(bad)).await.reason(400), "invalid");
    }
    let dropped = json!({"schema": {"fields": [{"name": "at", "type": "TIMESTAMP"}]}});
    assert_eq!(world.call("PATCH", "/datasets/d/tables/u", Some(dropped)).await.reason(400), "invalid");
    let patched = world.call("PATCH", "/datasets/d/tables/u", Some(json!({"description": null}))).await.expect(200);
    assert!(patched.get("description").is_none() && patched["etag"] != created["etag"]);
    let list = world.call("GET", "/datasets/d/tables?maxResults=1", None).await.expect(200);
    assert_eq!((&list["totalItems"], &list["tables"][0]["tableReference"]["tableId"]), (&json!(2), &json!("t")));
    let next =
        format!("/datasets/d/tables?maxResults=1&pageToken={}", list["nextPageToken"].as_str().expect("a token"));
    let list = world.call("GET", &next, None).await.expect(200);
    assert_eq!(list["tables"][0]["tableReference"]["tableId"], "u");
    assert!(list.get("nextPageToken").is_none());
    world.call("DELETE", "/datasets/d/tables/u", None).await.expect(204);
    assert_eq!(world.call("GET", "/datasets/d/tables/u", None).await.reason(404), "notFound");
    world.stop().await;
}

#[tokio::test]
async fn errors_have_googles_form() {
    let world = World::with_table(None).await;
    let error = world.call("GET", "/datasets/d/tables/none", None).await.expect(404);
    assert_eq!(
        error,
        json!({"error": {
            "code": 404,
            "message": "Not found: Table d.none",
            "errors": [{"message": "Not found: Table d.none", "domain": "global", "reason": "notFound"}],
            "status": "NOT_FOUND",
        }})
    );
    let other = world.base.replace("projects/p", "projects/q");
    let answer = world.http.get(format!("{other}/datasets")).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 404);
    let bare = world.base.replace("/bigquery/v2", "");
    let answer = world.http.get(format!("{bare}/datasets/d")).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let load = json!({"configuration": {"load": {"sourceUris": ["gs://b/o"]}}});
    assert_eq!(world.call("POST", "/jobs", Some(load)).await.reason(501), "notImplemented");
    for kind in ["upload", "resumable/upload"] {
        let upload = format!(
            "{}/jobs?uploadType=multipart",
            world.base.replace("/bigquery/v2", &format!("/{kind}/bigquery/v2"))
        );
        let answer = world.http.post(upload).body("--boundary").send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 501, "{kind}");
        let error: Value = answer.json().await.expect("JSON");
        assert_eq!(error["error"]["message"], "A load job is not supported by the local BigQuery");
    }
    let legacy = json!({"query": "SELECT 1", "useLegacySql": true});
    assert_eq!(world.call("POST", "/queries", Some(legacy)).await.reason(501), "notImplemented");
    world.stop().await;
}

#[tokio::test]
async fn compressed_requests_are_read_whole() {
    let world = World::with_table(None).await;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).expect("written");
        encoder.finish().expect("finished")
    };
    let query = async |encoding: &str, body: Vec<u8>| {
        let url = format!("{}/queries", world.base);
        let answer = world.http.post(url).header("content-encoding", encoding).body(body).send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let members = [gzip(r#"{"query": "#), gzip(r#""SELECT 7"}"#)].concat();
    for encoding in ["gzip", "X-GZip"] {
        let (status, answer) = query(encoding, members.clone()).await;
        assert_eq!((status, &answer["rows"][0]["f"][0]["v"]), (200, &json!("7")), "{answer}");
    }
    let cut = members[..members.len() - 4].to_vec();
    for (status, encoding, body) in [(400, "gzip", cut), (400, "gzip", b"plain".to_vec()), (415, "br", members)] {
        let (found, answer) = query(encoding, body).await;
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(status)), "{answer}");
    }
    world.stop().await;
}

#[tokio::test]
async fn rows_of_every_type_go_in_and_come_out() {
    let world = World::with_table(None).await;
    let types = [
        ("string", "STRING", json!("é"), json!("é")),
        ("bytes", "BYTES", json!("AAH/"), json!("AAH/")),
        ("integer", "INT64", json!("-5"), json!("-5")),
        ("float", "FLOAT64", json!(1), json!("1.0")),
        ("boolean", "BOOL", json!("true"), json!("true")),
        ("numeric", "NUMERIC", json!("12.50"), json!("12.5")),
        ("bignumeric", "BIGNUMERIC", json!(3), json!("3")),
        ("date", "DATE", json!("2024-02-01"), json!("2024-02-01")),
        ("time", "TIME", json!("10:04:46.5"), json!("10:04:46.500000")),
        ("datetime", "DATETIME", json!("2024-02-01 10:04:46"), json!("2024-02-01T10:04:46")),
        ("timestamp", "TIMESTAMP", json!("2024-02-01T10:04:46Z"), json!("1.706781886E9")),
        ("geography", "GEOGRAPHY", json!("POINT(1 2)"), json!("POINT(1 2)")),
        ("json", "JSON", json!("{\"a\": [1, 2]}"), json!("{\"a\":[1,2]}")),
    ];
    let columns = types.iter().map(|(name, kind, ..)| json!({"name": name, "type": kind}));
    let columns: Vec<Value> = columns
        .chain([
            json!({"name": "list", "type": "INT64", "mode": "REPEATED"}),
            json!({"name": "record", "type": "RECORD", "fields": [{"name": "x", "type": "STRING"}]}),
        ])
        .collect();
    let table = json!({"tableReference": {"tableId": "all"}, "schema": {"fields": columns}});
    world.call("POST", "/datasets/d/tables", Some(table)).await.expect(200);
    let mut full: serde_json::Map<String, Value> =
        types.iter().map(|(name, _, given, _)| ((*name).to_owned(), given.clone())).collect();
    full.insert("list".into(), json!([1, 2]));
    full.insert("record".into(), json!({"x": "y"}));
    let insert = json!({"rows": [{"insertId": "1", "json": full}, {"insertId": "2", "json": {}}]});
    let answer = world.call("POST", "/datasets/d/tables/all/insertAll", Some(insert)).await.expect(200);
    assert!(answer.get("insertErrors").is_none(), "{answer}");
    let data = world.call("GET", "/datasets/d/tables/all/data?maxResults=1", None).await.expect(200);
    let mut expected: Vec<Value> = types.iter().map(|(.., shown)| json!({"v": shown})).collect();
    expected.push(json!({"v": [{"v": "1"}, {"v": "2"}]}));
    expected.push(json!({"v": {"f": [{"v": "y"}]}}));
    assert_eq!(data["rows"][0]["f"], json!(expected));
    let path = "/datasets/d/tables/all/data?selectedFields=timestamp,list&formatOptions.useInt64Timestamp=True";
    let data = world.call("GET", path, None).await.expect(200);
    assert_eq!(data["rows"][0]["f"], json!([{"v": "1706781886000000"}, {"v": [{"v": "1"}, {"v": "2"}]}]));
    assert_eq!(data["rows"][1]["f"], json!([{"v": null}, {"v": []}]));
    world.stop().await;
}

#[tokio::test]
async fn bad_rows_of_an_insert_are_named() {
    let world = World::with_table(None).await;
    let rows = json!([{"json": {"id": "a"}}, {"json": {"id": "b", "n": "x"}}, {"json": {"n": 1}}]);
    let insert = |extra: Value| {
        let mut body = json!({"rows": rows});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        world.call("POST", "/datasets/d/tables/t/insertAll", Some(body))
    };
    let answer = insert(json!({})).await.expect(200);
    let reasons = |answer: &Value| -> Vec<(i64, String)> {
        let errors = answer["insertErrors"].as_array().expect("errors").iter();
        errors
            .map(|error| {
                let reason = error["errors"][0]["reason"].as_str().expect("a reason");
                (error["index"].as_i64().expect("an index"), reason.to_owned())
            })
            .collect()
    };
    let expected = [(1, "invalid".to_owned()), (2, "invalid".to_owned()), (0, "stopped".to_owned())];
    assert_eq!(reasons(&answer), expected);
    assert!(world.ids().await.is_empty());
    let answer = insert(json!({"skipInvalidRows": true})).await.expect(200);
    assert_eq!(reasons(&answer), expected[..2]);
    assert_eq!(world.ids().await, ["a"]);
    world.stop().await;
}
