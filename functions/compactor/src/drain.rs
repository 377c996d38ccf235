//! One run of one stream: pull, group by the hour of publishing, write, ack.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use archive::Hour;
use catalog::Budgets;
use event::Message;
use pubsub::{Client, PullLimits, Puller, Received};
use tokio_util::sync::CancellationToken;

use crate::{
    error::DrainError,
    landing::LandingStrip,
    object::{OpenObject, Place},
    reading::{Read, Reading},
    report::{ArchivedObject, Landed, State},
};

/// Objects of a stream that are written at once; each keeps up to 4 MiB. Backlogs come mostly in the order of publishing, so
/// more hours than these seldom mix; where they do, an hour has more objects.
const OPEN_OBJECTS: usize = 4;
/// Messages that are held unacked; then the open objects are made final. An unacked message costs up to a kilobyte.
const HELD_MESSAGES: usize = 20_000;
/// Bytes of messages that are held unacked, likewise.
const HELD_BYTES: usize = 512 << 20;
/// What the largest message takes.
const MESSAGE_BYTES: i64 = 10 << 20;
/// How long the acks may take to be sent.
const FLUSH: Duration = Duration::from_secs(10);
/// How long the end of a run may take after its last message, on top of [`Budgets::max_seconds`].
const FINISH: Duration = Duration::from_secs(120);

/// What bounds a run.
pub(crate) struct Bounds<'a> {
    pub(crate) budgets: &'a Budgets,
    /// The backlog is empty when no message has come for so long.
    pub(crate) idle: Duration,
    /// What a run that died held comes again after so long.
    pub(crate) ack_deadline: Duration,
    pub(crate) stopping: &'a CancellationToken,
}

/// Messages of one object: of one hour, and of one place by the layout.
type Group = (Hour, Arc<str>);

/// A run under way.
struct Drain<'a> {
    place: &'a Place<'a>,
    reading: Reading<'a>,
    landing: Option<LandingStrip<'a>>,
    /// By the hour of publishing, and by what the layout makes of the message.
    open: BTreeMap<Group, (u64, OpenObject)>,
    /// The last message's, where the layout asks for no more than the hour.
    last: Option<Group>,
    /// Messages and bytes that were pulled in all.
    pulled: (u64, u64),
    /// Messages and bytes that are held unacked.
    held: (usize, usize),
}

/// Drains `subscription` (its id) until it is empty or a bound is reached; hands each object that is in the archive to
/// `archived`. On an error nothing is acked that was not handed out.
pub(crate) async fn drain(
    client: &Client,
    subscription: &str,
    (place, bounds): (&Place<'_>, &Bounds<'_>),
    archived: &mut impl FnMut(ArchivedObject),
) -> Result<(State, Option<Landed>), DrainError> {
    let lease = Duration::from_secs(bounds.budgets.max_seconds) + FINISH;
    let limits = PullLimits { lease, extension: bounds.ack_deadline, ..outstanding(bounds.budgets) };
    let mut puller = client.pull(subscription, limits);
    let landing = place.stream.archive.landing.as_ref().map(|landing| LandingStrip::new(place.store, landing));
    let reading = Reading::new(place.stream);
    let mut run = Drain { place, reading, landing, open: BTreeMap::new(), last: None, pulled: (0, 0), held: (0, 0) };
    let ended = run.take_all(&mut puller, bounds, archived).await;
    let ended = match ended {
        Ok(state) => run.finish_all(archived).await.map(|()| state),
        Err(error) => Err(error),
    };
    for (_, object) in std::mem::take(&mut run.open).into_values() {
        object.abandon().await;
    }
    // Sends the acks of what is in the archive, also after an error; what is lost here is delivered once more.
    let flushed = puller.finish(FLUSH).await;
    let state = ended?;
    flushed?;
    Ok((state, run.landing.map(|landing| landing.landed())))
}

/// What Pub/Sub may have outstanding: more than is held at most, so that a full hand is not taken for an empty backlog, and no
/// more than the run will take, as what is left on the way stays away from the next run until its ack deadline.
fn outstanding(budgets: &Budgets) -> PullLimits {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    PullLimits {
        outstanding_messages: number(budgets.max_messages).min(2 * HELD_MESSAGES as i64),
        outstanding_bytes: number(budgets.max_bytes).min(2 * HELD_BYTES as i64).saturating_add(MESSAGE_BYTES),
        ..PullLimits::default()
    }
}

