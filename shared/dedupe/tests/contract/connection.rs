//! A connection that nobody closed, and that is of no use any more: the server's address leads to another.

use std::{
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use dedupe::{Claimed, Ledger, RedisLedger, RedisSettings};

use crate::{
    promises::{claim, key},
    server::{RedisServer, answers},
};

/// An address that leads to one of two servers.
struct Address {
    folder: tempfile::TempDir,
    servers: [RedisServer; 2],
}

impl Address {
    async fn new() -> Self {
        let servers = [RedisServer::started().await, RedisServer::started().await];
        let address = Self { folder: tempfile::tempdir().expect("a folder"), servers };
        address.leads_to(0);
        address
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.sock")
    }

    fn leads_to(&self, server: usize) {
        let new = self.folder.path().join("new.sock");
        symlink(self.servers[server].socket(), &new).expect("a link");
        std::fs::rename(new, self.path()).expect("a link in place of the other");
    }

    async fn ledger(&self) -> RedisLedger {
        let url = format!("redis+unix://{}", self.path().display());
        let ledger = RedisLedger::new(&RedisSettings::new(url.into())).expect("settings of a ledger");
        answers(&ledger).await;
        ledger
    }
}

async fn until_claimed(ledger: &RedisLedger) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match ledger.claim(&[key().into()], &claim("s1", 0), 0).await {
            Ok(won) => {
                assert_eq!(won, [Claimed::Won]);
                return;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_was_made_a_replica_is_left() {
    let address = Address::new().await;
    let ledger = address.ledger().await;
    until_claimed(&ledger).await;
    let _: () = address.servers[0].command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert!(ledger.claim(&[key().into()], &claim("s1", 0), 0).await.is_err(), "a replica takes nothing");
    address.leads_to(1);
    until_claimed(&ledger).await;
}

#[tokio::test]
async fn a_server_that_fell_silent_is_left() {
    let address = Address::new().await;
    let ledger = address.ledger().await;
    until_claimed(&ledger).await;
    let process = address.servers[0].pid().to_string();
    let signal = |name: &str| Command::new("kill").args([name, &process]).status().expect("kill").success();
    assert!(signal("-STOP"));
    address.leads_to(1);
    until_claimed(&ledger).await;
    assert!(signal("-CONT"));
}
