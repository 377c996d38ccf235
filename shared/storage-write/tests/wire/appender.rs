use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use catalog::UnknownFields;
use event::Reason;
use futures::future::join_all;
use googleapis::google::cloud::bigquery::storage::v1::{TableFieldSchema, TableSchema, table_field_schema::Type};
use storage_write::{Appender, AppenderConfig, LiveEncoder, RowFailure};
use tokio::sync::Semaphore;
use tonic::Code;

use crate::{
    client, descriptor, schema,
    server::{Peer, Running, Step},
    soon, table, until,
};

fn appender(server: &Running, change: impl FnOnce(&mut AppenderConfig)) -> (Appender, LiveEncoder) {
    let mut config = AppenderConfig::default();
    change(&mut config);
    let encoder = LiveEncoder::new(&schema(&["a"]), UnknownFields::Ignore).expect("an encoder");
    (Appender::spawn(&client(&server.endpoint, |_| {}), &table("t"), encoder.clone(), config), encoder)
}

async fn append(appender: &Appender, row: &'static str) -> Result<(), RowFailure> {
    appender.append(Bytes::from_static(row.as_bytes()), &descriptor(&["a"])).await
}

/// Appends `first`, and once it is there and unanswered `rest`; lets `gate` go when `ready` holds.
async fn while_one_is_in_flight(
    server: &Running,
    appender: &Appender,
    rest: &[&'static str],
    gate: &Semaphore,
    ready: impl Fn(usize) -> bool,
) -> Vec<Result<(), RowFailure>> {
    let (first, mut others, ()) = soon(async {
        tokio::join!(
            append(appender, "first"),
            async {
                until("the first request", || server.peer.rows().len() == 1).await;
                join_all(rest.iter().map(|row| append(appender, row))).await
            },
            async {
                until("the requests before the answer", || ready(server.peer.rows().len())).await;
                // Rows that are only queued need a moment to be; however long, they go out after the answer.
                tokio::task::yield_now().await;
                gate.add_permits(1);
            },
        )
    })
    .await;
    others.insert(0, first);
    others
}

#[tokio::test]
async fn a_row_goes_out_at_once_and_what_comes_meanwhile_goes_together() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Peer::start([Step::Gate(Arc::clone(&gate))]);
    let (appender, _) = appender(&server, |_| {});
    let (first, others) = soon(async {
        tokio::join!(append(&appender, "first"), async {
            until("the first request", || server.peer.rows().len() == 1).await;
            let others = join_all(["1", "2", "3", "4"].map(|row| append(&appender, row)));
            let release = async { gate.add_permits(1) };
            tokio::join!(others, release).0
        })
    })
    .await;
    assert!(first.is_ok() && others.iter().all(Result::is_ok));
    assert_eq!(server.peer.rows(), [vec!["first"], vec!["1", "2", "3", "4"]]);
}

#[tokio::test]
async fn full_appends_do_not_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Peer::start([Step::Gate(Arc::clone(&gate))]);
    let (appender, _) = appender(&server, |config| config.max_rows = 2);
    let results = while_one_is_in_flight(&server, &appender, &["1", "2", "3"], &gate, |requests| requests == 2).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(server.peer.rows(), [vec!["first"], vec!["1", "2"], vec!["3"]]);
    assert_eq!(server.peer.calls(), [0, 0, 0]);
}

#[tokio::test]
async fn bytes_fill_an_append_too() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Peer::start([Step::Gate(Arc::clone(&gate))]);
    let (appender, _) = appender(&server, |config| config.max_bytes = 10);
    let rest = ["12345678", "12345678", "123456789012345"];
    let results = while_one_is_in_flight(&server, &appender, &rest, &gate, |requests| requests >= 3).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(server.peer.rows(), [["first"], ["12345678"], ["12345678"], ["123456789012345"]]);
}

#[tokio::test]
async fn bad_rows_leave_and_the_rest_goes_again() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Peer::start([Step::Gate(Arc::clone(&gate)), Step::RowErrors(vec![1]), Step::RowErrors(vec![0])]);
    let (appender, _) = appender(&server, |config| config.max_rows = 3);
    let results = while_one_is_in_flight(&server, &appender, &["1", "2", "3"], &gate, |requests| requests == 2).await;
    assert_eq!(server.peer.rows(), [vec!["first"], vec!["1", "2", "3"], vec!["1", "3"], vec!["3"]]);
    assert!(results[0].is_ok() && results[3].is_ok());
    for (bad, message) in [(&results[2], "row 1"), (&results[1], "row 0")] {
        let Err(RowFailure::Rejected(rejection)) = bad else { panic!("{bad:?}") };
        assert_eq!((rejection.reason, rejection.detail.as_str()), (Reason::RowRejected, message));
    }
}

