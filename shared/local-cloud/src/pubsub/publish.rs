//! Publishing: checks, numbers, and one write for the message and its place in each subscription.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use googleapis::google::pubsub::v1 as pb;
use tokio::sync::{Semaphore, oneshot};
use tonic::Status;

use super::{
    clock::{Micros, SECOND},
    config::Config,
    engine::{Engine, not_written},
    message::{Message, size},
    names,
    store::{Change, Standing, WriteFailed, complete, encode_body},
    subscription::{DeadLetter, Subscription},
    topic::Topic,
};

/// The service's limits.
const MOST_MESSAGES: usize = 1000;
const MOST_BYTES: usize = 10_000_000;
const MOST_ATTRIBUTES: usize = 100;
const LONGEST_KEY: usize = 256;
const LONGEST_VALUE: usize = 1024;
const LONGEST_ORDERING_KEY: usize = 1024;
/// Messages on their way to the disk hold at most this many bytes; more publishers wait.
const IN_FLIGHT_BYTES: usize = 128 << 20;

/// What numbers messages and bounds those on their way.
pub(super) struct Publishing {
    last: AtomicU64,
    permits: Semaphore,
}

impl Publishing {
    pub(super) fn new(last: u64) -> Self {
        Self { last: AtomicU64::new(last), permits: Semaphore::new(IN_FLIGHT_BYTES) }
    }

    /// A number that was never used.
    pub(super) fn number(&self, now: Micros) -> u64 {
        self.numbers(now, 1)
    }

    /// The first of `count` numbers in a row. They follow the clock, so that one that was lost before it reached the
    /// disk is not used again.
    fn numbers(&self, now: Micros, count: u64) -> u64 {
        let now = now.unsigned_abs();
        let first = |last: u64| (last + 1).max(now);
        let update = |last| Some(first(last) + count.max(1) - 1);
        match self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, update) {
            Ok(last) | Err(last) => first(last),
        }
    }
}

impl Engine {
    /// Publishes; returns when the messages are written, with their numbers.
    pub(super) async fn publish(&self, topic: &str, messages: Vec<pb::PubsubMessage>) -> Result<Vec<u64>, Status> {
        let topic = self.topic(topic)?;
        check(&messages)?;
        let bytes: usize = messages.iter().map(|message| message.data.len() + 1024).sum();
        let permits = u32::try_from(bytes.min(IN_FLIGHT_BYTES)).unwrap_or(u32::MAX);
        let acquired = self.publishing.permits.acquire_many(permits).await;
        let _permit = acquired.map_err(|_| Status::unavailable("the server is stopping"))?;
        let messages = messages.into_iter().map(Outgoing::new).collect();
        let (numbers, written) = self.submit(&topic, messages);
        match written.await {
            Ok(Ok(())) => Ok(numbers),
            Ok(Err(error)) => Err(not_written(error)),
            Err(_) => Err(Status::unavailable("the server is stopping")),
        }
    }

    /// Numbers the messages and queues them for writing. They are delivered when they are written.
    fn submit(
        &self,
        topic: &Arc<Topic>,
        messages: Vec<Outgoing>,
    ) -> (Vec<u64>, oneshot::Receiver<Result<(), WriteFailed>>) {
        let (answer, written) = oneshot::channel();
        let linked = topic.subscriptions.lock();
        let now = self.shared.clock.now();
        let first = self.publishing.numbers(now, messages.len() as u64);
        let retains = topic.retention().is_some();
        let mut places: Vec<Place> = linked.iter().cloned().map(Place::new).collect();
        let mut retained = Vec::new();
        let mut changes = Vec::with_capacity(messages.len() * (1 + places.len()));
        let mut numbers = Vec::with_capacity(messages.len());
        for (sequence, Outgoing { message: body, encoded }) in (first..).zip(messages) {
            numbers.push(sequence);
            let takers = places.iter().filter(|place| place.takes(&body)).count();
            let holders = u32::try_from(takers).unwrap_or(u32::MAX) + u32::from(retains);
            if holders == 0 {
                continue;
            }
            let message = Arc::new(Message::new(sequence, now, holders, &body));
            changes.push(Change::put_message(sequence, topic.id, now, &encoded));
            for place in places.iter_mut().filter(|place| place.takes(&body)) {
                let standing = Standing::Unacked { failures: 0 };
                changes.push(Change::put_standing(place.subscription.id, sequence, standing));
                place.messages.push(message.clone());
            }
            if retains {
                retained.push(message.clone());
            }
            self.shared.bodies.keep(&message, Arc::new(complete(body, sequence, now)));
        }
        let last = numbers.last().copied().unwrap_or(first);
        let (topic_keeping, shared) = (topic.clone(), self.shared.clone());
        let done = move |result: Result<(), WriteFailed>| {
            if result.is_ok() {
                topic_keeping.retain(retained);
                for place in places {
                    place.subscription.add(place.messages);
                }
            } else {
                for message in places.iter().flat_map(|place| &place.messages).chain(&retained) {
                    shared.bodies.forget(message);
                }
            }
            let _ = answer.send(result);
        };
        // Still under the lock of the topic's subscriptions: the order of writing is the order of the numbers.
        self.shared.store.write_then(changes, last, Box::new(done));
        drop(linked);
        (numbers, written)
    }

