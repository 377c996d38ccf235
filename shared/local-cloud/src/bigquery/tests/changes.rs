//! Change data: rows that take the place of others by their primary key, over the wire.

use googleapis::google::cloud::bigquery::storage::v1::row_error::RowErrorCode;
use serde_json::json;
use tonic::Code;

use super::*;

/// A row of the table `c`: `id INTEGER REQUIRED, region STRING, state STRING`, and what it does.
#[derive(Clone, PartialEq, prost::Message)]
struct Change {
    #[prost(int64, optional, tag = "1")]
    id: Option<i64>,
    #[prost(string, optional, tag = "2")]
    region: Option<String>,
    #[prost(string, optional, tag = "3")]
    state: Option<String>,
    #[prost(string, optional, tag = "4")]
    kind: Option<String>,
    #[prost(string, optional, tag = "5")]
    sequence: Option<String>,
}

const CHANGED: &str = "projects/p/datasets/d/tables/c/streams/_default";

fn fields() -> Vec<FieldDescriptorProto> {
    vec![
        field("id", 1, Type::Int64),
        field("region", 2, Type::String),
        field("state", 3, Type::String),
        field("_CHANGE_TYPE", 4, Type::String),
        field("_CHANGE_SEQUENCE_NUMBER", 5, Type::String),
    ]
}

/// `id region state kind sequence`; `-` is NULL.
fn change(text: &str) -> Bytes {
    let parts: Vec<Option<String>> = text.split(' ').map(|part| (part != "-").then(|| part.to_owned())).collect();
    let [id, region, state, kind, sequence] = <[Option<String>; 5]>::try_from(parts).expect("five parts");
    let id = id.map(|id| id.parse().expect("a number"));
    Change { id, region, state, kind, sequence }.encode_to_vec().into()
}

fn changes(stream: &str, rows: &[&str]) -> AppendRowsRequest {
    raw_request(stream, None, Some(descriptor(fields())), rows.iter().map(|row| change(row)).collect())
}

fn table(id: &str, key: Value) -> Value {
    json!({
        "tableReference": {"projectId": "p", "datasetId": "d", "tableId": id},
        "schema": {"fields": [
            {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
            {"name": "region", "type": "STRING"},
            {"name": "state", "type": "STRING"},
        ]},
        "tableConstraints": {"primaryKey": {"columns": key}},
        "maxStaleness": "0-0 0 0:15:0",
    })
}

impl World {
    /// With the table `c`, whose primary key is `region` and `id`.
    async fn with_changes(dir: Option<&Path>) -> Self {
        let world = Self::with_table(dir).await;
        world.call("POST", "/datasets/d/tables", Some(table("c", json!(["region", "id"])))).await.expect(200);
        world
    }

    /// What a query shows of `c`.
    async fn states(&self) -> Vec<String> {
        let sql = "SELECT CONCAT(IFNULL(region, '-'), CAST(id AS STRING), state) FROM d.c ORDER BY 1";
        let body = json!({"query": sql, "useLegacySql": false});
        let answer = self.call("POST", "/queries", Some(body)).await.expect(200);
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["f"][0]["v"].as_str().expect("text").to_owned()).collect()
    }
}

