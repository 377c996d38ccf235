//! What finalizing a stream means: A2, A4, A5, A6.

use std::time::Duration;

use storage_write::{AppendError, Appended, WriteStreamName};
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
        let late = append(stand, &stream, ROWS).await?;
        let found = stand.count(&stream).await?;
        let evidence = format!(
            "finalize counted {counted} of {ROWS} rows; an append after it: {}; the table has {found}",
            told(&late)
        );
        Ok((Verdict::from(counted == ROWS && late.is_err() && found == ROWS), evidence))
    };
    Finding::of("A2", "after finalize no append succeeds, and row_count is final", tried.await)
}

/// A4, A5 and A6, on one stream.
pub(super) async fn by_anyone_and_again(stand: &Stand) -> Vec<Finding> {
    const A4: &str = "finalize may come from another process, and be repeated";
    const A5: &str = "an append at a written offset of a finalized stream fails, whichever way";
    const A6: &str = "rows that finalize counted are seen by a query";
    let (stream, counted) = match finalized(stand).await {
        Ok(finalized) => finalized,
        Err(error) => {
            let nothing = |assumption, says| Finding::of(assumption, says, Err(anyhow::anyhow!("{error:#}")));
            return vec![nothing("A4", A4), nothing("A5", A5), nothing("A6", A6)];
        }
    };
    let begun = Instant::now();
    let seen = loop {
        match stand.count(&stream).await {
            Ok(found) if found < counted && begun.elapsed() < VISIBLE => sleep(Duration::from_millis(200)).await,
            found => break found,
        }
    };
    let took = begun.elapsed().as_millis();
    let seen = seen.map(|found| {
        let evidence = format!("a query saw {found} of {counted} rows within {took} ms of the count");
        (Verdict::from(found == counted), evidence)
    });
    let repeat = match (stand.finalize(&stream).await, stand.writer.finalize(&stream).await) {
        (Ok(other), Ok(own)) => {
            let evidence = format!("three calls by two clients counted {counted}, {other} and {own}");
            (Verdict::from(other == counted && own == counted), evidence)
        }
        (Err(error), _) | (_, Err(error)) => {
            (Verdict::Fails, format!("the first call counted {counted}, a repeat said: {error}"))
        }
    };
    let written = async {
        let again = append(stand, &stream, 0).await?;
        let found = stand.count(&stream).await?;
        let evidence = format!("{}; the table has {found} of {counted} rows", told(&again));
        Ok((Verdict::from(again.is_err() && found == counted), evidence))
    };
    vec![Finding::of("A4", A4, Ok(repeat)), Finding::of("A5", A5, written.await), Finding::of("A6", A6, seen)]
}

/// A stream with rows that was finalized by the other client, and what that counted.
async fn finalized(stand: &Stand) -> anyhow::Result<(WriteStreamName, i64)> {
    let stream = stand.stream().await?;
    let mut writer = stand.writer_of(&stream);
    for offset in 0..ROWS {
        writer.append(offset, stand.rows(&stream, offset, 1)?).await?;
    }
    let counted = stand.finalize(&stream).await?;
    Ok((stream, counted))
}

/// An append over a new connection.
async fn append(stand: &Stand, stream: &WriteStreamName, offset: i64) -> anyhow::Result<Result<Appended, AppendError>> {
    Ok(stand.writer_of(stream).append(offset, stand.rows(stream, offset, 1)?).await)
}

fn told(append: &Result<Appended, AppendError>) -> String {
    match append {
        Ok(appended) => format!("it was accepted at {:?}", appended.offset),
        Err(error) => format!("{} ({error})", error.name()),
    }
}
