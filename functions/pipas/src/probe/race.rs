//! A3: finalize and append are atomic against each other. One writes as fast as it can, another finalizes at a moment that
//! is drawn; whatever finalize counted must be what the table has, then and later.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use futures::{StreamExt, stream};
use rand::Rng;
use storage_write::{AppendError, WriteStreamName};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};

use super::{
    stand::Stand,
    verdict::{Finding, Verdict},
};

/// Requests that are in flight at once.
const PIPELINE: usize = 32;
/// Requests of a trial at most.
const REQUESTS: i64 = 20_000;
/// How long the writer is left alone at most, from its first acknowledged append on.
const HEAD_START: Duration = Duration::from_millis(300);

pub(super) struct Race<'a> {
    pub(super) trials: usize,
    pub(super) jobs: usize,
    /// When the rows are counted, in seconds after the last finalize.
    pub(super) looks: &'a [u64],
}

/// What came of one race.
struct Trial {
    stream: String,
    /// What finalize counted.
    counted: i64,
    /// What was found right after it.
    found: i64,
    /// Offsets that were acknowledged.
    acknowledged: Vec<i64>,
    /// Why it was no race: finalize did not cut acknowledged appends off.
    no_race: Option<String>,
}

impl Race<'_> {
    pub(super) async fn run(&self, stand: &Stand) -> Finding {
        let (verdict, evidence) = self.tried(stand).await;
        Finding::of("A3", "an append in flight at finalize is either in row_count, or fails", Ok((verdict, evidence)))
    }

    async fn tried(&self, stand: &Stand) -> (Verdict, String) {
        let tried: Vec<anyhow::Result<Trial>> =
            stream::iter(0..self.trials).map(|_| trial(stand)).buffer_unordered(self.jobs).collect().await;
        let last = Instant::now();
        let (mut trials, mut left_out) = (Vec::new(), Vec::new());
        for tried in tried {
            match tried {
                Ok(trial) => {
                    left_out.extend(trial.no_race.clone());
                    trials.push(trial);
                }
                Err(error) => left_out.push(format!("{error:#}")),
            }
        }
        // What was no race can still be wrong.
        let mut faults: Vec<String> = trials.iter().filter_map(Trial::fault).collect();
        let mut not_looked = None;
        let looks = if trials.is_empty() { &[] } else { self.looks };
        for (at, seconds) in looks.iter().enumerate() {
            sleep_until(last + Duration::from_secs(*seconds)).await;
            let is_last = at + 1 == looks.len();
            match stand.counts(None).await {
                Ok(counts) => {
                    let counts: BTreeMap<String, (i64, i64)> =
                        counts.into_iter().map(|count| (count.stream, (count.rows, count.distinct))).collect();
                    faults.extend(trials.iter().filter_map(|trial| {
                        trial.fault_of(counts.get(&trial.stream).copied().unwrap_or_default(), *seconds, is_last)
                    }));
                }
                Err(error) => {
                    not_looked.get_or_insert_with(|| format!("counting the rows after {seconds} s: {error:#}"));
                }
            }
        }
        let races = self.trials - left_out.len();
        let silent: i64 = trials.iter().map(|trial| trial.counted - trial.acknowledged.len() as i64).sum();
        let rows: i64 = trials.iter().map(|trial| trial.counted).sum();
        let mut evidence = format!(
            "{races} of {} trials had acknowledged appends, and then more that finalize cut off; {rows} rows counted, {silent} \
             of them not acknowledged; looked at after {:?} s",
            self.trials, looks
        );
        if let Some(first) = left_out.first() {
            evidence += &format!("; {} trials left out, the first: {first}", left_out.len());
        }
        if let Some(first) = faults.first() {
            return (Verdict::Fails, format!("{evidence}; {} faults, the first: {first}", faults.len()));
        }
        if let Some(error) = not_looked {
            return (Verdict::NotShown, format!("{evidence}; {error}"));
        }
        // A few races among many trials would show less than what was asked for.
        if races * 2 < self.trials || races == 0 {
            return (Verdict::NotShown, format!("{evidence}; fewer than half were races"));
        }
        (Verdict::Holds, evidence)
    }
}

impl Trial {
    /// What is wrong at once.
    fn fault(&self) -> Option<String> {
        let Self { stream, counted, found, acknowledged, .. } = self;
        if let Some(beyond) = acknowledged.iter().find(|offset| *offset >= counted) {
            return Some(format!("{stream}: the append at {beyond} was acknowledged, counted {counted}"));
        }
        (found > counted).then(|| format!("{stream}: {found} rows at once, counted {counted}"))
    }

    /// What is wrong with the rows, and the distinct offsets of them, that a look found.
    fn fault_of(&self, (rows, distinct): (i64, i64), seconds: u64, is_last: bool) -> Option<String> {
        let Self { stream, counted, .. } = self;
        // Rows may come to be seen a little later (A6 is about that); rows that nobody counted may not.
        let is_wrong = rows > *counted || distinct != rows || is_last && rows < *counted;
        is_wrong.then(|| format!("{stream}: {rows} rows ({distinct} offsets) after {seconds} s, counted {counted}"))
    }
}

