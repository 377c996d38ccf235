//! A3: finalize and append are atomic against each other. One writes as fast as it can, another finalizes at a moment that
//! is drawn; whatever finalize counted must be what the table has, then and later.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use rand::Rng;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    stand::Stand,
    verdict::{Finding, Verdict},
};

/// Requests that are in flight at once.
const PIPELINE: usize = 32;
/// Requests of a trial at most.
const REQUESTS: i64 = 2_000;
/// How long the writer is left alone at most.
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
    /// Whether appends were refused: the race was one.
    was_cut: bool,
}

impl Race<'_> {
    pub(super) async fn run(&self, stand: &Stand) -> Finding {
        Finding::of("A3", "an append in flight at finalize is either in row_count, or fails", self.tried(stand).await)
    }

    async fn tried(&self, stand: &Stand) -> anyhow::Result<(Verdict, String)> {
        let trials: Vec<Trial> =
            stream::iter(0..self.trials).map(|_| trial(stand)).buffer_unordered(self.jobs).try_collect().await?;
        let last = Instant::now();
        let mut faults: Vec<String> = trials.iter().filter_map(Trial::fault).collect();
        for (at, seconds) in self.looks.iter().enumerate() {
            sleep_until(last + Duration::from_secs(*seconds)).await;
            let is_last = at + 1 == self.looks.len();
            let counts = stand.counts(None).await.context("counting the rows")?;
            let counts: BTreeMap<String, (i64, i64)> =
                counts.into_iter().map(|count| (count.stream, (count.rows, count.distinct))).collect();
            faults.extend(trials.iter().filter_map(|trial| {
                let (rows, distinct) = counts.get(&trial.stream).copied().unwrap_or_default();
                // Rows may come to be seen a little later (A6 is about that); rows that nobody counted may not.
                let is_wrong = rows > trial.counted || distinct != rows || is_last && rows < trial.counted;
                let Trial { stream, counted, .. } = trial;
                is_wrong
                    .then(|| format!("{stream}: {rows} rows ({distinct} offsets) after {seconds} s, counted {counted}"))
            }));
        }
        let cut = trials.iter().filter(|trial| trial.was_cut).count();
        let silent: i64 = trials.iter().map(|trial| trial.counted - trial.acknowledged.len() as i64).sum();
        let rows: i64 = trials.iter().map(|trial| trial.counted).sum();
        let evidence = format!(
            "{} trials, {cut} with appends in flight at finalize, {rows} rows counted, {silent} of them not acknowledged; \
             looked at after {:?} s",
            trials.len(),
            self.looks
        );
        Ok(match faults.first() {
            Some(first) => (Verdict::Fails, format!("{evidence}; {} faults, the first: {first}", faults.len())),
            None if cut == 0 => (Verdict::NotShown, evidence),
            None => (Verdict::Holds, evidence),
        })
    }
}

impl Trial {
    /// What is wrong at once.
    fn fault(&self) -> Option<String> {
        let Self { stream, counted, found, acknowledged, .. } = self;
        if !acknowledged.iter().copied().eq(0..acknowledged.len() as i64) {
            return Some(format!("{stream}: the acknowledged offsets are no prefix: {acknowledged:?}"));
        }
        if acknowledged.len() as i64 > *counted {
            return Some(format!("{stream}: {} appends were acknowledged, counted {counted}", acknowledged.len()));
        }
        (found > counted).then(|| format!("{stream}: {found} rows at once, counted {counted}"))
    }
}

async fn trial(stand: &Stand) -> anyhow::Result<Trial> {
    let stream = stand.stream().await?;
    let head_start = rand::rng().random_range(Duration::ZERO..HEAD_START);
    let fence = async {
        sleep(head_start).await;
        let counted = stand.finalize(&stream).await?;
        anyhow::Ok((counted, stand.count(&stream).await?))
    };
    let (written, fenced) = tokio::join!(write(stand, &stream), fence);
    let (acknowledged, was_cut) = written?;
    let (counted, found) = fenced?;
    Ok(Trial { stream: stream.id().to_owned(), counted, found, acknowledged, was_cut })
}

/// Appends one row after the other, many in flight, until one is refused. Returns the acknowledged offsets in their order.
async fn write(stand: &Stand, stream: &storage_write::WriteStreamName) -> anyhow::Result<(Vec<i64>, bool)> {
    let connection = stand.writer.connection();
    let requests: Vec<_> = (0..REQUESTS).map(|offset| stand.request(stream, offset)).collect::<Result<_, _>>()?;
    let mut answers = stream::iter(requests).map(|request| connection.append(request)).buffered(PIPELINE);
    let (mut acknowledged, mut was_cut, mut left) = (Vec::new(), false, PIPELINE);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(appended) => acknowledged.extend(appended.offset),
            Err(_) => {
                // Those that were in flight with it are looked at too; no more are of use.
                was_cut = true;
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
    }
    Ok((acknowledged, was_cut))
}