#[tokio::test]
async fn queries_see_the_newest_row_of_each_key_over_restarts() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut world = World::with_changes(Some(dir.path())).await;
    let first = ["1 eu new UPSERT 1", "2 eu new UPSERT 1", "1 - new UPSERT 1", "1 us new UPSERT 1"];
    taken(&world.append(changes(CHANGED, &first)).await);
    assert_eq!(world.states().await, ["-1new", "eu1new", "eu2new", "us1new"]);
    let later = ["1 eu paid UPSERT A", "2 eu gone DELETE A", "1 - paid UPSERT 2/1", "1 us late UPSERT 0"];
    taken(&world.append(changes(CHANGED, &later)).await);
    let shown = ["-1paid", "eu1paid", "us1new"];
    assert_eq!(world.states().await, shown);
    let listed = world.call("GET", "/datasets/d/tables/c/data", None).await.expect(200);
    assert_eq!((&listed["totalRows"], listed["rows"][0]["f"].as_array().map(Vec::len)), (&json!("3"), Some(3)));
    let resource = world.call("GET", "/datasets/d/tables/c", None).await.expect(200);
    assert_eq!(resource["tableConstraints"]["primaryKey"]["columns"], json!(["region", "id"]));
    assert_eq!((&resource["numRows"], &resource["maxStaleness"]), (&json!("3"), &json!("0-0 0 0:15:0")));
    assert_eq!(resource["schema"]["fields"].as_array().map(Vec::len), Some(3));
    world.stop().await;

    let mut world = World::start(Some(dir.path())).await;
    assert_eq!(world.states().await, shown);
    let resource = world.call("GET", "/datasets/d/tables/c", None).await.expect(200);
    assert_eq!(resource["tableConstraints"]["primaryKey"]["columns"], json!(["region", "id"]));
    // What was decided before the restart still counts.
    taken(&world.append(changes(CHANGED, &["1 eu late UPSERT 9", "2 eu late UPSERT 9", "1 us paid UPSERT 1"])).await);
    assert_eq!(world.states().await, ["-1paid", "eu1paid", "us1paid"]);
    let wider = json!({"schema": {"fields": [
        {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "region", "type": "STRING"},
        {"name": "state", "type": "STRING"},
        {"name": "note", "type": "STRING"},
    ]}});
    world.call("PATCH", "/datasets/d/tables/c", Some(wider)).await.expect(200);
    taken(&world.append(changes(CHANGED, &["2 eu again UPSERT B"])).await);
    let shown = ["-1paid", "eu1paid", "eu2again", "us1paid"];
    assert_eq!(world.states().await, shown);
    world.stop().await;
    let world = World::start(Some(dir.path())).await;
    assert_eq!(world.states().await, shown);
    world.stop().await;
}

#[tokio::test]
async fn many_changes_leave_one_row_a_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut world = World::with_changes(Some(dir.path())).await;
    let mut connection = world.connect(changes(CHANGED, &["0 eu s0 UPSERT 1"])).await;
    taken(&connection.next().await.expect("an answer"));
    // Enough small appends for several merges, on disk too.
    for round in 1..600_u64 {
        let row = format!("{} eu s{round} UPSERT {:X}", round % 10, round * 7919 % 600);
        connection.send(raw_request("", None, None, vec![change(&row)])).await;
        taken(&connection.next().await.expect("an answer"));
    }
    let expected: Vec<String> = (0..10)
        .map(|id| {
            let newest = (1..600_u64).filter(|round| round % 10 == id).max_by_key(|round| round * 7919 % 600);
            format!("eu{id}s{}", newest.expect("a round"))
        })
        .collect();
    assert_eq!(world.states().await, expected);
    drop(connection);
    world.stop().await;
    let world = World::start(Some(dir.path())).await;
    assert_eq!(world.states().await, expected);
    world.stop().await;
}