impl Drain<'_> {
    async fn take_all(
        &mut self,
        puller: &mut Puller,
        bounds: &Bounds<'_>,
        archived: &mut impl FnMut(ArchivedObject),
    ) -> Result<State, DrainError> {
        let Budgets { max_seconds, max_bytes, max_messages } = *bounds.budgets;
        let begun = Instant::now();
        let limit = Duration::from_secs(max_seconds);
        while self.pulled.0 < max_messages && self.pulled.1 < max_bytes {
            let Some(left) = limit.checked_sub(begun.elapsed()) else { break };
            let received = tokio::select! {
                () = bounds.stopping.cancelled() => return Ok(State::Stopped),
                received = puller.next(bounds.idle.min(left)) => received?,
            };
            match received {
                Some(received) => self.take(received, archived).await?,
                None if left <= bounds.idle => break, // the time is over, and nobody knows what is left
                None => return Ok(State::Drained),
            }
        }
        Ok(State::BudgetSpent)
    }

    async fn take(
        &mut self,
        Received { message, ack, .. }: Received,
        archived: &mut impl FnMut(ArchivedObject),
    ) -> Result<(), DrainError> {
        if message.is_replay() {
            // It repeats a message that is in the archive.
            self.pulled.0 += 1;
            ack.ack();
            return Ok(());
        }
        let read = self.reading.read(&message);
        if let Some(landing) = &mut self.landing {
            if read.is_event {
                landing.add(&message, &self.reading.labels(&message, &read)).await?;
            } else {
                landing.skip();
            }
        }
        let group = self.group(&message, &read);
        if !self.open.contains_key(&group) {
            if self.open.len() >= OPEN_OBJECTS {
                self.finish_oldest(archived).await?;
            }
            let object = OpenObject::begin(self.place, &group.1, &message).await?;
            self.open.insert(group.clone(), (0, object));
        }
        let size = message.size();
        self.pulled = (self.pulled.0 + 1, self.pulled.1 + size as u64);
        self.held = (self.held.0 + 1, self.held.1 + size);
        if let Some((used, object)) = self.open.get_mut(&group) {
            *used = self.pulled.0;
            object.add(&message, ack).await?;
        }
        if self.held.0 >= HELD_MESSAGES || self.held.1 >= HELD_BYTES {
            self.finish_all(archived).await?;
        }
        Ok(())
    }

    fn group(&mut self, message: &Message, read: &Read<'_>) -> Group {
        let hour = Hour::of(message.publish_time);
        if let Some(last) = self.last.as_ref().filter(|(of, _)| *of == hour) {
            return last.clone();
        }
        let layout = &self.place.stream.archive.layout;
        let group = (hour, Arc::from(layout.render(&self.reading.labels(message, read))));
        if layout.is_hourly() {
            self.last = Some(group.clone());
        }
        group
    }

    /// Makes the object final that has waited longest for another message.
    async fn finish_oldest(&mut self, archived: &mut impl FnMut(ArchivedObject)) -> Result<(), DrainError> {
        let oldest = self.open.iter().min_by_key(|(_, (used, _))| *used).map(|(group, _)| group.clone());
        match oldest {
            Some(group) => self.finish(&group, archived).await,
            None => Ok(()),
        }
    }

    async fn finish_all(&mut self, archived: &mut impl FnMut(ArchivedObject)) -> Result<(), DrainError> {
        while let Some(group) = self.open.keys().next().cloned() {
            self.finish(&group, archived).await?;
        }
        Ok(())
    }

    async fn finish(&mut self, group: &Group, archived: &mut impl FnMut(ArchivedObject)) -> Result<(), DrainError> {
        let Some((_, object)) = self.open.remove(group) else { return Ok(()) };
        // The object's events have landed before its messages are acked.
        if let Some(landing) = &mut self.landing
            && let Err(error) = landing.finish().await
        {
            object.abandon().await;
            return Err(error.into());
        }
        if let Some(object) = object.finish(self.place).await? {
            self.held.0 = self.held.0.saturating_sub(usize::try_from(object.messages).unwrap_or(usize::MAX));
            self.held.1 = self.held.1.saturating_sub(usize::try_from(object.message_bytes).unwrap_or(usize::MAX));
            archived(object);
        }
        Ok(())
    }
}
