//! What was answered is found again, after a stop and after a kill.

use std::{fs, path::Path};

use googleapis::google::cloud::bigquery::storage::v1::FinalizeWriteStreamRequest;
use serde_json::json;
use tonic::Code;

use super::*;

/// The files as they are at this moment: what a killed process leaves behind.
fn killed(dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            let to = to.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("copied");
            }
        }
    }
    let left = tempfile::tempdir().expect("a folder");
    copy(dir, left.path());
    left
}

#[tokio::test]
async fn rows_offsets_and_hidden_rows_survive_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut world = World::with_table(Some(dir.path())).await;
    let committed = world.create(StreamType::Committed).await;
    let finalized = world.create(StreamType::Committed).await;
    let pending = world.create(StreamType::Pending).await;
    taken(&world.append(request(DEFAULT, None, &["a"])).await);
    taken(&world.append(request(&committed, Some(0), &["b", "c"])).await);
    taken(&world.append(request(&finalized, Some(0), &["d"])).await);
    taken(&world.append(request(&pending, Some(0), &["e"])).await);
    let wider = json!({"description": "wider", "schema": {"fields": [
        {"name": "id", "type": "STRING", "mode": "REQUIRED"},
        {"name": "n", "type": "INTEGER"},
        {"name": "x", "type": "BYTES"},
    ]}});
    world.call("PATCH", "/datasets/d/tables/t", Some(wider)).await.expect(200);
    let finalize = FinalizeWriteStreamRequest { name: finalized.clone() };
    world.write.finalize_write_stream(finalize.clone()).await.expect("finalized");
    let before = world.call("GET", "/datasets/d/tables/t", None).await.expect(200);

    let left = killed(dir.path());
    let mut again = World::start(Some(left.path())).await;
    assert_eq!(again.ids().await, ["a", "b", "c", "d"]);
    let mut after = again.call("GET", "/datasets/d/tables/t", None).await.expect(200);
    // Segments that were joined share their buffers for NULLs: the size may differ by bytes.
    after["numBytes"].clone_from(&before["numBytes"]);
    assert_eq!(after, before);
    assert_eq!(taken(&again.append(request(&committed, Some(2), &["f"])).await), Some(2));
    assert_eq!(refused(&again.append(request(&committed, Some(2), &["f"])).await).0, Code::AlreadyExists);
    let after = refused(&again.append(request(&finalized, Some(1), &["z"])).await);
    assert_eq!(after.1, Some(StorageErrorCode::StreamFinalized));
    let row_count = again.write.finalize_write_stream(finalize).await.expect("finalized").into_inner().row_count;
    assert_eq!(row_count, 1);
    let finalize = FinalizeWriteStreamRequest { name: pending.clone() };
    again.write.finalize_write_stream(finalize).await.expect("finalized");
    let commit = googleapis::google::cloud::bigquery::storage::v1::BatchCommitWriteStreamsRequest {
        parent: TABLE.into(),
        write_streams: vec![pending],
    };
    let committed = again.write.batch_commit_write_streams(commit).await.expect("committed").into_inner();
    assert!(committed.stream_errors.is_empty());
    assert_eq!(again.ids().await, ["a", "b", "c", "d", "f", "e"]);
    again.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_stopped_server_starts_again_on_the_same_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut world = World::with_table(Some(dir.path())).await;
    let mut connection = world.connect(request(DEFAULT, None, &["0"])).await;
    taken(&connection.next().await.expect("an answer"));
    // Enough small appends for several merges, on disk too.
    for _ in 0..2000 {
        connection.send(raw_request("", None, None, rows(&["x"]))).await;
        taken(&connection.next().await.expect("an answer"));
    }
    drop(connection);
    for round in 0..2 {
        world.stop().await;
        world = World::start(Some(dir.path())).await;
        let ids = world.ids().await;
        assert_eq!((ids.len(), ids[0].as_str()), (2001 + round, "0"));
        taken(&world.append(request(DEFAULT, None, &["y"])).await);
    }
    world.call("DELETE", "/datasets/d/tables/t", None).await.expect(204);
    world.stop().await;
    let world = World::start(Some(dir.path())).await;
    assert_eq!(world.call("GET", "/datasets/d/tables/t", None).await.reason(404), "notFound");
    world.stop().await;
}
