//! One subscription: its settings, its backlog, and what follows from a change of the backlog.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use googleapis::google::pubsub::v1 as pb;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    SubscriptionStats,
    backlog::{Answer, Backlog, Delivery, Effect, Holder, Limits, Take},
    clock::{Clock, Micros, SECOND},
    config::Config,
    message::{Bodies, Message},
    store::{Change, Standing, Store},
};

/// What every part of one Pub/Sub uses.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) bodies: Bodies,
    pub(super) dead_letters: mpsc::UnboundedSender<DeadLetter>,
}

impl Shared {
    /// The message as subscribers get it; `None` where it is gone by now.
    pub(super) fn body(&self, message: &Message) -> Option<Arc<pb::PubsubMessage>> {
        if let Some(body) = message.body() {
            return Some(body);
        }
        match self.store.message(message.sequence) {
            Ok(body) => body.map(Arc::new),
            Err(error) => {
                tracing::error!(%error, sequence = message.sequence, "a message could not be read");
                None
            }
        }
    }

    /// One holder less; the last one takes the message away.
    pub(super) fn release(&self, message: &Arc<Message>, changes: &mut Vec<Change>) {
        if message.release() {
            changes.push(Change::remove_message(message.sequence));
            self.bodies.forget(message);
        }
    }
}

/// A message that used up its deliveries.
#[derive(Debug)]
pub(super) struct DeadLetter {
    pub(super) subscription: Arc<Subscription>,
    pub(super) message: Arc<Message>,
    pub(super) attempts: u32,
}