#[tokio::test]
async fn changes_need_a_primary_key_and_the_default_stream() {
    let mut world = World::with_changes(None).await;
    let without = descriptor(vec![field("id", 1, Type::String), field("_CHANGE_TYPE", 4, Type::String)]);
    let answer = world.append(raw_request(DEFAULT, None, Some(without), rows(&["a"]))).await;
    assert_eq!(refused(&answer), (Code::InvalidArgument, None));
    assert!(message(&answer).contains("primary keys"), "{answer:?}");

    let parent = "projects/p/datasets/d/tables/c".to_owned();
    let write_stream = Some(WriteStream { r#type: StreamType::Committed.into(), ..Default::default() });
    let request = CreateWriteStreamRequest { parent, write_stream };
    let stream = world.write.create_write_stream(request).await.expect("a stream").into_inner().name;
    let answer = world.append(changes(&stream, &["1 eu new UPSERT 1"])).await;
    assert_eq!(refused(&answer), (Code::InvalidArgument, None));
    assert!(message(&answer).contains("not a valid CHANGE_TYPE in insert mode: UPSERT"), "{answer:?}");
    // Plain rows are taken there, and by the default stream.
    let plain = descriptor(fields()[..3].to_vec());
    taken(&world.append(raw_request(&stream, Some(0), Some(plain.clone()), vec![change("1 eu new - -")])).await);
    taken(&world.append(raw_request(CHANGED, None, Some(plain), vec![change("1 eu twice - -")])).await);
    assert_eq!(world.states().await, ["eu1new", "eu1twice"]);
    taken(&world.append(changes(CHANGED, &["1 eu one UPSERT 1"])).await);
    assert_eq!(world.states().await, ["eu1one"]);
    world.stop().await;
}

#[tokio::test]
async fn bad_changes_are_named_row_by_row() {
    let mut world = World::with_changes(None).await;
    let bad = [
        "1 eu a UPSERT 1",
        "1 eu b INSERT 1",
        "1 eu c - 1",
        "1 eu d UPSERT -1",
        "1 eu e UPSERT 1/2/3/4/5",
        "- eu f UPSERT 1",
    ];
    let answer = world.append(changes(CHANGED, &bad)).await;
    assert_eq!(refused(&answer), (Code::InvalidArgument, None));
    let named: Vec<_> = answer.row_errors.iter().map(|error| (error.index, error.code())).collect();
    assert_eq!(named, [1, 2, 3, 4, 5].map(|index| (index, RowErrorCode::FieldsError)));
    assert!(world.states().await.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn primary_keys_are_checked_and_stay_once_there_are_changes() {
    let mut world = World::with_changes(None).await;
    for bad in [json!([]), json!(["none"]), json!(["id", "ID"]), json!(["state.x"])] {
        let answer = world.call("POST", "/datasets/d/tables", Some(table("bad", bad.clone()))).await;
        assert_eq!(answer.reason(400), "invalid", "{bad}");
    }
    let of_type = json!({
        "tableReference": {"tableId": "bad"},
        "schema": {"fields": [{"name": "id", "type": "FLOAT"}]},
        "tableConstraints": {"primaryKey": {"columns": ["id"]}},
    });
    assert_eq!(world.call("POST", "/datasets/d/tables", Some(of_type)).await.reason(400), "invalid");
    let key = |columns: Value| json!({"tableConstraints": {"primaryKey": {"columns": columns}}});
    assert_eq!(world.call("PATCH", "/datasets/d/tables/t", Some(key(json!(["none"])))).await.reason(400), "invalid");

    // A table gets its key later, and the rows that it has count.
    taken(&world.append(request(DEFAULT, None, &["a", "a", "b"])).await);
    world.call("PATCH", "/datasets/d/tables/t", Some(key(json!(["id"])))).await.expect(200);
    let mut fields = vec![field("id", 1, Type::String), field("n", 2, Type::Int64)];
    fields.push(field("_CHANGE_TYPE", 4, Type::String));
    let row = [rows(&["a"])[0].as_ref(), &[0x22, 6], b"UPSERT"].concat();
    taken(&world.append(raw_request(DEFAULT, None, Some(descriptor(fields)), vec![row.into()])).await);
    assert_eq!(world.ids().await, ["b", "a"]);
    let none = json!({"tableConstraints": null});
    assert_eq!(world.call("PATCH", "/datasets/d/tables/t", Some(none.clone())).await.reason(400), "invalid");
    world.call("PATCH", "/datasets/d/tables/c", Some(none)).await.expect(200);
    let delete = json!({"query": "DELETE FROM d.t WHERE id = 'a'", "useLegacySql": false});
    assert_eq!(world.call("POST", "/queries", Some(delete)).await.reason(400), "invalid");
    let truncate = json!({"query": "TRUNCATE TABLE d.t", "useLegacySql": false});
    world.call("POST", "/queries", Some(truncate)).await.expect(200);
    assert!(world.ids().await.is_empty());
    world.stop().await;
}

/// What a refusal says.
fn message(answer: &AppendRowsResponse) -> String {
    match &answer.response {
        Some(Response::Error(status)) => status.message.clone(),
        other => panic!("taken: {other:?}"),
    }
}