#[tokio::test]
async fn a_refused_request_goes_in_halves_until_one_row_is_refused_alone() {
    let gate = Arc::new(Semaphore::new(0));
    let refused = || Step::Error(Code::InvalidArgument, None);
    // 1 to 4; then 1 and 2, which land; then 3 and 4; then 3 alone, and 4, which lands.
    let server = Peer::start([Step::Gate(Arc::clone(&gate)), refused(), Step::Ok, refused(), refused(), Step::Ok]);
    let (appender, _) = appender(&server, |config| config.max_rows = 4);
    let rest = ["1", "2", "3", "4"];
    let results = while_one_is_in_flight(&server, &appender, &rest, &gate, |requests| requests == 2).await;
    let sent = [&["first"][..], &["1", "2", "3", "4"], &["1", "2"], &["3", "4"], &["3"], &["4"]];
    assert_eq!(server.peer.rows(), sent);
    let Err(RowFailure::Rejected(rejection)) = &results[3] else { panic!("{results:?}") };
    assert_eq!(rejection.reason, Reason::RowRejected);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4, "{results:?}");
}

#[tokio::test]
async fn passing_faults_are_tried_again() {
    let faults = [
        Step::Error(Code::Internal, None),
        Step::Break(Code::Unavailable, None),
        Step::Error(Code::NotFound, None),
        Step::Ok,
    ];
    let server = Peer::start(faults);
    let (appender, _) = appender(&server, |_| {});
    assert_eq!(soon(append(&appender, "row")).await, Ok(()));
    assert_eq!(server.peer.rows(), vec![["row"]; 4]);
}

#[tokio::test]
async fn a_used_up_quota_is_waited_for() {
    let server = Peer::start([Step::Error(Code::ResourceExhausted, None)]);
    let (appender, _) = appender(&server, |_| {});
    let before = tokio::time::Instant::now();
    assert_eq!(soon(append(&appender, "row")).await, Ok(()));
    assert!(before.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn rows_are_given_up_when_their_time_is_up_and_refused_requests_at_once() {
    let server = Peer::start((0..50).map(|_| Step::Error(Code::Internal, None)));
    let (appender, _) = appender(&server, |config| config.retry_for = Duration::from_millis(300));
    let failure = soon(append(&appender, "row")).await.expect_err("no row");
    assert!(matches!(failure, RowFailure::Unavailable(_)), "{failure:?}");
    assert!(server.peer.rows().len() > 1);

    let server = Peer::start([Step::Error(Code::PermissionDenied, None)]);
    let (appender, _) = self::appender(&server, |_| {});
    let failure = soon(append(&appender, "row")).await.expect_err("no row");
    assert!(matches!(failure, RowFailure::Unavailable(_)), "{failure:?}");
    assert_eq!(server.peer.rows().len(), 1);
}

#[tokio::test]
async fn a_schema_that_grew_is_picked_up() {
    let field = |name: &str| TableFieldSchema { name: name.into(), r#type: Type::String.into(), ..Default::default() };
    let grown = TableSchema { fields: vec![field("a"), field("b")] };
    let server = Peer::start([Step::Schema(grown)]);
    let (appender, encoder) = appender(&server, |_| {});
    let old = encoder.current();
    assert_eq!(soon(append(&appender, "old")).await, Ok(()));
    let new = encoder.current();
    assert!(
        new.shared_descriptor() != old.shared_descriptor() && new.shared_descriptor().extends(old.shared_descriptor())
    );
    let mut row = Vec::new();
    new.encode(br#"{"a":"x","b":"y"}"#, &mut row).expect("a row");
    assert_eq!(soon(appender.append(row.into(), new.shared_descriptor())).await, Ok(()));
    assert_eq!(server.peer.calls(), [0, 1]);
    let columns = server.peer.with_seen(|seen| seen[1].columns());
    assert_eq!(columns, Some(vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn too_many_bytes_are_refused_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Peer::start([Step::Gate(Arc::clone(&gate))]);
    let (appender, _) = appender(&server, |config| config.max_pending_bytes = 200);
    let (first, second) = soon(async {
        tokio::join!(append(&appender, "first"), async {
            until("the first request", || server.peer.rows().len() == 1).await;
            let second = append(&appender, "second").await;
            gate.add_permits(1);
            second
        })
    })
    .await;
    assert_eq!((first, second), (Ok(()), Err(RowFailure::Overloaded)));
    assert_eq!(soon(append(&appender, "third")).await, Ok(()));
}

#[tokio::test]
async fn closing_settles_every_row_and_takes_no_more() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Peer::start([Step::Gate(Arc::clone(&gate))]);
    let (appender, _) = appender(&server, |_| {});
    let (first, second) = soon(async {
        tokio::join!(append(&appender, "first"), async {
            until("the first request", || server.peer.rows().len() == 1).await;
            // In this order: the second row is taken before the appender closes.
            tokio::join!(append(&appender, "second"), appender.close(), async { gate.add_permits(1) }).0
        })
    })
    .await;
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(soon(append(&appender, "late")).await, Err(RowFailure::Closed));
}
