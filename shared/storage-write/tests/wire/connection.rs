use std::{sync::Arc, time::Duration};

use googleapis::google::cloud::bigquery::storage::v1::{TableFieldSchema, TableSchema, table_field_schema::Type};
use storage_write::{AppendError, Appended, StorageErrorCode};
use tokio::sync::Semaphore;
use tonic::Code;

use crate::{
    append_to, client, descriptor, schema,
    server::{Peer, Step},
    soon, until,
};

fn gate() -> (Arc<Semaphore>, Step) {
    let gate = Arc::new(Semaphore::new(0));
    (Arc::clone(&gate), Step::Gate(gate))
}

#[tokio::test]
async fn appends_are_pipelined_and_name_their_stream_until_the_first_answer() {
    let (gate, step) = gate();
    let server = Peer::start([step]);
    let connection = client(&server.endpoint, |_| {}).connection();
    let all = async {
        tokio::join!(
            connection.append(append_to("t", &["1"])),
            connection.append(append_to("t", &["2", "3"])),
            connection.append(append_to("t", &["4"])),
            async {
                // All three are there, though the first has no answer yet.
                until("three requests", || server.peer.rows().len() == 3).await;
                gate.add_permits(1);
            },
        )
    };
    let (first, second, third, ()) = soon(all).await;
    let appended = Appended { offset: None, updated_schema: None };
    assert_eq!((first, second, third), (Ok(appended.clone()), Ok(appended.clone()), Ok(appended)));
    soon(connection.append(append_to("t", &["5"]))).await.expect("appended");
    server.peer.with_seen(|seen| {
        let stream = "projects/p/datasets/d/tables/t/streams/_default";
        for unanswered in &seen[..3] {
            assert_eq!(unanswered.request.write_stream, stream);
            assert_eq!(unanswered.columns(), Some(vec!["a".to_owned()]));
        }
        assert_eq!(seen[0].request.trace_id, "pipas");
        assert_eq!((seen[3].request.write_stream.as_str(), seen[3].columns()), ("", None));
    });
    assert_eq!(server.peer.rows(), [vec!["1"], vec!["2", "3"], vec!["4"], vec!["5"]]);
    assert_eq!(server.peer.calls(), [0, 0, 0, 0]);
    let routing = "write_stream=projects%2Fp%2Fdatasets%2Fd%2Ftables%2Ft%2Fstreams%2F_default";
    assert_eq!(server.peer.routing(), [routing]);
    soon(connection.close()).await;
}

#[tokio::test]
async fn tables_share_a_connection_and_name_their_streams_from_then_on() {
    let server = Peer::start([]);
    let connection = client(&server.endpoint, |_| {}).connection();
    for name in ["t", "u", "u", "t"] {
        soon(connection.append(append_to(name, &["row"]))).await.expect("appended");
    }
    server.peer.with_seen(|seen| {
        let streams: Vec<_> = seen.iter().map(|seen| seen.request.write_stream.rsplit('/').nth(2)).collect();
        assert_eq!(streams, [Some("t"), Some("u"), Some("u"), Some("t")]);
        let with_schema: Vec<_> = seen.iter().map(|seen| seen.columns().is_some()).collect();
        assert_eq!(with_schema, [true, true, false, true]);
    });
    assert_eq!(server.peer.calls(), [0; 4]);
}

