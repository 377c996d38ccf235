use storage_write::{StorageErrorCode, WriteStreamName};
use tonic::Code;

use crate::{client, server::Peer, soon, table};

#[tokio::test]
async fn streams_are_made_ended_and_looked_at() {
    let server = Peer::start([]);
    let client = client(&server.endpoint, |_| {});
    let stream = soon(client.create_write_stream(&table("t"))).await.expect("a stream");
    // COMMITTED is 1.
    assert_eq!(stream, WriteStreamName::of("p", &table("t"), "type1"));
    assert_eq!(soon(client.finalize(&stream)).await, Ok(42));
    let state = soon(client.get_write_stream(&stream)).await.expect("a state");
    assert_eq!((state.name, state.created_at.map(|time| time.as_second())), (stream, Some(7)));
    let table = "projects%2Fp%2Fdatasets%2Fd%2Ftables%2Ft";
    let name = format!("name={table}%2Fstreams%2Ftype1");
    assert_eq!(server.peer.routing(), [format!("parent={table}"), name.clone(), name]);
}

#[tokio::test]
async fn failed_calls_say_what_they_were_about() {
    let server = Peer::start([]);
    let error =
        soon(client(&server.endpoint, |_| {}).create_write_stream(&table("absent"))).await.expect_err("an error");
    assert!(error.is_not_found() && !error.is_passing());
    assert_eq!(error.fault.storage, Some(StorageErrorCode::TableNotFound));
    assert!(error.to_string().starts_with("CreateWriteStream of projects/p/datasets/d/tables/absent: "), "{error}");
    let unreachable = client("http://127.0.0.1:1", |_| {});
    let error = soon(unreachable.finalize(&WriteStreamName::of("p", &table("t"), "s"))).await.expect_err("an error");
    assert!(error.fault.code == Code::Unavailable && error.is_passing(), "{error}");
}
