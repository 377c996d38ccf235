//! Servers that come back without what they were told.

use std::time::{Duration, Instant};

use dedupe::{Adopted, Claimed, Ledger, LedgerError, Restored, State};

use crate::{
    generations::{adopted, refuses, takes},
    ledger,
    promises::{PAYLOAD, WINDOW, claim, key},
    server::{RedisServer, answers, free_port},
};

#[tokio::test]
async fn a_server_that_restarts_empty_is_refused_until_it_is_restored() {
    let mut server = RedisServer::started().await;
    let ledger = ledger(&server).await;
    let first = adopted(&ledger, 1).await;
    takes(&ledger, 1).await;
    let (row, mine) = (key(), claim("s1", 0));
    ledger.settle(&[(row, PAYLOAD)], &mine, WINDOW).await.expect("an answer");
    ledger.beat().await.expect("an answer");

    server.kill().await;
    server.start().await;
    answers(&ledger).await;
    refuses(&ledger, 1).await;
    let survey = ledger.survey().await.expect("a survey");
    assert!(survey.identity != first.identity && survey.adopted.is_none() && survey.beat.is_none(), "{survey:?}");
    // Whoever surveyed the dead server cannot adopt this one.
    assert!(!ledger.adopt(&first.identity, 2).await.expect("an answer"));

    let entry = [(row, Restored::Done { payload: PAYLOAD })];
    assert!(matches!(ledger.restore(&first, &entry, WINDOW).await, Err(LedgerError::Epoch)));
    ledger.restore(&survey, &entry, WINDOW).await.expect("an answer");
    assert!(ledger.adopt(&survey.identity, 2).await.expect("an answer"));
    takes(&ledger, 2).await;
    refuses(&ledger, 1).await;
    let found = ledger.claim(&[row.into()], &mine, 2).await.expect("an answer");
    assert_eq!(found, [Claimed::Found(State::Done { payload: PAYLOAD })]);
}

#[tokio::test]
async fn a_server_that_restarts_from_its_log_is_refused() {
    let mut server = RedisServer::started_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let ledger = ledger(&server).await;
    let first = adopted(&ledger, 7).await;
    let (row, mine) = (key(), claim("s1", 0));
    ledger.settle(&[(row, PAYLOAD)], &mine, WINDOW).await.expect("an answer");
    ledger.beat().await.expect("an answer");
    let beat = ledger.survey().await.expect("a survey").beat;

    server.kill().await;
    server.start().await;
    answers(&ledger).await;
    refuses(&ledger, 7).await;
    let survey = ledger.survey().await.expect("a survey");
    assert_ne!(survey.identity, first.identity);
    assert_eq!(survey.adopted, Some(Adopted { identity: first.identity, generation: 7 }));
    assert_eq!(survey.beat, beat);
    assert_eq!(ledger.read(&[row]).await.expect("an answer"), [Some(State::Done { payload: PAYLOAD })]);
    // Of this generation another server took claims.
    assert!(!ledger.adopt(&survey.identity, 7).await.expect("an answer"));
    assert!(ledger.adopt(&survey.identity, 8).await.expect("an answer"));
    takes(&ledger, 8).await;
}

