//! The message that Pub/Sub gave up on, as it was published.

use event::{Message, Timestamp};
use pubsub::push::PushDelivery;

/// What the names of the attributes that Pub/Sub adds begin with
/// (<https://cloud.google.com/pubsub/docs/handling-failures>).
const PREFIX: &str = "CloudPubSubDeadLetterSource";

/// A message of a dead-letter topic.
#[derive(Debug, PartialEq)]
pub(crate) struct Exhausted {
    /// The id of the subscription whose deliveries were used up, where the message names it.
    pub(crate) source: Option<String>,
    /// The message without what Pub/Sub added, its time of publishing, and its deliveries. Its id is the copy's: Pub/Sub does
    /// not tell the original one.
    pub(crate) delivery: PushDelivery,
}

impl Exhausted {
    pub(crate) fn read(delivery: PushDelivery) -> Self {
        let PushDelivery { message, subscription, delivery_attempt: _ } = delivery;
        let added = |name: &str| message.attribute(&format!("{PREFIX}{name}"));
        let source = added("Subscription").map(|source| source.rsplit('/').next().unwrap_or(source).to_owned());
        let published = added("TopicPublishTime").and_then(|time| time.parse::<Timestamp>().ok());
        let deliveries = added("DeliveryCount").and_then(|count| count.parse().ok());
        let publish_time = published.unwrap_or(message.publish_time);
        let mut attributes = message.attributes;
        attributes.retain(|name, _| !name.starts_with(PREFIX));
        let message = Message { publish_time, attributes, ..message };
        Self { source, delivery: PushDelivery { message, subscription, delivery_attempt: deliveries } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(attributes: &[(&str, &str)]) -> PushDelivery {
        PushDelivery {
            message: Message {
                message_id: "7".into(),
                publish_time: "2024-02-01T11:00:00Z".parse().expect("a time"),
                ordering_key: "k".into(),
                attributes: attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
                data: bytes::Bytes::from_static(b"{}"),
            },
            subscription: "projects/p/subscriptions/orders-dead-letter".into(),
            delivery_attempt: Some(2),
        }
    }

    #[test]
    fn what_pub_sub_added_is_taken_off() {
        let exhausted = Exhausted::read(delivery(&[
            ("ce-id", "e"),
            ("CloudPubSubDeadLetterSourceDeliveryCount", "5"),
            ("CloudPubSubDeadLetterSourceSubscription", "orders-loader"),
            ("CloudPubSubDeadLetterSourceSubscriptionProject", "p"),
            ("CloudPubSubDeadLetterSourceTopicPublishTime", "2024-02-01T10:04:46.123+00:00"),
        ]));
        assert_eq!(exhausted.source.as_deref(), Some("orders-loader"));
        let PushDelivery { message, delivery_attempt, .. } = exhausted.delivery;
        assert_eq!(message.attributes.keys().collect::<Vec<_>>(), ["ce-id"]);
        assert_eq!(message.publish_time.to_string(), "2024-02-01T10:04:46.123Z");
        assert_eq!((delivery_attempt, message.ordering_key.as_str()), (Some(5), "k"));
    }

    #[test]
    fn what_pub_sub_left_out_is_not_needed() {
        let exhausted = Exhausted::read(delivery(&[("CloudPubSubDeadLetterSourceTopicPublishTime", "noon")]));
        assert_eq!((exhausted.source, exhausted.delivery.delivery_attempt), (None, None));
        assert_eq!(exhausted.delivery.message.publish_time.to_string(), "2024-02-01T11:00:00Z");
    }
}
