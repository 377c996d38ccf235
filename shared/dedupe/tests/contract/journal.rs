//! A journal outlives its process, however that ends.

use std::{path::Path, process::Command};

use dedupe::{Claim, Claimed, EventKey, InProcessLedger, Ledger, Owner, PayloadHash, State};

const FOLDER: &str = "PIPAS_TEST_JOURNAL";
const PAYLOAD: PayloadHash = PayloadHash::from_bits(3);

fn key(at: u8) -> EventKey {
    EventKey::from_bytes([at; 16])
}

fn claim() -> Claim {
    Claim { owner: Owner::from_bytes([9; 16]), write_stream: "s1".into(), base_offset: 4 }
}

/// The body of the child process of the next test; nothing by itself.
#[tokio::test]
async fn writes_and_dies() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let ledger = InProcessLedger::open(Path::new(&folder)).expect("a ledger");
    let won = ledger.claim(&[key(1).into(), key(2).into(), key(3).into()], &claim(), 0).await.expect("an answer");
    assert_eq!(won, [Claimed::Won, Claimed::Won, Claimed::Won]);
    ledger.settle(&[(key(2), PAYLOAD)], &claim(), std::time::Duration::from_secs(3_600)).await.expect("an answer");
    ledger.release(&[key(3)], &claim()).await.expect("an answer");
    std::process::abort();
}

#[tokio::test]
async fn what_was_answered_outlives_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "journal::writes_and_dies"])
        .env(FOLDER, folder.path())
        .output()
        .expect("a child")
        .status;
    assert!(!status.success() && status.code().is_none(), "the child was to abort: {status}");
    for _ in 0..2 {
        let ledger = InProcessLedger::open(folder.path()).expect("a ledger");
        let states = ledger.read(&[key(1), key(2), key(3)]).await.expect("an answer");
        assert!(matches!(&states[0], Some(State::Claimed { claim, .. }) if *claim == self::claim()), "{states:?}");
        assert_eq!(states[1..], [Some(State::Done { payload: PAYLOAD }), None]);
    }
}