/// One subscription.
pub(super) struct Subscription {
    pub(super) id: u64,
    shared: Arc<Shared>,
    config: RwLock<Arc<Config>>,
    backlog: Mutex<Backlog>,
    /// When the keeper looks next; [`Micros::MAX`] for never.
    scheduled: AtomicI64,
    reschedule: Notify,
    stirred: watch::Sender<()>,
    closed: CancellationToken,
    deleted: AtomicBool,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("name", &self.config().proto.name).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn new(id: u64, config: Config, shared: Arc<Shared>) -> Arc<Self> {
        let leases = shared.clock.now().unsigned_abs();
        Arc::new(Self {
            id,
            backlog: Mutex::new(Backlog::new(config.settings(), leases)),
            config: RwLock::new(Arc::new(config)),
            shared,
            scheduled: AtomicI64::new(Micros::MAX),
            reschedule: Notify::new(),
            stirred: watch::Sender::new(()),
            closed: CancellationToken::new(),
            deleted: AtomicBool::new(false),
        })
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.read().clone()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Cancelled when the subscription is deleted, detached or the server stops.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Changes whenever there may be something new to take, or the settings changed.
    pub(super) fn stirred(&self) -> watch::Receiver<()> {
        self.stirred.subscribe()
    }

    pub(super) fn configure(self: &Arc<Self>, config: Config) {
        let settings = config.settings();
        *self.config.write() = Arc::new(config);
        self.change(|backlog, _, _| backlog.configure(settings));
        self.stirred.send_replace(());
    }

    /// New messages, already written. Where the subscription is gone they are let go.
    pub(super) fn add(self: &Arc<Self>, messages: impl IntoIterator<Item = Arc<Message>>) {
        self.change(|backlog, _, effects| {
            for message in messages {
                if self.closed.is_cancelled() && self.config().proto.detached {
                    effects.push(Effect::Gone(message));
                } else {
                    backlog.add(message, 0);
                }
            }
        });
    }

    /// A message found again at the start.
    pub(super) fn restore(self: &Arc<Self>, message: Arc<Message>, standing: Standing) {
        self.change(|backlog, _, _| match standing {
            Standing::Unacked { failures } => backlog.add(message, failures),
            Standing::Kept => backlog.add_acked(message),
        });
    }

    pub(super) fn attach(self: &Arc<Self>, holder: Holder, limits: Limits) {
        self.change(|backlog, _, _| backlog.attach(holder, limits));
    }

    pub(super) fn detach(self: &Arc<Self>, holder: Holder) {
        self.change(|backlog, _, _| backlog.detach(holder));
    }

    pub(super) fn take(self: &Arc<Self>, take: Take) -> Vec<Delivery> {
        self.change(|backlog, now, effects| backlog.take(now, take, effects))
    }

    pub(super) fn ack(self: &Arc<Self>, acks: &[(u64, u64)]) -> Vec<Answer> {
        self.change(|backlog, now, effects| {
            acks.iter().map(|(sequence, lease)| backlog.ack(now, *sequence, *lease, effects)).collect()
        })
    }

    /// Message, lease, and seconds from now; 0 seconds is a nack.
    pub(super) fn modify(self: &Arc<Self>, deadlines: &[(u64, u64, i32)]) -> Vec<Answer> {
        self.change(|backlog, now, effects| {
            let extend = |(sequence, lease, seconds): &(u64, u64, i32)| {
                backlog.modify(now, *sequence, *lease, Micros::from(*seconds) * SECOND, effects)
            };
            deadlines.iter().map(extend).collect()
        })
    }

    pub(super) fn forwarded(self: &Arc<Self>, sequence: u64, taken: bool) {
        self.change(|backlog, now, effects| backlog.forwarded(now, sequence, taken, effects));
    }

    pub(super) fn seek(self: &Arc<Self>, time: Micros, retained: &[Arc<Message>]) {
        self.change(|backlog, _, effects| backlog.seek(time, retained, effects));
    }

    /// The server stops: nothing more is delivered, everything stays.
    pub(super) fn stop(&self) {
        self.closed.cancel();
    }

    /// Whether it was deleted, where it is closed.
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// The subscription is deleted, or else detached: everything goes.
    pub(super) fn close(self: &Arc<Self>, deleted: bool) {
        self.deleted.store(deleted, Ordering::Release);
        let mut config = Config::clone(&self.config());
        config.proto.detached = true;
        self.closed.cancel();
        *self.config.write() = Arc::new(config);
        self.change(|backlog, _, effects| backlog.clear(effects));
    }

    pub(super) fn stats(&self) -> SubscriptionStats {
        let config = self.config();
        let backlog = self.backlog.lock();
        let ((backlog_messages, backlog_bytes, oldest), counts) = (backlog.depth(), backlog.counts());
        drop(backlog);
        let age = |published: Micros| self.shared.clock.now().saturating_sub(published) as f64 / SECOND as f64;
        SubscriptionStats {
            name: config.proto.name.clone(),
            topic: config.proto.topic.clone(),
            backlog: backlog_messages,
            backlog_bytes,
            oldest_unacked_age_seconds: oldest.map(age),
            delivered: counts.delivered,
            acked: counts.acked,
            nacked: counts.nacked,
            dead_lettered: counts.dead_lettered,
        }
    }

    /// Ends leases and back-offs when their time comes, until the subscription is closed.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            let due = self.change(|backlog, now, effects| {
                backlog.advance(now, effects);
                let due = backlog.next_due();
                self.scheduled.store(due.unwrap_or(Micros::MAX), Ordering::Release);
                due
            });
            let rest = async {
                match due {
                    Some(due) => tokio::time::sleep_until(self.shared.clock.instant(due)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rest => {}
                () = self.reschedule.notified() => {}
                () = self.closed.cancelled() => return,
            }
        }
    }

    /// Changes the backlog, writes down what follows, and wakes those whom it concerns.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut Backlog, Micros, &mut Vec<Effect>) -> T) -> T {
        let mut effects = Vec::new();
        let mut backlog = self.backlog.lock();
        let result = change(&mut backlog, self.shared.clock.now(), &mut effects);
        // Under the lock, so that the records of one message are written in the order of its changes.
        self.write_down(effects);
        let stirred = backlog.stirred();
        if backlog.next_due().is_some_and(|due| due < self.scheduled.load(Ordering::Acquire)) {
            self.reschedule.notify_one();
        }
        drop(backlog);
        if stirred {
            self.stirred.send_replace(());
        }
        result
    }

    fn write_down(self: &Arc<Self>, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let mut changes = Vec::with_capacity(2 * effects.len());
        let standing = |message: &Message, standing| Change::put_standing(self.id, message.sequence, standing);
        for effect in effects {
            match effect {
                Effect::Gone(message) => {
                    changes.push(Change::remove_standing(self.id, message.sequence));
                    self.shared.release(&message, &mut changes);
                }
                Effect::Retained(message) => changes.push(standing(&message, Standing::Kept)),
                Effect::Restored(message) => changes.push(standing(&message, Standing::Unacked { failures: 0 })),
                Effect::Failed(message, failures) => changes.push(standing(&message, Standing::Unacked { failures })),
                Effect::DeadLetter(message, attempts) => {
                    changes.push(standing(&message, Standing::Unacked { failures: attempts }));
                    let subscription = self.clone();
                    let _ = self.shared.dead_letters.send(DeadLetter { subscription, message, attempts });
                }
            }
        }
        self.shared.store.write(changes);
    }
}

/// A holder of leases that is detached when this is dropped.
#[derive(Debug)]
pub(super) struct Attached {
    subscription: Arc<Subscription>,
    holder: Holder,
}

impl Attached {
    pub(super) fn new(subscription: &Arc<Subscription>, holder: Holder, limits: Limits) -> Self {
        subscription.attach(holder, limits);
        Self { subscription: subscription.clone(), holder }
    }

    pub(super) fn id(&self) -> Holder {
        self.holder
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.subscription.detach(self.holder);
    }
}