async fn trial(stand: &Stand) -> anyhow::Result<Trial> {
    let stream = stand.stream().await?;
    let head_start = rand::rng().random_range(Duration::ZERO..HEAD_START);
    let (begin, begun) = oneshot::channel();
    let fence = async {
        // A writer that ends without an acknowledged append is waited for no longer.
        let _ = begun.await;
        sleep(head_start).await;
        let called = Instant::now();
        let counted = stand.finalize(&stream).await.context("finalizing")?;
        let found = stand.count(&stream).await.context("counting the rows at once")?;
        anyhow::Ok((called, counted, found))
    };
    let (written, fenced) = tokio::join!(write(stand, &stream, begin), fence);
    let (written, (called, counted, found)) = (written?, fenced?);
    let no_race = written.no_race(called);
    let stream = stream.id().to_owned();
    Ok(Trial { stream, counted, found, acknowledged: written.acknowledged, no_race })
}

/// What the writer was told.
#[derive(Default)]
struct Written {
    /// The offsets that were acknowledged, in their order.
    acknowledged: Vec<i64>,
    first_refusal: Option<Refusal>,
}

struct Refusal {
    at: Instant,
    error: AppendError,
    /// How many appends were acknowledged before it.
    acknowledged: usize,
}

impl Written {
    /// Why nothing is learned of a finalize that was called at `called`.
    fn no_race(&self, called: Instant) -> Option<String> {
        let Some(refusal) = &self.first_refusal else {
            return Some(format!("all of {REQUESTS} appends were acknowledged before finalize"));
        };
        let Refusal { at, error, acknowledged } = refusal;
        if !error.is_of_finalized_stream() {
            return Some(format!("an append failed otherwise than by finalize: {} ({error})", error.name()));
        }
        if *at < called {
            return Some(format!("an append was refused before finalize was called: {error}"));
        }
        (*acknowledged == 0).then(|| "no append was acknowledged before finalize".to_owned())
    }
}

/// Appends one row after the other, many in flight, until one is refused. Says `begun` when one was acknowledged.
async fn write(stand: &Stand, stream: &WriteStreamName, begun: oneshot::Sender<()>) -> anyhow::Result<Written> {
    let connection = stand.writer.connection();
    let append = |offset| {
        let connection = &connection;
        async move { anyhow::Ok((offset, connection.append(stand.request(stream, offset)?).await)) }
    };
    let mut answers = stream::iter(0..REQUESTS).map(append).buffered(PIPELINE);
    let (mut written, mut begun, mut left) = (Written::default(), Some(begun), PIPELINE);
    while let Some(answer) = answers.next().await {
        match answer? {
            (offset, Ok(_)) => {
                written.acknowledged.push(offset);
                if let Some(begun) = begun.take() {
                    // Nobody waits where the other side failed.
                    let _ = begun.send(());
                }
            }
            (_, Err(error)) => {
                let acknowledged = written.acknowledged.len();
                written.first_refusal.get_or_insert_with(|| Refusal { at: Instant::now(), error, acknowledged });
                // Those that were in flight with it are looked at too; no more are of use.
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use storage_write::{Fault, StorageErrorCode};
    use tonic::Code;

    use super::*;

    fn trial(counted: i64, found: i64, acknowledged: Vec<i64>) -> Trial {
        Trial { stream: "s".to_owned(), counted, found, acknowledged, no_race: None }
    }

    #[test]
    fn rows_that_finalize_did_not_count_are_a_fault() {
        assert_eq!(trial(3, 3, vec![0, 1]).fault(), None);
        assert_eq!(trial(3, 2, vec![0, 2]).fault(), None, "seen later, and an answer was lost");
        assert!(trial(3, 3, vec![0, 1, 2, 3]).fault().is_some_and(|fault| fault.contains("at 3 was acknowledged")));
        assert!(trial(3, 4, vec![0]).fault().is_some_and(|fault| fault.contains("4 rows at once")));
        let counted = trial(3, 3, vec![0, 1, 2]);
        assert_eq!(counted.fault_of((3, 3), 10, true), None);
        assert_eq!(counted.fault_of((2, 2), 0, false), None);
        for (wrong, is_last) in [((4, 4), false), ((4, 3), false), ((3, 2), false), ((2, 2), true)] {
            assert!(counted.fault_of(wrong, 10, is_last).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_finalize_cut_off_is_a_race() {
        let called = Instant::now();
        let after = called + Duration::from_millis(1);
        let fault = |storage| Fault { code: Code::InvalidArgument, storage, message: "m".to_owned() };
        let finalized = || AppendError::StreamGone(fault(Some(StorageErrorCode::StreamFinalized)));
        let no_race = |at, error, acknowledged| {
            let first_refusal = Some(Refusal { at, error, acknowledged });
            Written { acknowledged: Vec::new(), first_refusal }.no_race(called)
        };
        assert_eq!(no_race(after, finalized(), 1), None);
        for (said, expected) in [
            (no_race(after, finalized(), 0), "no append was acknowledged"),
            (no_race(called - Duration::from_millis(1), finalized(), 1), "before finalize was called"),
            (no_race(after, AppendError::Permanent(fault(None)), 1), "otherwise than by finalize"),
            (Written::default().no_race(called), "were acknowledged before finalize"),
        ] {
            assert!(said.as_ref().is_some_and(|said| said.contains(expected)), "{expected}: {said:?}");
        }
    }
}
