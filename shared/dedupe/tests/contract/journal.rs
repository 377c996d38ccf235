//! A journal outlives its process, however that ends.

use std::{path::Path, process::Command};

use dedupe::{Claim, Claimed, EventKey, InProcessLedger, Ledger, LedgerError, Owner, PayloadHash, State};

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

/// A journal knows which it is for as long as it is there.
#[tokio::test]
async fn a_lost_journal_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = InProcessLedger::open(folder.path()).expect("a ledger");
    let first = ledger.survey().await.expect("a survey");
    assert!(ledger.adopt(&first.identity, 3).await.expect("an answer"));
    ledger.beat().await.expect("an answer");
    let beat = ledger.survey().await.expect("a survey").beat;
    drop(ledger);

    let ledger = InProcessLedger::open(folder.path()).expect("a ledger");
    let survey = ledger.survey().await.expect("a survey");
    assert!(survey.holds(3) && survey.identity == first.identity && survey.beat == beat, "{survey:?}");
    ledger.claim(&[key(1).into()], &claim(), 3).await.expect("the same journal");
    drop(ledger);

    std::fs::remove_dir_all(folder.path()).expect("an empty place");
    let ledger = InProcessLedger::open(folder.path()).expect("a ledger");
    let survey = ledger.survey().await.expect("a survey");
    assert!(survey.identity != first.identity && survey.adopted.is_none() && survey.beat.is_none(), "{survey:?}");
    let error = ledger.claim(&[key(1).into()], &claim(), 3).await.expect_err("another journal");
    assert!(matches!(error, LedgerError::Epoch), "{error:?}");
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
