//! What finalizing a stream means: A2, A4, A5, A6.
//!
//! Only an error of the class that is expected is taken for the service's refusal; any other shows nothing.

use std::time::Duration;

use anyhow::ensure;
use storage_write::{AppendError, Appended, CallError, WriteStreamName};
use tokio::time::{Instant, sleep};

use super::{
    stand::Stand,
    verdict::{Finding, Verdict},
};

const ROWS: i64 = 5;
/// How long counted rows may take to be seen.
const VISIBLE: Duration = Duration::from_secs(60);

/// A2: after finalize no append succeeds, and its count is the number of rows for good.
pub(super) async fn ends_the_stream(stand: &Stand) -> Finding {
    let tried = async {
        let (stream, counted) = finalized(stand).await?;
        let late = stand.append(&stream, ROWS).await?;
        let found = seen(stand, &stream, ROWS).await?;
        let verdict = match &late {
            _ if counted != ROWS || found != ROWS => Verdict::Fails,
            Ok(_) => Verdict::Fails,
            Err(error) if error.is_of_finalized_stream() => Verdict::Holds,
            Err(_) => Verdict::NotShown,
        };
        let evidence = format!(
            "finalize counted {counted} of {ROWS} rows; an append after it: {}; the table has {found}",
            told(&late)
        );
        Ok((verdict, evidence))
    };
    Finding::of("A2", "after finalize no append succeeds, and row_count is final", tried.await)
}

/// A4, A5 and A6, on one stream.
pub(super) async fn by_anyone_and_again(stand: &Stand) -> Vec<Finding> {
    const A4: &str = "finalize may come from another process, and be repeated";
    const A5: &str = "an append at a written offset of a finalized stream fails, whichever way";
    const A6: &str = "rows that finalize counted are seen by a query";
    let stream = async {
        let (stream, counted) = finalized(stand).await?;
        ensure!(counted == ROWS, "finalize counted {counted} of {ROWS} rows, which is A2's matter");
        anyhow::Ok(stream)
    };
    let stream = match stream.await {
        Ok(stream) => stream,
        Err(error) => {
            let nothing = |assumption, says| Finding::of(assumption, says, Err(anyhow::anyhow!("{error:#}")));
            return vec![nothing("A4", A4), nothing("A5", A5), nothing("A6", A6)];
        }
    };
    let begun = Instant::now();
    let seen = seen(stand, &stream, ROWS).await.map(|found| {
        let took = begun.elapsed().as_millis();
        let evidence = format!("a query saw {found} of {ROWS} rows within {took} ms of the count");
        (Verdict::from(found == ROWS), evidence)
    });
    let repeat = match (stand.finalize(&stream).await, stand.finalize_own(&stream).await) {
        (Ok(other), Ok(own)) => {
            let evidence = format!("three calls by two clients counted {ROWS}, {other} and {own}");
            (Verdict::from(other == ROWS && own == ROWS), evidence)
        }
        (Err(error), _) | (_, Err(error)) => {
            (refused(&error), format!("the first call counted {ROWS}, a repeat said: {error}"))
        }
    };
    let written = async {
        let again = stand.append(&stream, 0).await?;
        let found = stand.count(&stream).await?;
        let verdict = match &again {
            _ if found > ROWS => Verdict::Fails,
            Ok(_) => Verdict::Fails,
            Err(error) if error.is_of_finalized_stream() || matches!(error, AppendError::AlreadyExists(_)) => {
                Verdict::from(found == ROWS)
            }
            Err(_) => Verdict::NotShown,
        };
        Ok((verdict, format!("{}; the table has {found} of {ROWS} rows", told(&again))))
    };
    vec![Finding::of("A4", A4, Ok(repeat)), Finding::of("A5", A5, written.await), Finding::of("A6", A6, seen)]
}

/// A repeat that is refused since the stream is closed is what A4 rules out.
fn refused(error: &CallError) -> Verdict {
    if error.is_closed() { Verdict::Fails } else { Verdict::NotShown }
}

/// A stream with rows that was finalized by the other client, and what that counted.
async fn finalized(stand: &Stand) -> anyhow::Result<(WriteStreamName, i64)> {
    let stream = stand.stream().await?;
    for offset in 0..ROWS {
        stand.write(&stream, offset).await?;
    }
    let counted = stand.finalize(&stream).await?;
    Ok((stream, counted))
}

/// How many rows of the stream the table has, once it has `wanted` of them, or did not for long enough.
async fn seen(stand: &Stand, stream: &WriteStreamName, wanted: i64) -> anyhow::Result<i64> {
    let begun = Instant::now();
    loop {
        let found = stand.count(stream).await?;
        if found >= wanted || begun.elapsed() >= VISIBLE {
            return Ok(found);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn told(append: &Result<Appended, AppendError>) -> String {
    match append {
        Ok(appended) => format!("it was accepted at {:?}", appended.offset),
        Err(error) => format!("{} ({error})", error.name()),
    }
}
