//! Publishing an object's messages, in their order.

use std::time::Duration;

use event::Timestamp;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use pubsub::{Outgoing, PublishError, Publisher};
use tokio::time::{Instant, sleep};

use crate::{Progress, ReplayError, checkpoint::Checkpoint, outgoing::outgoing, pace::Pace, sieve::Item};

/// Batches of an object that are under way at once. Of events that have an order each waits for the one before: of two that are
/// under way, the second may come to the topic first.
const UNDER_WAY: usize = 4;
/// How long a batch is tried again while Pub/Sub does not take it.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// What publishing needs.
#[derive(Debug)]
pub(crate) struct Publishing<'a> {
    pub(crate) publisher: &'a Publisher,
    pub(crate) pace: &'a Pace,
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) progress: &'a Progress,
    /// Names the replay.
    pub(crate) run: &'a str,
}

/// The messages of one object that are under way. The checkpoint moves on as Pub/Sub has taken all before.
pub(crate) struct Lane<'a> {
    publishing: &'a Publishing<'a>,
    object: &'a str,
    is_ordered: bool,
    /// What each resolves to is how many messages it had, and the position that is reached with it.
    under_way: FuturesOrdered<BoxFuture<'static, Result<(u64, u64), ReplayError>>>,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(publishing: &'a Publishing<'a>, object: &'a str, is_ordered: bool) -> Self {
        Self { publishing, object, is_ordered, under_way: FuturesOrdered::new() }
    }

    /// Publishes these messages; with them the object's records up to `position` are done.
    pub(crate) async fn publish(&mut self, items: Vec<Item>, is_own: bool, position: u64) -> Result<(), ReplayError> {
        let Publishing { publisher, pace, progress, run, .. } = self.publishing;
        let now = Timestamp::now();
        let count = items.len();
        let messages: Vec<Outgoing> = items.into_iter().filter_map(|item| outgoing(item, is_own, run, now)).collect();
        progress.add(|counts| &counts.unpublishable, (count - messages.len()) as u64);
        pace.turn(messages.len()).await;
        // A task of its own, so that it goes on while the object is read.
        let count = messages.len() as u64;
        let sent = tokio::spawn(send((*publisher).clone(), messages));
        let sent = async move { sent.await.map_err(|_| ReplayError::Lost)?.map(|()| (count, position)) };
        self.under_way.push_back(sent.boxed());
        if self.under_way.len() >= most_under_way(self.is_ordered) {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits until everything is on the topic.
    pub(crate) async fn finish(mut self) -> Result<(), ReplayError> {
        while !self.under_way.is_empty() {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits for the first of what is under way; the others go on meanwhile.
    async fn next(&mut self) -> Result<(), ReplayError> {
        if let Some(position) = self.under_way.next().await {
            let (count, position) = position?;
            self.publishing.progress.add(|counts| &counts.taken, count);
            self.publishing.checkpoint.reached(self.object, position);
        }
        Ok(())
    }
}

fn most_under_way(is_ordered: bool) -> usize {
    if is_ordered { 1 } else { UNDER_WAY }
}

/// Publishes the messages until each is on the topic.
async fn send(publisher: Publisher, mut messages: Vec<Outgoing>) -> Result<(), ReplayError> {
    let begun = Instant::now();
    let mut backoff = FIRST_BACKOFF;
    while !messages.is_empty() {
        let results = publisher.publish(messages.clone()).await;
        let mut failed = None;
        let mut left = Vec::new();
        for (message, result) in messages.into_iter().zip(results) {
            match result {
                Ok(_) => {}
                Err(error) if error.is_transient() => {
                    left.push(message);
                    failed = Some(error);
                }
                Err(error) => return Err(ReplayError::Publish(error)),
            }
        }
        messages = left;
        if let Some(error) = failed {
            if begun.elapsed() > PATIENCE {
                return Err(ReplayError::Publish(error));
            }
            if !matches!(error, PublishError::Overloaded { .. }) {
                tracing::warn!(%error, messages = messages.len(), "publishing is tried again");
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_an_order_goes_batch_by_batch() {
        assert_eq!((most_under_way(true), most_under_way(false)), (1, UNDER_WAY));
    }
}
