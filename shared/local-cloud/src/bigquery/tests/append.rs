//! AppendRows: the default stream, schemas, bad rows, faults.

use std::time::{Duration, Instant};

use googleapis::google::cloud::bigquery::storage::v1::{row_error::RowErrorCode, storage_error::StorageErrorCode};
use prost_types::field_descriptor_proto::{Label, Type};
use serde_json::json;
use tonic::Code;

use super::*;
use crate::faults::{Action, Rule, When};

#[tokio::test]
async fn the_default_stream_takes_rows_under_both_names() {
    let mut world = World::with_table(None).await;
    let mut connection = world.connect(request(DEFAULT, None, &["a", "b"])).await;
    assert_eq!(taken(&connection.next().await.expect("an answer")), None);
    connection.send(raw_request("", None, None, rows(&["c"]))).await;
    let answer = connection.next().await.expect("an answer");
    assert_eq!((taken(&answer), answer.write_stream.as_str()), (None, DEFAULT));
    let legacy = "projects/p/datasets/d/tables/t/_default";
    assert_eq!(taken(&world.append(request(legacy, None, &["d"])).await), None);
    assert_eq!(refused(&world.append(request(DEFAULT, Some(0), &["x"])).await).0, Code::InvalidArgument);
    assert_eq!(world.ids().await, ["a", "b", "c", "d"]);
    world.stop().await;
}

#[tokio::test]
async fn one_connection_writes_several_tables() {
    let mut world = World::with_table(None).await;
    let other = json!({
        "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "u"},
        "schema": {"fields": [{"name": "id", "type": "STRING"}, {"name": "n", "type": "INTEGER"}]},
    });
    world.call("POST", "/datasets/d/tables", Some(other)).await.expect(200);
    let second = "projects/p/datasets/d/tables/u/streams/_default";
    let mut connection = world.connect(request(DEFAULT, None, &["a"])).await;
    connection.send(raw_request(second, None, None, rows(&["no schema yet"]))).await;
    connection.send(request(second, None, &["b"])).await;
    connection.send(raw_request(DEFAULT, None, None, rows(&["c"]))).await;
    connection.send(raw_request("projects/p/datasets/d/tables/none/_default", None, None, rows(&["x"]))).await;
    connection.send(raw_request(second, None, None, rows(&["d"]))).await;
    taken(&connection.next().await.expect("an answer"));
    assert_eq!(refused(&connection.next().await.expect("an answer")), (Code::InvalidArgument, None));
    taken(&connection.next().await.expect("an answer"));
    taken(&connection.next().await.expect("an answer"));
    let missing = (Code::NotFound, Some(StorageErrorCode::TableNotFound));
    assert_eq!(refused(&connection.next().await.expect("an answer")), missing);
    taken(&connection.next().await.expect("an answer"));
    assert_eq!(world.ids().await, ["a", "c"]);
    world.stop().await;
}

