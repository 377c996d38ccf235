//! What an earlier process left on disk.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;

use super::{
    config::Config,
    message::Message,
    store::{Change, StoredMessage},
    subscription::{Shared, Subscription},
    topic::Topic,
};

/// Topics and subscriptions with their messages.
pub(super) struct Recovered {
    pub(super) topics: BTreeMap<String, Arc<Topic>>,
    pub(super) subscriptions: BTreeMap<String, Arc<Subscription>>,
    /// The highest number that was ever used.
    pub(super) sequence: u64,
}

impl Recovered {
    /// Reads everything, and removes records that nothing refers to any more.
    pub(super) fn read(shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let mut sequence = shared.store.sequence()?;
        let mut topics = BTreeMap::new();
        let mut topics_by_id = HashMap::new();
        for (id, proto) in shared.store.topics()? {
            sequence = sequence.max(id);
            let topic = Topic::new(id, proto);
            topics_by_id.insert(id, topic.clone());
            topics.insert(topic.proto().name.clone(), topic);
        }
        let mut subscriptions = BTreeMap::new();
        let mut subscriptions_by_id = HashMap::new();
        for (id, proto) in shared.store.subscriptions()? {
            sequence = sequence.max(id);
            let name = proto.name.clone();
            let config = Config::new(proto).map_err(|status| anyhow::anyhow!("{name}: {}", status.message()))?;
            let (detached, topic) = (config.proto.detached, topics.get(&config.proto.topic));
            let subscription = Subscription::new(id, config, shared.clone());
            if let (false, Some(topic)) = (detached, topic) {
                topic.subscriptions.lock().push(subscription.clone());
            }
            subscriptions_by_id.insert(id, subscription.clone());
            subscriptions.insert(name, subscription);
        }

        let now = shared.clock.now();
        let mut messages = HashMap::new();
        shared.store.each_message(|StoredMessage { sequence: number, topic, published, body }| {
            sequence = sequence.max(number);
            let message = Arc::new(Message::new(number, published, 0, &body));
            if let Some(topic) = topics_by_id.get(&topic)
                && topic.retention().is_some_and(|retention| published >= now.saturating_sub(retention))
            {
                message.hold();
                topic.retain([message.clone()]);
            }
            messages.insert(number, message);
        })?;
        let mut changes = Vec::new();
        shared.store.each_standing(|subscription, number, standing| {
            match (subscriptions_by_id.get(&subscription), messages.get(&number)) {
                (Some(subscription), Some(message)) => {
                    message.hold();
                    subscription.restore(message.clone(), standing);
                }
                _ => changes.push(Change::remove_standing(subscription, number)),
            }
        })?;
        let forgotten = messages.values().filter(|message| !message.is_held());
        changes.extend(forgotten.map(|message| Change::remove_message(message.sequence)));
        if !changes.is_empty() {
            shared.store.write(changes);
        }
        Ok(Self { topics, subscriptions, sequence })
    }
}
