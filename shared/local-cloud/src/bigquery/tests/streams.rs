//! Write streams: offsets, finalize, flush, commit.

use googleapis::google::cloud::bigquery::storage::v1::{
    BatchCommitWriteStreamsRequest, FinalizeWriteStreamRequest, FlushRowsRequest, GetWriteStreamRequest,
    WriteStreamView,
};
use tonic::Code;

use super::*;

impl World {
    async fn finalize(&mut self, name: &str) -> Result<i64, tonic::Status> {
        let request = FinalizeWriteStreamRequest { name: name.into() };
        Ok(self.write.finalize_write_stream(request).await?.into_inner().row_count)
    }

    async fn commit(&mut self, streams: &[&str]) -> Vec<StorageErrorCode> {
        let write_streams = streams.iter().map(|name| (*name).to_owned()).collect();
        let request = BatchCommitWriteStreamsRequest { parent: TABLE.into(), write_streams };
        let answer = self.write.batch_commit_write_streams(request).await.expect("an answer").into_inner();
        assert_eq!(answer.commit_time.is_some(), answer.stream_errors.is_empty());
        answer.stream_errors.iter().map(StorageError::code).collect()
    }
}

#[tokio::test]
async fn offsets_make_appends_happen_once() {
    let mut world = World::with_table(None).await;
    let stream = world.create(StreamType::Committed).await;
    assert_eq!(taken(&world.append(request(&stream, Some(0), &["a", "b"])).await), Some(0));
    assert_eq!(taken(&world.append(request(&stream, None, &["c"])).await), Some(2));
    let again = refused(&world.append(request(&stream, Some(0), &["a", "b"])).await);
    assert_eq!(again, (Code::AlreadyExists, Some(StorageErrorCode::OffsetAlreadyExists)));
    let beyond = refused(&world.append(request(&stream, Some(7), &["z"])).await);
    assert_eq!(beyond, (Code::OutOfRange, Some(StorageErrorCode::OffsetOutOfRange)));
    assert_eq!(world.finalize(&stream).await.expect("finalized"), 3);
    assert_eq!(world.finalize(&stream).await.expect("finalized again"), 3);
    let after = refused(&world.append(request(&stream, Some(3), &["z"])).await);
    assert_eq!(after, (Code::InvalidArgument, Some(StorageErrorCode::StreamFinalized)));
    assert_eq!(world.ids().await, ["a", "b", "c"]);
    assert_eq!(world.commit(&[&stream]).await, [StorageErrorCode::InvalidStreamType]);
    let status = world.finalize(DEFAULT).await.expect_err("the default stream stays");
    assert_eq!(status.code(), Code::InvalidArgument);
    let gone = format!("{TABLE}/streams/none");
    let status = world.finalize(&gone).await.expect_err("no such stream");
    let details = googleapis::google::rpc::Status::decode(status.details()).expect("details");
    let detail = StorageError::decode(&details.details[0].value[..]).expect("a StorageError");
    assert_eq!((status.code(), detail.code()), (Code::NotFound, StorageErrorCode::StreamNotFound));
    world.stop().await;
}

#[tokio::test]
async fn streams_are_described() {
    let mut world = World::with_table(None).await;
    let pending = world.create(StreamType::Pending).await;
    for (name, kind, committed) in
        [(pending.as_str(), StreamType::Pending, false), (DEFAULT, StreamType::Committed, true)]
    {
        for (view, full) in [(WriteStreamView::Unspecified, false), (WriteStreamView::Full, true)] {
            let request = GetWriteStreamRequest { name: name.into(), view: view.into() };
            let stream = world.write.get_write_stream(request).await.expect("a stream").into_inner();
            assert_eq!((stream.name.as_str(), stream.r#type()), (name, kind));
            assert_eq!((stream.commit_time.is_some(), stream.table_schema.is_some()), (committed, full));
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn pending_rows_appear_with_the_commit_and_all_at_once() {
    let mut world = World::with_table(None).await;
    let first = world.create(StreamType::Pending).await;
    let second = world.create(StreamType::Pending).await;
    taken(&world.append(request(&first, Some(0), &["a", "b"])).await);
    taken(&world.append(request(&second, Some(0), &["c"])).await);
    world.finalize(&first).await.expect("finalized");
    assert_eq!(world.commit(&[&first, &second]).await, [StorageErrorCode::InvalidStreamState]);
    assert!(world.ids().await.is_empty());
    world.finalize(&second).await.expect("finalized");
    assert!(world.commit(&[&first, &second]).await.is_empty());
    let mut ids = world.ids().await;
    ids.sort();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(world.commit(&[&first]).await, [StorageErrorCode::StreamAlreadyCommitted]);
    world.stop().await;
}

#[tokio::test]
async fn buffered_rows_appear_as_far_as_they_are_flushed() {
    let mut world = World::with_table(None).await;
    let stream = world.create(StreamType::Buffered).await;
    taken(&world.append(request(&stream, Some(0), &["a", "b", "c"])).await);
    taken(&world.append(request(&stream, Some(3), &["d"])).await);
    assert!(world.ids().await.is_empty());
    for (offset, visible) in [(1, 2), (0, 2), (3, 4)] {
        let request = FlushRowsRequest { write_stream: stream.clone(), offset: Some(offset) };
        assert_eq!(world.write.flush_rows(request).await.expect("flushed").into_inner().offset, offset);
        assert_eq!(world.ids().await.len(), visible);
    }
    let request = FlushRowsRequest { write_stream: stream, offset: Some(4) };
    let status = world.write.flush_rows(request).await.expect_err("beyond the end");
    assert_eq!(status.code(), Code::OutOfRange);
    world.stop().await;
}

#[tokio::test]
async fn finalize_and_appends_in_flight_agree() {
    let mut world = World::with_table(None).await;
    let mut expected = 0;
    for round in 0..20 {
        let stream = world.create(StreamType::Committed).await;
        let mut connection = world.connect(request(&stream, Some(0), &["0"])).await;
        taken(&connection.next().await.expect("an answer"));
        let append = async {
            for offset in 1..100 {
                connection.send(raw_request("", Some(offset), None, rows(&["x"]))).await;
            }
            let mut answered = 1;
            for _ in 1..100 {
                let answer = connection.next().await.expect("an answer");
                match answer.response {
                    Some(Response::AppendResult(_)) => answered += 1,
                    _ => assert_eq!(refused(&answer).1, Some(StorageErrorCode::StreamFinalized), "{round}"),
                }
            }
            answered
        };
        let mut write = world.write.clone();
        let finalize = write.finalize_write_stream(FinalizeWriteStreamRequest { name: stream });
        let (answered, finalized) = tokio::join!(append, finalize);
        assert_eq!(finalized.expect("finalized").into_inner().row_count, answered);
        expected += answered;
        assert_eq!(world.ids().await.len() as i64, expected);
    }
    world.stop().await;
}
