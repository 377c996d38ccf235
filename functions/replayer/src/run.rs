//! One run of a replay, from the listing to the report.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use catalog::Stream;
use event::Timestamp;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    Inner, Mode, Progress, ReplayError, Report, Request, State,
    age::Age,
    checkpoint::Checkpoint,
    identity::Identity,
    listing::{self, Source},
    merge::Merge,
    overlap::Overlap,
    pace::Pace,
    publish::{Lane, Publishing},
    read::{self, Batch, Fault},
    report::Damaged,
    sieve::{Item, Sieve},
    target::Targets,
};

/// Objects that are read at once. A stream whose events have an order is read one object after the other.
const PARALLEL: usize = 4;
/// Objects whose rows are committed to the staging tables together.
const TOGETHER: usize = 32;
/// Messages that go together.
const BATCH: usize = 500;
/// How often the checkpoint is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often objects are listed anew that were merged into others while they were read.
const LISTINGS: usize = 5;

/// What a run reports to and is ended by.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// How far it is.
    pub progress: Arc<Progress>,
    /// Ends it when cancelled; what it has done is in its checkpoint.
    pub stop: CancellationToken,
    /// Ends it at that time, likewise.
    pub deadline: Option<Instant>,
}

impl Control {
    /// How the run is to end, where it is to end now.
    fn ended(&self) -> Option<State> {
        if self.stop.is_cancelled() {
            return Some(State::Stopped);
        }
        self.deadline.filter(|deadline| *deadline <= Instant::now()).map(|_| State::BudgetSpent)
    }
}

/// How one object ended.
enum Ended {
    Done,
    Interrupted(State),
    Missing,
    Damaged(String),
}

/// Objects that a run could not read.
#[derive(Default)]
struct Lost {
    /// Not found once.
    missing: BTreeSet<String>,
    unreadable: BTreeSet<String>,
    /// Nothing is listed any more after this.
    is_last_listing: bool,
}

impl Lost {
    /// Whether an object that was not found may be in another by now, which the next listing tells. One that is still listed
    /// then is lost, and so is one that no listing follows.
    fn may_have_moved(&mut self, object: &str) -> bool {
        self.missing.insert(object.to_owned()) && !self.is_last_listing
    }
}

/// A run under way.
struct Run<'a> {
    inner: &'a Inner,
    stream: &'a Stream,
    control: &'a Control,
    sieve: Sieve,
    pace: Pace,
    checkpoint: Option<Checkpoint>,
    damaged: Vec<Damaged>,
}

/// Replays what `request` asks for.
pub(crate) async fn replay(inner: &Inner, request: &Request, control: &Control) -> Result<Report, ReplayError> {
    let replayed = run(inner, request, control).await;
    match &replayed {
        Ok(report) => {
            inner.metrics.ran(report);
            tracing::info!(
                stream = report.stream,
                state = report.state.name(),
                messages = report.counts.taken,
                objects = report.counts.objects_done,
                damaged = report.damaged.len(),
                "replayed"
            );
        }
        Err(_) if inner.catalog.streams.contains_key(&request.stream) => inner.metrics.failed(&request.stream),
        Err(_) => {}
    }
    replayed
}

