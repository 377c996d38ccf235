//! `POST /fetch?feed=F`: one fetch, as a task asks for it.
//!
//! A feed that fails is answered with 200: the task is done, and when the feed is fetched next is the back-off's business. A
//! fault of our own surroundings is answered with 503, and the task comes again.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::{Query, State},
};
use bytes::Bytes;
use event::Timestamp;
use hashbrown::HashSet;
use http::HeaderMap;
use service::chain;
use sha2::{Digest, Sha256};
use shape::Missing;

use crate::{
    Inner, Poller,
    decode::{DecodeError, documents},
    error::PollerError,
    feed::{FeedPoller, Last},
    lease,
    poll::Parameters,
    report::{FetchReport, FetchResult},
    source::{Answer, SourceError, Validators},
    state::{self, State as Known},
};

/// What a fetch may take beyond the feed's own time before another may begin.
const SLACK: Duration = Duration::from_secs(30);

/// Fetches one feed, and publishes what is new.
pub(crate) async fn post(
    State(poller): State<Poller>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Json<FetchReport>, PollerError> {
    poller.0.verify(&headers).await?;
    let feed = parameters.feed.unwrap_or_default();
    poller.0.feed(&feed)?;
    // A task of its own: a caller that no longer waits tears nothing apart.
    let running = poller.0.tasks.clone().spawn(async move { poller.0.fetch(&feed).await });
    running.await.map_err(|_| PollerError::Lost)?.map(Json)
}

/// Why a feed failed.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("no part of the feed is an event of the stream; the first: {0}")]
    NoEvents(String),
}

impl Inner {
    async fn fetch(&self, name: &str) -> Result<FetchReport, PollerError> {
        let started = Instant::now();
        let feed = self.feed(name)?;
        let fetch = uuid::Uuid::now_v7().to_string();
        let Some(known) = lease::take(&self.store, name, &fetch, feed.feed.timeout + SLACK).await? else {
            let overlap = (FetchReport::nothing(name, FetchResult::Overlap), Missing::default());
            return Ok(self.ended(feed, overlap, started));
        };
        let mut state = Known { fetch, ..known };
        let fetched = self.fetch_leased(feed, &mut state).await;
        // Whatever came of it, the lease is over; a state that cannot be written leaves it to end by itself.
        let written = state::write(&self.store, name, &state).await;
        let ended = fetched?;
        written?;
        Ok(self.ended(feed, ended, started))
    }

    fn ended(&self, feed: &FeedPoller, (report, missing): (FetchReport, Missing), started: Instant) -> FetchReport {
        self.metrics.fetched(feed, &report, &missing, started.elapsed().as_secs_f64());
        report
    }

    async fn fetch_leased(&self, feed: &FeedPoller, state: &mut Known) -> Result<(FetchReport, Missing), PollerError> {
        let now = Timestamp::now();
        let nothing = |result| (FetchReport::nothing(feed.name(), result), Missing::default());
        if let Some(not_before) = state.not_before.filter(|not_before| *not_before > now) {
            let (mut report, missing) = nothing(FetchResult::BackedOff);
            (report.not_before, report.error) = (Some(not_before), state.error.clone());
            return Ok((report, missing));
        }
        // An answer that was read by another declaration says nothing of this one's events.
        let is_known = state.reading == feed.reading && state.body.is_some();
        let validators = Validators { etag: state.etag.clone(), last_modified: state.last_modified.clone() };
        let validators = if is_known { validators } else { Validators::default() };
        let answer = match self.source.fetch(&feed.feed, &validators).await {
            Ok(answer) => answer,
            Err(error) => return Ok((self.failed(feed, state, error.into()), Missing::default())),
        };
        let (body, validators) = match answer {
            Answer::NotModified => {
                settle(state);
                return Ok(nothing(FetchResult::NotModified));
            }
            Answer::Body { body, validators } => (body, validators),
        };
        let hash = hash(&body);
        if is_known && state.body.as_ref() == Some(&hash) {
            settle(state);
            (state.etag, state.last_modified) = (validators.etag, validators.last_modified);
            return Ok(nothing(FetchResult::Unchanged));
        }
        match self.publish(feed, (&body, &hash), state.body.as_deref()).await? {
            Ok((report, missing)) => {
                settle(state);
                state.reading.clone_from(&feed.reading);
                state.body = Some(hash);
                (state.etag, state.last_modified) = (validators.etag, validators.last_modified);
                Ok((report, missing))
            }
            Err(error) => Ok((self.failed(feed, state, error), Missing::default())),
        }
    }