#[tokio::test]
async fn bad_rows_are_named_and_nothing_is_applied() {
    let mut world = World::with_table(None).await;
    let mut bad = request(DEFAULT, None, &["a", "b", "c"]);
    if let Some(Rows::ProtoRows(data)) = &mut bad.rows {
        let rows = &mut data.rows.as_mut().expect("rows").serialized_rows;
        rows[1] = Row { id: None, n: Some(1) }.encode_to_vec().into();
        rows[2] = Bytes::from_static(&[0x0a, 0x7f]);
    }
    let answer = world.append(bad).await;
    assert_eq!(refused(&answer), (Code::InvalidArgument, None));
    let named: Vec<_> = answer.row_errors.iter().map(|error| (error.index, error.code())).collect();
    assert_eq!(named, [(1, RowErrorCode::FieldsError), (2, RowErrorCode::FieldsError)]);
    assert!(answer.row_errors[0].message.contains("id is required"), "{:?}", answer.row_errors);
    assert!(world.ids().await.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn descriptors_must_fit_the_table() {
    let mut world = World::with_table(None).await;
    let mut try_fields = async |fields| {
        let append = raw_request(DEFAULT, None, Some(descriptor(fields)), rows(&["a"]));
        refused(&world.append(append).await)
    };
    let extra = vec![field("id", 1, Type::String), field("zz", 2, Type::Int64)];
    let mismatch = (Code::InvalidArgument, Some(StorageErrorCode::SchemaMismatchExtraFields));
    assert_eq!(try_fields(extra).await, mismatch);
    let retyped = vec![field("id", 1, Type::String), field("n", 2, Type::String)];
    assert_eq!(try_fields(retyped).await, (Code::InvalidArgument, None));
    let change = vec![field("id", 1, Type::String), field("_CHANGE_TYPE", 2, Type::String)];
    assert_eq!(try_fields(change).await, (Code::InvalidArgument, None));
    let mut repeated = field("n", 2, Type::Int64);
    repeated.set_label(Label::Repeated);
    assert_eq!(try_fields(vec![field("id", 1, Type::String), repeated]).await, (Code::InvalidArgument, None));
    world.stop().await;
}

#[tokio::test]
async fn a_schema_update_is_told_once_and_new_columns_are_taken() {
    let mut world = World::with_table(None).await;
    let mut connection = world.connect(request(DEFAULT, None, &["a"])).await;
    assert!(connection.next().await.expect("an answer").updated_schema.is_none());
    let wider = json!({"schema": {"fields": [
        {"name": "id", "type": "STRING", "mode": "NULLABLE"},
        {"name": "n", "type": "INTEGER"},
        {"name": "tags", "type": "STRING", "mode": "REPEATED"},
        {"name": "x", "type": "FLOAT"},
    ]}});
    world.call("PATCH", "/datasets/d/tables/t", Some(wider)).await.expect(200);
    connection.send(raw_request("", None, None, rows(&["b"]))).await;
    let told = connection.next().await.expect("an answer");
    taken(&told);
    let names: Vec<_> = told.updated_schema.expect("the schema").fields.into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["id", "n", "tags", "x"]);
    let fields = vec![field("id", 1, Type::String), field("x", 9, Type::Float)];
    let row = [rows(&["c"])[0].as_ref(), &[0x4d, 0, 0, 0x20, 0x40]].concat();
    connection.send(raw_request("", None, Some(descriptor(fields)), vec![row.into()])).await;
    let answer = connection.next().await.expect("an answer");
    taken(&answer);
    assert!(answer.updated_schema.is_none());
    let data = world.call("GET", "/datasets/d/tables/t/data", None).await.expect(200);
    assert_eq!(data["rows"][0]["f"], json!([{"v": "a"}, {"v": "7"}, {"v": []}, {"v": null}]));
    assert_eq!(data["rows"][2]["f"], json!([{"v": "c"}, {"v": null}, {"v": []}, {"v": "2.5"}]));
    world.stop().await;
}

#[tokio::test]
async fn too_large_a_request_is_refused() {
    let mut world = World::with_table(None).await;
    let long = "x".repeat(21 << 20);
    let answer = world.append(request(DEFAULT, None, &[&long])).await;
    assert_eq!(refused(&answer), (Code::InvalidArgument, None));
    let nearly = "y".repeat(9 << 20);
    taken(&world.append(request(DEFAULT, None, &[&nearly, &nearly])).await);
    world.stop().await;
}

#[tokio::test]
async fn faults_happen_request_by_request() {
    let mut world = World::with_table(None).await;
    let inject = |world: &World, action| {
        world.faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Next(1), action));
    };
    let exhausted = Action::Error {
        code: Code::ResourceExhausted,
        message: "slow down".into(),
        storage_error: Some(StorageErrorCode::StreamFinalized),
    };
    inject(&world, exhausted);
    let mut connection = world.connect(request(DEFAULT, None, &["refused"])).await;
    let answer = connection.next().await.expect("an answer");
    assert_eq!(refused(&answer), (Code::ResourceExhausted, Some(StorageErrorCode::StreamFinalized)));
    connection.send(request("", None, &["a"])).await;
    taken(&connection.next().await.expect("an answer"));

    inject(&world, Action::ApplyThenFail);
    connection.send(request("", None, &["b"])).await;
    assert_eq!(connection.next().await.expect_err("lost").code(), Code::Unavailable);
    assert_eq!(world.ids().await, ["a", "b"]);

    inject(&world, Action::DropConnection);
    // The client may see it before or after the call is open.
    let requests = tokio_stream::iter([request(DEFAULT, None, &["dropped"])]);
    if let Ok(responses) = world.write.append_rows(requests).await {
        responses.into_inner().message().await.expect_err("the connection is gone");
    }
    assert_eq!(world.ids().await, ["a", "b"]);
    world.stop().await;
}

#[tokio::test]
async fn what_has_arrived_is_applied_though_its_client_is_gone() {
    let mut world = World::with_table(None).await;
    let late = Action::Delay(Duration::from_millis(300));
    world.faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Next(1), late));
    let connection = world.connect(request(DEFAULT, None, &["late"])).await;
    assert_eq!(world.ids().await, [""; 0]);
    drop(connection);
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.ids().await != ["late"] {
        assert!(Instant::now() < deadline, "the append never arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.stop().await;
}
