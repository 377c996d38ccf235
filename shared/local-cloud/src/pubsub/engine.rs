//! The topics and subscriptions of one Pub/Sub, and what is done to them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use googleapis::google::pubsub::v1 as pb;
use parking_lot::RwLock;
use tokio::sync::{Mutex, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

use super::{
    SubscriptionStats,
    backlog::Holder,
    clock::{Clock, Micros},
    config::{self, Config},
    message::Bodies,
    names::{self, Kind},
    publish::Publishing,
    push,
    recovery::Recovered,
    store::{Change, Store, WriteFailed},
    subscription::{DeadLetter, Shared, Subscription},
    topic::Topic,
};
use crate::faults::Faults;

/// Bodies of unacked messages kept in memory; the others are read from disk.
const BODIES_IN_MEMORY: usize = 64 << 20;
/// How often the retention of topics is looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// One Pub/Sub.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) sender: Arc<push::Sender>,
    pub(super) publishing: Publishing,
    /// Tasks that the server waits for when it stops.
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    /// Changes of topics and subscriptions come one after the other.
    admin: Mutex<()>,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    subscriptions: RwLock<BTreeMap<String, Arc<Subscription>>>,
    holders: AtomicU64,
}

impl Engine {
    /// Finds everything again that is in the folder, and begins to deliver.
    pub(super) fn open(folder: &Path, faults: Faults) -> anyhow::Result<Arc<Self>> {
        let (dead_letters, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            clock: Clock::new(),
            store: Store::open(folder)?,
            bodies: Bodies::new(BODIES_IN_MEMORY),
            dead_letters,
        });
        let Recovered { topics, subscriptions, sequence } = Recovered::read(&shared)?;
        let engine = Arc::new(Self {
            sender: Arc::new(push::Sender::new(faults)?),
            publishing: Publishing::new(sequence),
            shared,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            admin: Mutex::default(),
            topics: RwLock::new(topics),
            subscriptions: RwLock::new(subscriptions),
            holders: AtomicU64::new(1),
        });
        for subscription in engine.subscriptions.read().values() {
            engine.run(subscription);
        }
        engine.tasks.spawn(engine.clone().forward_dead_letters(queue));
        engine.tasks.spawn(engine.clone().keep_house());
        Ok(engine)
    }

    /// Stops delivering. The tasks end by themselves.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        for subscription in self.subscriptions.read().values() {
            subscription.stop();
        }
    }

    /// A number that no holder of leases has had.
    pub(super) fn holder(&self) -> Holder {
        self.holders.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn topic(&self, name: &str) -> Result<Arc<Topic>, Status> {
        names::check(Kind::Topic, name)?;
        self.topics.read().get(name).cloned().ok_or_else(|| names::not_found(name))
    }

    pub(super) fn subscription(&self, name: &str) -> Result<Arc<Subscription>, Status> {
        names::check(Kind::Subscription, name)?;
        self.subscriptions.read().get(name).cloned().ok_or_else(|| names::not_found(name))
    }

    /// The topics of a project in the order of their names, from after `after`.
    pub(super) fn topics(&self, project: &str, after: &str, most: usize) -> Vec<Arc<Topic>> {
        let start = (std::ops::Bound::Excluded(after.to_owned()), std::ops::Bound::Unbounded);
        let prefix = format!("{project}/");
        let topics = self.topics.read();
        let found = topics.range(start).filter(|(name, _)| name.starts_with(&prefix));
        found.take(most).map(|(_, topic)| topic.clone()).collect()
    }

    /// As [`Engine::topics`], of subscriptions.
    pub(super) fn subscriptions(&self, project: &str, after: &str, most: usize) -> Vec<Arc<Subscription>> {
        let start = (std::ops::Bound::Excluded(after.to_owned()), std::ops::Bound::Unbounded);
        let prefix = format!("{project}/");
        let subscriptions = self.subscriptions.read();
        let found = subscriptions.range(start).filter(|(name, _)| name.starts_with(&prefix));
        found.take(most).map(|(_, subscription)| subscription.clone()).collect()
    }

    pub(super) fn stats(&self) -> Vec<SubscriptionStats> {
        let subscriptions: Vec<_> = self.subscriptions.read().values().cloned().collect();
        subscriptions.iter().map(|subscription| subscription.stats()).collect()
    }

    pub(super) async fn create_topic(&self, mut proto: pb::Topic) -> Result<Arc<Topic>, Status> {
        config::check_topic(&proto)?;
        let _admin = self.admin.lock().await;
        if self.topics.read().contains_key(&proto.name) {
            return Err(names::already_exists(&proto.name));
        }
        proto.state = pb::topic::State::Active.into();
        let id = self.publishing.number(self.shared.clock.now());
        self.write(Change::put_topic(id, &proto)).await?;
        let name = proto.name.clone();
        let topic = Topic::new(id, proto);
        self.topics.write().insert(name, topic.clone());
        Ok(topic)
    }

    pub(super) async fn update_topic(&self, from: pb::Topic, paths: &[String]) -> Result<Arc<Topic>, Status> {
        let _admin = self.admin.lock().await;
        let topic = self.topic(&from.name)?;
        let updated = config::updated_topic(&topic.proto(), from, paths)?;
        self.write(Change::put_topic(topic.id, &updated)).await?;
        topic.configure(updated);
        topic.expire(self.shared.clock.now(), &self.shared);
        Ok(topic)
    }

    /// The subscriptions stay, with what they hold, and get nothing more.
    pub(super) async fn delete_topic(&self, name: &str) -> Result<(), Status> {
        let _admin = self.admin.lock().await;
        let topic = self.topic(name)?;
        self.write(Change::remove_topic(name)).await?;
        self.topics.write().remove(name);
        let subscriptions = std::mem::take(&mut *topic.subscriptions.lock());
        for subscription in subscriptions {
            let mut config = Config::clone(&subscription.config());
            config.proto.topic = names::DELETED_TOPIC.to_owned();
            self.shared.store.write(vec![Change::put_subscription(subscription.id, &config.proto)]);
            subscription.configure(config);
        }
        topic.configure(pb::Topic { message_retention_duration: None, ..pb::Topic::clone(&topic.proto()) });
        topic.expire(self.shared.clock.now(), &self.shared);
        Ok(())
    }

    pub(super) async fn create_subscription(&self, proto: pb::Subscription) -> Result<Arc<Subscription>, Status> {
        let config = Config::new(pb::Subscription { detached: false, ..proto })?;
        let name = config.proto.name.clone();
        let _admin = self.admin.lock().await;
        if self.subscriptions.read().contains_key(&name) {
            return Err(names::already_exists(&name));
        }
        let topic = self.topic(&config.proto.topic)?;
        self.check_dead_letter_topic(&config)?;
        let id = self.publishing.number(self.shared.clock.now());
        self.write(Change::put_subscription(id, &config.proto)).await?;
        let subscription = Subscription::new(id, config, self.shared.clone());
        self.subscriptions.write().insert(name, subscription.clone());
        topic.subscriptions.lock().push(subscription.clone());
        self.run(&subscription);
        Ok(subscription)
    }

    pub(super) async fn update_subscription(
        &self,
        from: pb::Subscription,
        paths: &[String],
    ) -> Result<Arc<Subscription>, Status> {
        let _admin = self.admin.lock().await;
        let subscription = self.subscription(&from.name)?;
        let config = subscription.config().updated(from, paths)?;
        if paths.iter().any(|path| path == "dead_letter_policy") {
            self.check_dead_letter_topic(&config)?;
        }
        self.write(Change::put_subscription(subscription.id, &config.proto)).await?;
        subscription.configure(config);
        Ok(subscription)
    }

    pub(super) async fn delete_subscription(&self, name: &str) -> Result<(), Status> {
        let _admin = self.admin.lock().await;
        let subscription = self.subscription(name)?;
        self.write(Change::remove_subscription(name)).await?;
        self.subscriptions.write().remove(name);
        self.unlink(&subscription);
        subscription.close(true);
        Ok(())
    }

    /// The subscription stays by name, without its messages and without its topic.
    pub(super) async fn detach_subscription(&self, name: &str) -> Result<(), Status> {
        let _admin = self.admin.lock().await;
        let subscription = self.subscription(name)?;
        let detached = pb::Subscription { detached: true, ..subscription.config().proto.clone() };
        self.write(Change::put_subscription(subscription.id, &detached)).await?;
        self.unlink(&subscription);
        subscription.close(false);
        Ok(())
    }

    fn unlink(&self, subscription: &Arc<Subscription>) {
        if let Some(topic) = self.topics.read().get(&subscription.config().proto.topic) {
            topic.subscriptions.lock().retain(|linked| linked.id != subscription.id);
        }
    }

    /// The messages that the subscription's topic keeps and that its filter lets pass.
    pub(super) fn seek(&self, subscription: &Arc<Subscription>, time: Micros) {
        let config = subscription.config();
        let topic = self.topics.read().get(&config.proto.topic).cloned();
        let mut retained = topic.map(|topic| topic.retained()).unwrap_or_default();
        if let Some(filter) = &config.filter {
            retained.retain(|message| self.shared.body(message).is_some_and(|body| filter.passes(&body.attributes)));
        }
        subscription.seek(time, &retained);
    }

    fn check_dead_letter_topic(&self, config: &Config) -> Result<(), Status> {
        match &config.proto.dead_letter_policy {
            Some(policy) => self.topic(&policy.dead_letter_topic).map(drop),
            None => Ok(()),
        }
    }

    async fn write(&self, change: Change) -> Result<(), Status> {
        self.shared.store.write_and_wait(vec![change]).await.map_err(not_written)
    }

    /// Starts what a subscription needs while it is there.
    fn run(&self, subscription: &Arc<Subscription>) {
        if !subscription.config().proto.detached {
            self.tasks.spawn(subscription.clone().keep());
            self.tasks.spawn(push::run(subscription.clone(), self.sender.clone(), self.holder()));
        }
    }

    async fn forward_dead_letters(self: Arc<Self>, mut queue: mpsc::UnboundedReceiver<DeadLetter>) {
        loop {
            tokio::select! {
                letter = queue.recv() => match letter {
                    Some(letter) => drop(self.tasks.spawn(self.clone().forward_dead_letter(letter))),
                    None => return,
                },
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn keep_house(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let topics: Vec<_> = self.topics.read().values().cloned().collect();
                    for topic in topics {
                        topic.expire(self.shared.clock.now(), &self.shared);
                    }
                }
                () = self.stop.cancelled() => return,
            }
        }
    }
}

pub(super) fn not_written(error: WriteFailed) -> Status {
    Status::unavailable(error.to_string())
}