#[tokio::test]
async fn a_promoted_replica_that_lost_its_tail_is_refused() {
    let (port, nobody) = (free_port(), free_port());
    let mut primary = RedisServer::started_with(&["--port", &port, "--repl-diskless-sync-delay", "0"]).await;
    let replica = RedisServer::started().await;
    let (at_primary, at_replica) = (ledger(&primary).await, ledger(&replica).await);
    let _: () = replica.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    replicated(&primary).await;
    let first = adopted(&at_primary, 1).await;
    let (kept, lost, held, mine) = (key(), key(), key(), claim("s1", 0));
    at_primary.settle(&[(kept, PAYLOAD)], &mine, WINDOW).await.expect("an answer");
    at_primary.beat().await.expect("an answer");
    let cut = at_primary.survey().await.expect("a survey").beat.expect("a beat");
    replicated(&primary).await;
    assert!(at_replica.survey().await.expect("a survey").holds(1), "a replica has its primary's history");

    // The link is cut; the primary goes on, and dies.
    let _: () = replica.command(&["REPLICAOF", "127.0.0.1", &nobody]).await;
    assert_eq!(at_primary.claim(&[held.into()], &mine, 1).await.expect("an answer"), [Claimed::Won]);
    at_primary.settle(&[(lost, PAYLOAD)], &mine, WINDOW).await.expect("an answer");
    let deadline = Instant::now() + Duration::from_secs(10);
    while at_primary.survey().await.expect("a survey").beat == Some(cut) {
        assert!(Instant::now() < deadline, "the server's clock stands still");
        at_primary.beat().await.expect("an answer");
    }
    primary.kill().await;
    let _: () = replica.command(&["REPLICAOF", "NO", "ONE"]).await;

    refuses(&at_replica, 1).await;
    assert!(at_replica.beat().await.is_err(), "a beat would hide where the data was cut");
    let survey = at_replica.survey().await.expect("a survey");
    assert_ne!(survey.identity, first.identity);
    assert_eq!(survey.adopted, Some(Adopted { identity: first.identity.clone(), generation: 1 }));
    assert_eq!(survey.beat, Some(cut));
    let states = at_replica.read(&[kept, lost, held]).await.expect("an answer");
    assert_eq!(states, [Some(State::Done { payload: PAYLOAD }), None, None]);

    assert!(!at_replica.adopt(&first.identity, 2).await.expect("an answer"));
    at_replica.restore(&survey, &[(lost, Restored::Done { payload: PAYLOAD })], WINDOW).await.expect("an answer");
    assert!(at_replica.adopt(&survey.identity, 2).await.expect("an answer"));
    takes(&at_replica, 2).await;
    at_replica.beat().await.expect("an answer");
}

/// Two ledgers at one server, over the same events: each is won once, and only by its winner's claim.
#[tokio::test]
async fn of_two_ledgers_one_wins() {
    let server = RedisServer::started().await;
    let (one, other) = (ledger(&server).await, ledger(&server).await);
    adopted(&one, 1).await;
    let keys: Vec<_> = (0..2_000).map(|_| key()).collect();
    let (mine, theirs) = (claim("s1", 0), claim("s2", 0));
    let claims = async |ledger: &dyn Ledger, claim: &dedupe::Claim, backwards: bool| {
        let mut keys = keys.clone();
        if backwards {
            keys.reverse();
        }
        let mut won = Vec::new();
        for keys in keys.chunks(50) {
            let wants: Vec<dedupe::Want> = keys.iter().copied().map(Into::into).collect();
            let claimed = ledger.claim(&wants, claim, 1).await.expect("an answer");
            let rows: Vec<_> = keys.iter().zip(claimed).filter(|(_, claimed)| *claimed == Claimed::Won).collect();
            let rows: Vec<_> = rows.into_iter().map(|(key, _)| (*key, PAYLOAD)).collect();
            let settled = ledger.settle(&rows, claim, WINDOW).await.expect("an answer");
            assert!(settled.iter().all(|settled| *settled == dedupe::Settled::Done), "{settled:?}");
            won.extend(rows.into_iter().map(|(key, _)| key));
        }
        won
    };
    let (first, second) = futures::join!(claims(&one, &mine, false), claims(&other, &theirs, true));
    assert!(!first.is_empty() && !second.is_empty(), "no race: {} and {}", first.len(), second.len());
    let mut won = [first, second].concat();
    won.sort_unstable();
    won.dedup();
    assert_eq!(won.len(), keys.len());
    let states = one.read(&keys).await.expect("an answer");
    assert!(states.iter().all(|state| *state == Some(State::Done { payload: PAYLOAD })));
}

/// Waits until the replica has all that the primary has.
async fn replicated(primary: &RedisServer) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let offset = primary.info("replication", "master_repl_offset").await;
    loop {
        let info: String = primary.command(&["INFO", "replication"]).await;
        let replica = info.lines().find(|line| line.starts_with("slave0:") && line.contains("state=online"));
        let has = replica.and_then(|line| line.split("offset=").nth(1)?.split(',').next()?.parse::<i64>().ok());
        if has.is_some_and(|has| has >= offset) {
            return;
        }
        assert!(Instant::now() < deadline, "the replica does not follow: {info}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