    /// Publishes what of `body` is not on the topic already; with it goes its hash, and `before` is that of the snapshot before.
    /// The inner error is the feed's own.
    async fn publish(
        &self,
        feed: &FeedPoller,
        (body, hash): (&Bytes, &str),
        before: Option<&str>,
    ) -> Result<Result<(FetchReport, Missing), FeedError>, PollerError> {
        let documents = match documents(feed.feed.format, body) {
            Ok(documents) => documents,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut entities = feed.outlet.entities(feed.name(), documents);
        if let (true, 0, Some(first)) = (entities.events.is_empty(), entities.filtered, entities.faults.told.first()) {
            return Ok(Err(FeedError::NoEvents(first.clone())));
        }
        let all: HashSet<[u8; 16]> = entities.events.iter().map(|entity| entity.key).collect();
        let found = entities.events.len();
        {
            let last = feed.last.lock();
            let mut met = HashSet::new();
            entities.events.retain(|entity| !last.has(before, &entity.key) && met.insert(entity.key));
        }
        let published = entities.events.len();
        let taken = feed.outlet.publish(entities.events).await;
        self.metrics.handed_on(feed, published, &taken);
        taken?;
        *feed.last.lock() = Last::new(hash, all);
        if let Some(first) = entities.faults.told.first() {
            tracing::warn!(feed = feed.name(), count = entities.faults.count, first, "parts of the feed are no events");
        }
        let not_found = entities.missing.0.iter().map(|(lookup, (_, values))| (lookup.clone(), values.clone()));
        let report = FetchReport {
            published,
            repeated: found - published,
            filtered: entities.filtered,
            bad: entities.faults.count,
            faults: entities.faults.told,
            not_found: not_found.collect(),
            ..FetchReport::nothing(feed.name(), FetchResult::Published)
        };
        Ok(Ok((report, entities.missing)))
    }

    /// Leaves the feed alone for twice as long as the last time, at most for as long as it declares; longer where it asks
    /// for that itself.
    fn failed(&self, feed: &FeedPoller, state: &mut Known, error: FeedError) -> FetchReport {
        state.failures = state.failures.saturating_add(1);
        let asked = match &error {
            FeedError::Source(SourceError::Status { retry_after, .. }) => *retry_after,
            _ => None,
        };
        let backoff = backoff(feed.feed.every, feed.feed.max_backoff, state.failures);
        let wait = backoff.max(asked.unwrap_or_default().min(Duration::from_secs(24 * 60 * 60)));
        let error = chain(&error);
        tracing::warn!(feed = feed.name(), failures = state.failures, error, "the feed failed");
        state.not_before = Timestamp::now().checked_add(wait).ok();
        state.error = Some(error.clone());
        FetchReport {
            error: Some(error),
            not_before: state.not_before,
            ..FetchReport::nothing(feed.name(), FetchResult::Failed)
        }
    }
}

/// The feed did not fail.
fn settle(state: &mut Known) {
    (state.failures, state.not_before, state.error) = (0, None, None);
}

/// How long a feed is left alone after so many failures: twice its period, and twice as long each time; at most `most`. A
/// little less, so that the fetch that is due just then is made.
fn backoff(every: Duration, most: Duration, failures: u32) -> Duration {
    let doubled = every.saturating_mul(2_u32.checked_pow(failures.min(20)).unwrap_or(u32::MAX));
    let pause = doubled.min(most);
    pause.saturating_sub(pause.min(every) / 10)
}

fn hash(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_fails_is_left_alone_longer_and_longer() {
        let seconds = |failures| backoff(Duration::from_secs(20), Duration::from_secs(600), failures).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 1000].map(seconds), [38, 78, 158, 318, 598, 598, 598]);
        assert_eq!(backoff(Duration::from_secs(20), Duration::from_secs(2), 1), Duration::from_millis(1800));
    }
}
