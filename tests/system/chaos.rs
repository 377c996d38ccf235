//! The short form of scripts/chaos, and that it can fail.

use tests::chaos::{Chaos, seeds};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_every_event_ends_once() -> anyhow::Result<()> {
    let chaos = Chaos { events: 3_334, failover: true, unfenced: false };
    for outcome in seeds(chaos, &[1, 2, 3], 3, |outcome| println!("{outcome}")).await? {
        assert!(outcome.report.is_closed(), "{outcome}");
        assert!(outcome.report.is_settled() && outcome.report.received >= 3_334, "{outcome}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_rows_are_missing_or_doubled() -> anyhow::Result<()> {
    let chaos = Chaos { events: 2_000, failover: false, unfenced: true };
    let outcomes = seeds(chaos, &[1, 2, 3], 3, |outcome| println!("{outcome}")).await?;
    assert!(outcomes.iter().any(|outcome| !outcome.report.is_closed()), "nothing went wrong");
    Ok(())
}
