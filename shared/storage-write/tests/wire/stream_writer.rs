use std::time::Duration;

use storage_write::{AppendError, StorageErrorCode, StreamWriter, WriteStreamName};
use tonic::Code;

use crate::{
    client, descriptor, rows,
    server::{Peer, Running, Step},
    soon, table, until,
};

fn writer(server: &Running) -> StreamWriter {
    let stream = WriteStreamName::of("p", &table("t"), "s1");
    let client = client(&server.endpoint, |config| config.reply_timeout = Duration::from_secs(5));
    client.stream_writer(stream, descriptor(&["a"]))
}

fn offsets(server: &Running) -> Vec<Option<i64>> {
    server.peer.with_seen(|seen| seen.iter().map(|seen| seen.request.offset).collect())
}

#[tokio::test]
async fn offsets_are_explicit() {
    let server = Peer::start([]);
    let mut writer = writer(&server);
    for (offset, texts) in [(0, &["1", "2"][..]), (2, &["3"])] {
        let appended = soon(writer.append(offset, rows(texts))).await.expect("appended");
        assert_eq!(appended.offset, Some(offset));
    }
    assert_eq!(offsets(&server), [Some(0), Some(2)]);
    let stream = server.peer.with_seen(|seen| seen[0].request.write_stream.clone());
    assert_eq!(stream, "projects/p/datasets/d/tables/t/streams/s1");
    soon(writer.close()).await;
}

#[tokio::test]
async fn the_same_bytes_go_again_over_a_new_connection() {
    let unknown = [
        Step::Error(Code::Aborted, None),
        Step::Break(Code::Unavailable, None),
        Step::Error(Code::AlreadyExists, Some(StorageErrorCode::OffsetAlreadyExists)),
    ];
    let server = Peer::start(unknown);
    let mut writer = writer(&server);
    for _ in 0..2 {
        let result = soon(writer.append(0, rows(&["1"]))).await;
        assert!(matches!(result, Err(AppendError::Ambiguous { sent: true, .. })), "{result:?}");
    }
    let result = soon(writer.append(0, rows(&["1"]))).await;
    assert!(matches!(result, Err(AppendError::AlreadyExists(_))), "{result:?}");
    assert_eq!(server.peer.rows(), [["1"], ["1"], ["1"]]);
    assert_eq!(server.peer.calls(), [0, 1, 2]);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_does_not_answer_for_the_next() {
    let server = Peer::start([Step::Silence]);
    let mut writer = writer(&server);
    tokio::select! {
        _ = writer.append(0, rows(&["1"])) => panic!("no answer"),
        () = until("the request", || server.peer.rows().len() == 1) => {}
    }
    let appended = soon(writer.append(0, rows(&["1"]))).await.expect("appended");
    assert_eq!(appended.offset, Some(0));
    assert_eq!(server.peer.calls(), [0, 1]);
}

#[tokio::test]
async fn a_new_descriptor_keeps_stream_and_offsets() {
    let server = Peer::start([]);
    let mut writer = writer(&server);
    soon(writer.append(0, rows(&["1"]))).await.expect("appended");
    writer.set_descriptor(descriptor(&["a", "b"]));
    soon(writer.append(1, rows(&["2"]))).await.expect("appended");
    assert_eq!(offsets(&server), [Some(0), Some(1)]);
    assert_eq!(server.peer.calls(), [0, 1]);
}