#[tokio::test]
async fn a_new_descriptor_waits_for_what_is_in_flight_and_goes_over_a_new_stream() {
    let (gate, step) = gate();
    let server = Peer::start([step]);
    let connection = client(&server.endpoint, |_| {}).connection();
    let mut changed = append_to("t", &["2"]);
    changed.descriptor = descriptor(&["a", "b"]);
    let (first, second, ()) = soon(async {
        tokio::join!(connection.append(append_to("t", &["1"])), connection.append(changed), async {
            until("the first request", || server.peer.rows().len() == 1).await;
            gate.add_permits(1);
        })
    })
    .await;
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(server.peer.calls(), [0, 1]);
    let columns = server.peer.with_seen(|seen| seen[1].columns());
    assert_eq!(columns, Some(vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn a_broken_stream_says_more_of_the_first_and_leaves_the_rest_unknown() {
    let (gate, step) = gate();
    let broken = Step::Break(Code::InvalidArgument, Some(StorageErrorCode::StreamFinalized));
    let server = Peer::start([step, broken]);
    let connection = client(&server.endpoint, |_| {}).connection();
    let (first, second, third, ()) = soon(async {
        tokio::join!(
            connection.append(append_to("t", &["1"])),
            connection.append(append_to("t", &["2"])),
            connection.append(append_to("t", &["3"])),
            async {
                until("three requests", || server.peer.rows().len() == 3).await;
                gate.add_permits(1);
            },
        )
    })
    .await;
    assert!(first.is_ok());
    let Err(AppendError::StreamGone(fault)) = second else { panic!("{second:?}") };
    assert_eq!((fault.code, fault.storage), (Code::InvalidArgument, Some(StorageErrorCode::StreamFinalized)));
    assert!(matches!(third, Err(AppendError::Ambiguous { sent: true, .. })), "{third:?}");
    // The next one goes over a new stream, and says everything again.
    soon(connection.append(append_to("t", &["4"]))).await.expect("appended");
    assert_eq!(server.peer.calls(), [0, 0, 0, 1]);
    assert!(server.peer.with_seen(|seen| seen[3].columns().is_some()));
}

#[tokio::test]
async fn errors_inside_answers_leave_the_stream_open() {
    use StorageErrorCode as Storage;
    let cases = [
        (Code::AlreadyExists, Some(Storage::OffsetAlreadyExists), "already_exists"),
        (Code::OutOfRange, Some(Storage::OffsetOutOfRange), "out_of_range"),
        (Code::InvalidArgument, Some(Storage::SchemaMismatchExtraFields), "schema_mismatch_extra_fields"),
        (Code::InvalidArgument, Some(Storage::StreamFinalized), "stream_gone"),
        (Code::FailedPrecondition, Some(Storage::InvalidStreamState), "stream_gone"),
        (Code::NotFound, Some(Storage::StreamNotFound), "stream_gone"),
        (Code::ResourceExhausted, None, "resource_exhausted"),
        (Code::Aborted, None, "ambiguous"),
        (Code::Internal, None, "ambiguous"),
        (Code::PermissionDenied, None, "permanent"),
    ];
    let server = Peer::start(cases.map(|(code, storage, _)| Step::Error(code, storage)));
    let connection = client(&server.endpoint, |_| {}).connection();
    for (code, storage, name) in cases {
        let error = soon(connection.append(append_to("t", &["row"]))).await.expect_err("an error");
        assert_eq!(error.name(), name, "{code:?} {storage:?}");
    }
    assert_eq!(server.peer.calls(), [0; 10]);
}

#[tokio::test]
async fn the_schema_goes_along_until_it_was_accepted() {
    let refused = [Step::Error(Code::ResourceExhausted, None), Step::Error(Code::InvalidArgument, None)];
    let server = Peer::start(refused.into_iter().chain([Step::RowErrors(vec![0])]));
    let connection = client(&server.endpoint, |_| {}).connection();
    for is_ok in [false, false, false, true, true] {
        let result = soon(connection.append(append_to("t", &["row"]))).await;
        assert_eq!(result.is_ok(), is_ok, "{result:?}");
    }
    // Bad rows were judged by the schema, so it stands from then on.
    server.peer.with_seen(|seen| {
        let introduced: Vec<_> =
            seen.iter().map(|seen| (seen.columns().is_some(), !seen.request.write_stream.is_empty())).collect();
        assert_eq!(introduced, [(true, true), (true, true), (true, true), (false, false), (false, false)]);
    });
    assert_eq!(server.peer.calls(), [0; 5]);
}

#[tokio::test]
async fn row_errors_name_their_rows() {
    let server = Peer::start([Step::RowErrors(vec![0, 2])]);
    let connection = client(&server.endpoint, |_| {}).connection();
    let error = soon(connection.append(append_to("t", &["1", "2", "3"]))).await.expect_err("an error");
    let AppendError::RowErrors(rows) = error else { panic!("{error:?}") };
    assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(rows[1].rejection().detail, "row 2");
}

#[tokio::test]
async fn silence_makes_everything_in_flight_unknown() {
    let server = Peer::start([Step::Silence]);
    let connection = client(&server.endpoint, |config| config.reply_timeout = Duration::from_millis(150)).connection();
    let (first, second) = soon(async {
        tokio::join!(connection.append(append_to("t", &["1"])), connection.append(append_to("t", &["2"])))
    })
    .await;
    for result in [first, second] {
        assert!(matches!(result, Err(AppendError::Ambiguous { sent: true, .. })), "{result:?}");
    }
    soon(connection.append(append_to("t", &["3"]))).await.expect("appended");
    assert_eq!(server.peer.calls().last(), Some(&1));
}

#[tokio::test]
async fn a_killed_server_leaves_fates_unknown_and_one_that_is_not_there_none() {
    let mut server = Peer::start([Step::Silence]);
    let connection = client(&server.endpoint, |_| {}).connection();
    let peer = server.peer.clone();
    let (result, ()) = soon(async {
        tokio::join!(connection.append(append_to("t", &["1"])), async {
            until("the request", || peer.rows().len() == 1).await;
            server.kill();
        })
    })
    .await;
    assert!(matches!(result, Err(AppendError::Ambiguous { sent: true, .. })), "{result:?}");
    let unreachable =
        |result: &Result<Appended, AppendError>| matches!(result, Err(AppendError::Ambiguous { sent: false, .. }));
    // The port closes a moment after the connections do.
    let mut last = Ok(Appended { offset: None, updated_schema: None });
    for _ in 0..200 {
        last = soon(connection.append(append_to("t", &["2"]))).await;
        if unreachable(&last) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(unreachable(&last), "{last:?}");
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let (gate, step) = gate();
    let server = Peer::start([step]);
    let connection = client(&server.endpoint, |config| config.max_in_flight_bytes = 1).connection();
    let (first, second, ()) = soon(async {
        tokio::join!(connection.append(append_to("t", &["1"])), connection.append(append_to("t", &["2"])), async {
            until("the first request", || !server.peer.rows().is_empty()).await;
            assert_eq!(server.peer.rows().len(), 1, "the second waits");
            gate.add_permits(1);
        })
    })
    .await;
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(server.peer.rows().len(), 2);
}

#[tokio::test]
async fn a_schema_that_grew_is_told() {
    let field =
        |name: &str, r#type: Type| TableFieldSchema { name: name.into(), r#type: r#type.into(), ..Default::default() };
    let grown = TableSchema { fields: vec![field("a", Type::String), field("b", Type::String)] };
    let server = Peer::start([Step::Schema(grown)]);
    let connection = client(&server.endpoint, |_| {}).connection();
    let appended = soon(connection.append(append_to("t", &["1"]))).await.expect("appended");
    assert_eq!(appended.updated_schema, Some(schema(&["a", "b"])));
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight() {
    let (gate, step) = gate();
    let server = Peer::start([step]);
    let connection = client(&server.endpoint, |_| {}).connection();
    // The future of the append is dropped; the append is not taken back.
    tokio::select! {
        _ = connection.append(append_to("t", &["1"])) => panic!("no answer yet"),
        () = until("the request", || server.peer.rows().len() == 1) => {}
    }
    let closing = tokio::spawn(connection.close());
    tokio::task::yield_now().await;
    assert!(!closing.is_finished());
    gate.add_permits(1);
    soon(closing).await.expect("closed");
}