    /// Publishes a message that used up its deliveries to the dead-letter topic, and takes it from its subscription.
    pub(super) async fn forward_dead_letter(self: Arc<Self>, letter: DeadLetter) {
        let DeadLetter { subscription, message, attempts } = letter;
        let config = subscription.config();
        let taken = match (&config.proto.dead_letter_policy, self.shared.body(&message)) {
            (Some(policy), Some(body)) => {
                let letter = dead_letter(&body, &config.proto, message.published, attempts);
                let published = self.publish_letter(&policy.dead_letter_topic, letter).await;
                if let Err(status) = &published {
                    let (topic, status) = (&policy.dead_letter_topic, status.message());
                    tracing::warn!(topic, status, "a message was not dead-lettered");
                }
                published.is_ok()
            }
            _ => false,
        };
        subscription.forwarded(message.sequence, taken);
    }

    /// As [`Engine::publish`], without the limits on attributes, of which a dead letter has some more.
    async fn publish_letter(&self, topic: &str, letter: pb::PubsubMessage) -> Result<(), Status> {
        let topic = self.topic(topic)?;
        let (_, written) = self.submit(&topic, vec![Outgoing::new(letter)]);
        match written.await {
            Ok(written) => written.map_err(not_written),
            Err(_) => Err(Status::unavailable("the server is stopping")),
        }
    }
}

/// A message, and how it is stored.
struct Outgoing {
    message: pb::PubsubMessage,
    encoded: Vec<u8>,
}

impl Outgoing {
    fn new(message: pb::PubsubMessage) -> Self {
        // The data is copied out of the request, which would stay in memory as long as any of its messages.
        let data = Bytes::copy_from_slice(&message.data);
        let message = pb::PubsubMessage { data, message_id: String::new(), publish_time: None, ..message };
        Self { encoded: encode_body(&message), message }
    }
}

/// What a subscription gets of a request.
struct Place {
    subscription: Arc<Subscription>,
    config: Arc<Config>,
    messages: Vec<Arc<Message>>,
}

impl Place {
    fn new(subscription: Arc<Subscription>) -> Self {
        Self { config: subscription.config(), subscription, messages: Vec::new() }
    }

    fn takes(&self, message: &pb::PubsubMessage) -> bool {
        self.config.filter.as_ref().is_none_or(|filter| filter.passes(&message.attributes))
    }
}

fn check(messages: &[pb::PubsubMessage]) -> Result<(), Status> {
    let too_large = |what: &str, passed: usize, most: usize| {
        Status::invalid_argument(format!(
            "The value for {what} is too large. You passed {passed} in the request, but the maximum value is {most}."
        ))
    };
    if messages.is_empty() {
        return Err(Status::invalid_argument(
            "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.",
        ));
    }
    if messages.len() > MOST_MESSAGES {
        return Err(too_large("message_count", messages.len(), MOST_MESSAGES));
    }
    let bytes: usize = messages.iter().map(size).sum();
    if bytes > MOST_BYTES {
        return Err(too_large("request_size", bytes, MOST_BYTES));
    }
    for message in messages {
        if message.data.is_empty() && message.attributes.is_empty() {
            return Err(Status::invalid_argument(
                "One or more messages in the publish request is empty. Each message must contain either non-empty \
                 data, or at least one attribute.",
            ));
        }
        if message.attributes.len() > MOST_ATTRIBUTES {
            return Err(too_large("attributes_count", message.attributes.len(), MOST_ATTRIBUTES));
        }
        if message.ordering_key.len() > LONGEST_ORDERING_KEY {
            return Err(too_large("ordering_key_size", message.ordering_key.len(), LONGEST_ORDERING_KEY));
        }
        for (key, value) in &message.attributes {
            if key.is_empty() {
                return Err(Status::invalid_argument("Attribute keys must not be empty."));
            }
            if key.starts_with("goog") {
                return Err(Status::invalid_argument(format!(
                    "Attribute keys must not start with 'goog' (key={key})."
                )));
            }
            if key.len() > LONGEST_KEY {
                return Err(too_large("attribute_key_size", key.len(), LONGEST_KEY));
            }
            if value.len() > LONGEST_VALUE {
                return Err(too_large("attribute_value_size", value.len(), LONGEST_VALUE));
            }
        }
    }
    Ok(())
}

/// The message with the attributes that the service adds.
fn dead_letter(
    body: &pb::PubsubMessage,
    subscription: &pb::Subscription,
    published: Micros,
    attempts: u32,
) -> pb::PubsubMessage {
    let mut attributes: HashMap<String, String> = body.attributes.clone();
    let published = jiff::Timestamp::from_millisecond(published / (SECOND / 1000)).unwrap_or_default();
    let published = published.strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string();
    let mut set = |name: &str, value: String| attributes.insert(format!("CloudPubSubDeadLetterSource{name}"), value);
    set("DeliveryCount", attempts.to_string());
    set("Subscription", names::id(&subscription.name).to_owned());
    set("SubscriptionProject", names::project(&subscription.name).to_owned());
    set("TopicPublishTime", published);
    pb::PubsubMessage {
        data: body.data.clone(),
        ordering_key: body.ordering_key.clone(),
        attributes,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_clock_and_never_repeat() {
        let publishing = Publishing::new(100);
        assert_eq!(publishing.numbers(50, 3), 101);
        assert_eq!(publishing.numbers(200, 2), 200);
        assert_eq!(publishing.number(150), 202);
    }

    #[test]
    fn a_dead_letter_says_where_it_comes_from() {
        let subscription = pb::Subscription { name: "projects/p/subscriptions/s".into(), ..Default::default() };
        let body = pb::PubsubMessage { data: Bytes::from_static(b"x"), ..Default::default() };
        let letter = dead_letter(&body, &subscription, 1_706_781_886_123_456, 5);
        assert_eq!(letter.attributes["CloudPubSubDeadLetterSourceSubscription"], "s");
        assert_eq!(letter.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"], "p");
        assert_eq!(letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"], "5");
        assert_eq!(letter.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"], "2024-02-01T10:04:46.123+00:00");
    }
}
