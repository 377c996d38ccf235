//! `POST /poll?feed=F`: the trigger of Cloud Scheduler, once a minute.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
};
use event::Timestamp;
use futures::future::join_all;
use http::HeaderMap;
use serde::Deserialize;

use crate::{Inner, Poller, error::PollerError, feed::FeedPoller, report::PollReport, tasks::Enqueued};

/// When Cloud Scheduler meant to fire: a trigger that comes late, or again, is still of its minute.
const SCHEDULED: &str = "x-cloudscheduler-scheduletime";
const MINUTE: i64 = 60;

#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    pub(crate) feed: Option<String>,
}

/// Puts the fetches of this minute on the queue, of one feed or of all.
pub(crate) async fn post(
    State(poller): State<Poller>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Json<BTreeMap<String, PollReport>>, PollerError> {
    let inner = &poller.0;
    inner.verify(&headers).await?;
    let feeds = match parameters.feed.filter(|feed| !feed.is_empty()) {
        Some(feed) => vec![inner.feed(&feed)?],
        None => inner.feeds.values().collect(),
    };
    let now = Timestamp::now();
    let minute = scheduled(&headers)?.unwrap_or(now).as_second().div_euclid(MINUTE) * MINUTE;
    let polled = join_all(feeds.into_iter().map(|feed| inner.poll(feed, minute, now))).await;
    let reports = polled.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(Json(reports.into_iter().collect()))
}

fn scheduled(headers: &HeaderMap) -> Result<Option<Timestamp>, PollerError> {
    let Some(value) = headers.get(SCHEDULED) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    match text.parse() {
        Ok(time) => Ok(Some(time)),
        Err(_) => Err(PollerError::Time { name: SCHEDULED, found: text.chars().take(100).collect() }),
    }
}

impl Inner {
    pub(crate) async fn verify(&self, headers: &HeaderMap) -> Result<(), PollerError> {
        Ok(self.auth.verify_headers(headers).await?)
    }

    pub(crate) fn feed(&self, name: &str) -> Result<&FeedPoller, PollerError> {
        self.feeds.get(name).ok_or_else(|| PollerError::UnknownFeed {
            feed: name.chars().take(100).collect(),
            feeds: self.feeds.keys().cloned().collect(),
        })
    }

    async fn poll(&self, feed: &FeedPoller, minute: i64, now: Timestamp) -> Result<(String, PollReport), PollerError> {
        let (name, every) = (feed.name(), feed.feed.every);
        let mut report = PollReport::default();
        let (late, due): (Vec<_>, Vec<_>) = times(minute, every).into_iter().partition(|at| is_late(*at, every, now));
        let total = due.len();
        let queued = join_all(due.iter().map(|at| self.queue.enqueue(name, *at, feed.feed.timeout))).await;
        let mut errors = Vec::new();
        for (at, queued) in due.into_iter().zip(queued) {
            match queued {
                Ok(Enqueued::Created) => report.created.push(at),
                Ok(Enqueued::Existing) => report.existing.push(at),
                Err(error) => errors.push(error),
            }
        }
        report.late = late;
        let counts = [
            ("created", report.created.len()),
            ("existing", report.existing.len()),
            ("late", report.late.len()),
            ("failed", errors.len()),
        ];
        for (result, count) in counts {
            self.metrics.tasks.with_label_values(&[name, result]).inc_by(count as u64);
        }
        let failed = errors.len();
        match errors.into_iter().next() {
            None => Ok((name.to_owned(), report)),
            Some(source) => Err(PollerError::Queue { failed, total, source: Box::new(source) }),
        }
    }
}

/// The whole multiples of `every` in the minute that begins at the second `minute`.
fn times(minute: i64, every: Duration) -> Vec<Timestamp> {
    let Ok(every) = i64::try_from(every.as_secs().max(1)) else { return Vec::new() };
    let first = minute.div_euclid(every) * every;
    let first = if first < minute { first + every } else { first };
    (first..minute + MINUTE)
        .step_by(usize::try_from(every).unwrap_or(usize::MAX))
        .filter_map(|second| Timestamp::from_second(second).ok())
        .collect()
}

fn is_late(at: Timestamp, every: Duration, now: Timestamp) -> bool {
    now.duration_since(at).as_secs_f64() >= every.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(minute: i64, every: u64) -> Vec<i64> {
        times(minute, Duration::from_secs(every)).iter().map(|at| at.as_second()).collect()
    }

    #[test]
    fn a_minute_has_its_multiples_of_the_period() {
        assert_eq!(seconds(120, 20), [120, 140, 160]);
        assert_eq!(seconds(120, 60), [120]);
        assert_eq!(seconds(120, 45), [135]);
        assert_eq!(seconds(180, 45), [180, 225]);
        assert_eq!(seconds(300, 300), [300]);
        assert!(seconds(360, 300).is_empty());
        let all: Vec<i64> = (0..10).flat_map(|minute| seconds(minute * 60, 7)).collect();
        assert_eq!(all, (0..600).step_by(7).collect::<Vec<_>>(), "no fetch is left out or doubled");
    }
}