async fn run(inner: &Inner, request: &Request, control: &Control) -> Result<Report, ReplayError> {
    let begun = Instant::now();
    let stream = check(inner, request)?;
    let targets = Arc::new(Targets::open(&inner.tables, stream, request, inner.mask_key.as_ref()).await?);
    let now = Timestamp::now();
    let checkpoint = match request.dry_run {
        true => None,
        false => Some(Checkpoint::begin(&inner.store, request, &targets, now).await?),
    };
    let to = checkpoint.as_ref().map_or(request.to.unwrap_or(now), |checkpoint| checkpoint.document().to);
    // What is published while the replay runs is none of it, its own messages least of all.
    let request = Request { to: if request.objects.is_empty() { Some(to) } else { None }, ..request.clone() };
    let age = Age::new(stream.dedupe_window);
    let progress = Arc::clone(&control.progress);
    let sieve = Sieve::new(&request, Identity::new(stream), Arc::clone(&targets), age, progress);
    let pace = Pace::new(request.rate);
    let mut run = Run { inner, stream, control, sieve, pace, checkpoint, damaged: Vec::new() };
    let state = match request.mode {
        Mode::Merge if !request.dry_run => run.merge(&targets).await?,
        Mode::Publish | Mode::Merge => run.publish().await?,
    };
    let Run { sieve, checkpoint, damaged, .. } = run;
    Ok(Report {
        stream: request.stream.clone(),
        mode: request.mode,
        state,
        dry_run: request.dry_run,
        resumed: checkpoint.is_some_and(|checkpoint| checkpoint.is_resumed),
        to,
        counts: control.progress.counts(),
        by_table: sieve.by_table(),
        damaged,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn check<'a>(inner: &'a Inner, request: &Request) -> Result<&'a Stream, ReplayError> {
    if let (Some(from), Some(to)) = (request.from, request.to)
        && from >= to
    {
        return Err(ReplayError::EmptySpan);
    }
    if !request.objects.is_empty() && (request.from.is_some() || request.to.is_some()) {
        return Err(ReplayError::ForeignSpan);
    }
    inner.catalog.streams.get(&request.stream).ok_or_else(|| ReplayError::UnknownStream {
        stream: request.stream.chars().take(100).collect(),
        streams: inner.catalog.streams.keys().cloned().collect(),
    })
}

impl Run<'_> {
    /// The objects that are left, but for those that cannot be read.
    async fn left(&self, lost: &Lost) -> Result<Vec<Source>, ReplayError> {
        let mut sources = listing::list(self.inner, &self.sieve.request).await?;
        let is_done = |source: &Source| self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.is_done(source));
        sources.retain(|source| !lost.unreadable.contains(&source.name) && !is_done(source));
        Ok(sources)
    }

    fn begin(&self, sources: &[Source]) -> Overlap {
        let progress = &self.control.progress;
        progress.add(|counts| &counts.objects, sources.len() as u64);
        progress.add(|counts| &counts.expected, sources.iter().filter_map(|source| source.expected.records).sum());
        Overlap::of(sources.iter().filter_map(|source| source.span).collect())
    }

    /// Publishes, or only counts.
    async fn publish(&mut self) -> Result<State, ReplayError> {
        let publisher = self.inner.pubsub.publisher(self.stream.topic());
        let parallel = if self.stream.ordering_key.is_some() { 1 } else { PARALLEL };
        let mut lost = Lost::default();
        for listing in 1..=LISTINGS {
            lost.is_last_listing = listing == LISTINGS;
            let sources = self.left(&lost).await?;
            let overlap = self.begin(&sources);
            let before = lost.missing.len();
            let ended = self.publish_objects(&publisher, &sources, &overlap, parallel).await?;
            let states: Vec<State> =
                ended.into_iter().filter_map(|(source, ended)| self.ended(source, ended, &mut lost)).collect();
            self.save().await?;
            if let Some(state) = states.into_iter().next() {
                return Ok(state);
            }
            if lost.missing.len() == before {
                break;
            }
        }
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.finish().await?;
        }
        Ok(State::Done)
    }

    /// Some objects at a time; those that did not end well.
    async fn publish_objects<'s>(
        &self,
        publisher: &pubsub::Publisher,
        sources: &'s [Source],
        overlap: &Overlap,
        parallel: usize,
    ) -> Result<Vec<(&'s Source, Ended)>, ReplayError> {
        let mut objects = Vec::with_capacity(sources.len());
        for source in sources {
            objects.push(async move { (source, self.publish_object(publisher, source, overlap).await) }.boxed());
        }
        let mut objects = futures::stream::iter(objects).buffer_unordered(parallel);
        let mut save = interval(SAVE_EVERY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rest = Vec::new();
        loop {
            tokio::select! {
                next = objects.next() => match next {
                    None => return Ok(rest),
                    Some((source, ended)) => match ended? {
                        Ended::Done => {
                            self.control.progress.add(|counts| &counts.objects_done, 1);
                            if let Some(checkpoint) = &self.checkpoint {
                                checkpoint.finished(&source.name);
                            }
                        }
                        ended => rest.push((source, ended)),
                    },
                },
                _ = save.tick() => self.save().await?,
            }
        }
    }

    /// Takes down how an object ended; the state of a run that was interrupted.
    fn ended(&mut self, source: &Source, ended: Ended, lost: &mut Lost) -> Option<State> {
        let detail = match ended {
            Ended::Done => return None,
            Ended::Interrupted(state) => return Some(state),
            Ended::Missing if lost.may_have_moved(&source.name) => return None,
            Ended::Missing => "it does not exist".to_owned(),
            Ended::Damaged(detail) => detail,
        };
        lost.unreadable.insert(source.name.clone());
        self.is_damaged(source, detail);
        None
    }

    fn is_damaged(&mut self, source: &Source, detail: String) {
        tracing::error!(object = source.name, detail, "an object is damaged");
        self.damaged.push(Damaged { object: source.name.clone(), detail });
    }

    async fn save(&self) -> Result<(), ReplayError> {
        match &self.checkpoint {
            Some(checkpoint) => checkpoint.save().await,
            None => Ok(()),
        }
    }

    async fn publish_object(
        &self,
        publisher: &pubsub::Publisher,
        source: &Source,
        overlap: &Overlap,
    ) -> Result<Ended, ReplayError> {
        if let Some(state) = self.control.ended() {
            return Ok(Ended::Interrupted(state));
        }
        let progress = &*self.control.progress;
        let done = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position(&source.name));
        let publishing = self.checkpoint.as_ref().map(|checkpoint| Publishing {
            publisher,
            pace: &self.pace,
            checkpoint,
            progress,
            run: &checkpoint.run,
        });
        let is_ordered = self.stream.ordering_key.is_some();
        let mut lane = publishing.as_ref().map(|publishing| Lane::new(publishing, &source.name, is_ordered));
        let mut batches = read::read(source, self.pace.batch(BATCH));
        let ended = loop {
            let batch = match batches.recv().await {
                None => break Ended::Done,
                Some(Ok(batch)) => batch,
                Some(Err(Fault::Missing)) => break Ended::Missing,
                Some(Err(Fault::Damaged(detail))) => break Ended::Damaged(detail),
            };
            let position = batch.first + batch.messages.len() as u64;
            let items = self.sift(batch, done, overlap);
            match &mut lane {
                Some(lane) => lane.publish(items, source.is_own, position).await?,
                None => progress.add(|counts| &counts.taken, items.len() as u64),
            }
            if let Some(state) = self.control.ended() {
                break Ended::Interrupted(state);
            }
        };
        if let Some(lane) = lane {
            lane.finish().await?;
        }
        Ok(ended)
    }

    /// What of a batch is replayed; the object's first `done` records are replayed already.
    fn sift(&self, batch: Batch, done: u64, overlap: &Overlap) -> Vec<Item> {
        let Batch { first, messages } = batch;
        let progress = &self.control.progress;
        progress.add(|counts| &counts.read, messages.len() as u64);
        let earlier = usize::try_from(done.saturating_sub(first)).unwrap_or(usize::MAX).min(messages.len());
        progress.add(|counts| &counts.earlier, earlier as u64);
        let now = Timestamp::now();
        messages.into_iter().skip(earlier).filter_map(|message| self.sieve.take(message, overlap, now)).collect()
    }

    /// Stages, and inserts what the tables lack.
    async fn merge(&mut self, targets: &Arc<Targets>) -> Result<State, ReplayError> {
        let Some(checkpoint) = self.checkpoint.take() else { return Ok(State::Done) };
        let state = self.stage_and_insert(targets, &checkpoint).await;
        self.checkpoint = Some(checkpoint);
        state
    }

    async fn stage_and_insert(
        &mut self,
        targets: &Arc<Targets>,
        checkpoint: &Checkpoint,
    ) -> Result<State, ReplayError> {
        let progress = Arc::clone(&self.control.progress);
        let mut merge = Merge::open(self.inner, targets, checkpoint, &progress).await?;
        let document = checkpoint.document();
        if document.is_staged {
            self.damaged = document.damaged;
        } else {
            if let Some(state) = self.stage(&mut merge, checkpoint, &progress).await? {
                return Ok(state);
            }
            checkpoint.all_staged(&self.damaged).await?;
        }
        merge.insert().await?;
        Ok(State::Done)
    }

    /// Stages every object that is left; how the run ended, where it was to end before.
    async fn stage(
        &mut self,
        merge: &mut Merge<'_>,
        checkpoint: &Checkpoint,
        progress: &Progress,
    ) -> Result<Option<State>, ReplayError> {
        let mut lost = Lost::default();
        for listing in 1..=LISTINGS {
            lost.is_last_listing = listing == LISTINGS;
            let mut sources = self.left(&lost).await?;
            sources.retain(|source| !checkpoint.is_done(source));
            let overlap = self.begin(&sources);
            let before = lost.missing.len();
            for together in sources.chunks(TOGETHER) {
                let mut done = Vec::new();
                for source in together {
                    match self.stage_object(merge, source, &overlap).await? {
                        Ended::Done => {
                            progress.add(|counts| &counts.objects_done, 1);
                            done.push(source.name.clone());
                        }
                        ended => {
                            if let Some(state) = self.ended(source, ended, &mut lost) {
                                // What was added and not committed goes with its stream; the next run stages it.
                                return Ok(Some(state));
                            }
                        }
                    }
                }
                merge.commit(&done).await?;
            }
            if lost.missing.len() == before {
                break;
            }
        }
        Ok(None)
    }

    async fn stage_object(
        &self,
        merge: &mut Merge<'_>,
        source: &Source,
        overlap: &Overlap,
    ) -> Result<Ended, ReplayError> {
        let mut batches = read::read(source, self.pace.batch(BATCH));
        while let Some(batch) = batches.recv().await {
            if let Some(state) = self.control.ended() {
                return Ok(Ended::Interrupted(state));
            }
            match batch {
                Ok(batch) => {
                    let items = self.sift(batch, 0, overlap);
                    self.pace.turn(items.len()).await;
                    merge.add(items).await?;
                }
                Err(Fault::Missing) => return Ok(Ended::Missing),
                Err(Fault::Damaged(detail)) => return Ok(Ended::Damaged(detail)),
            }
        }
        Ok(Ended::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_listing_looks_for_any_more_is_told() {
        let mut lost = Lost::default();
        assert!(lost.may_have_moved("a") && !lost.may_have_moved("a"));
        lost.is_last_listing = true;
        assert!(!lost.may_have_moved("b"));
    }
}
