use std::{sync::Arc, time::Duration};

use googleapis::google::pubsub::v1::{
    self as wire, Subscription, publisher_client::PublisherClient, push_config, subscriber_client::SubscriberClient,
};
use prost_types::FieldMask;
use tonic::{Code, Status, transport::Channel};

use crate::{Delivery, PubSubConfig, SubscriptionSpec, TopicSpec, grpc::Grpc};

/// An administrative call failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Pub/Sub refused it, or could not be reached in time.
    #[error("{action} {name} failed")]
    Call {
        /// What was tried.
        action: &'static str,
        /// The resource.
        name: String,
        /// Why.
        #[source]
        source: Box<Status>,
    },
    /// The subscription exists, with something else that cannot be changed.
    #[error("subscription {name} exists with another {what}, which cannot be changed: delete it first")]
    Immutable {
        /// The subscription.
        name: String,
        /// What differs.
        what: &'static str,
    },
    /// A duration that Pub/Sub cannot hold.
    #[error("{name}: a duration is out of range")]
    Duration {
        /// The resource.
        name: String,
    },
}

/// Creates and changes topics and subscriptions; each call can be repeated.
///
/// It speaks gRPC like everything else here: the client library's own administration is JSON over HTTP, which not every
/// server that speaks Pub/Sub has.
#[derive(Debug, Clone)]
pub struct Admin {
    config: Arc<PubSubConfig>,
    grpc: Grpc,
}

impl Admin {
    pub(crate) fn new(config: Arc<PubSubConfig>, grpc: Grpc) -> Self {
        Self { config, grpc }
    }

    /// Creates the topic, unless it exists. One that exists stays as it is.
    pub async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        let name = self.config.topic(&spec.id);
        let message_retention_duration = spec.retention.map(|retention| duration(&name, retention)).transpose()?;
        let topic = wire::Topic { name: name.clone(), message_retention_duration, ..wire::Topic::default() };
        let created =
            self.grpc.call(("name", &name), topic, async |channel, topic| publisher(channel).create_topic(topic).await);
        match created.await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) => Err(failed("creating topic", name, status)),
        }
    }

    /// Whether the topic exists.
    pub async fn topic_exists(&self, id: &str) -> Result<bool, AdminError> {
        let name = self.config.topic(id);
        let request = wire::GetTopicRequest { topic: name.clone() };
        let read = self
            .grpc
            .call(("topic", &name), request, async |channel, request| publisher(channel).get_topic(request).await);
        match read.await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(failed("reading topic", name, status)),
        }
    }

    /// Creates the subscription, or changes the one that exists to what `spec` says.
    pub async fn ensure_subscription(&self, spec: &SubscriptionSpec) -> Result<(), AdminError> {
        let wanted = self.subscription(spec)?;
        let name = wanted.name.clone();
        let created = self.grpc.call(("name", &name), wanted.clone(), async |channel, wanted| {
            subscriber(channel).create_subscription(wanted).await
        });
        match created.await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => self.change(wanted).await,
            Err(status) => Err(failed("creating subscription", name, status)),
        }
    }

    /// Deletes the subscription, if it exists.
    pub async fn delete_subscription(&self, id: &str) -> Result<(), AdminError> {
        let name = self.config.subscription(id);
        let request = wire::DeleteSubscriptionRequest { subscription: name.clone() };
        let deleted = self.grpc.call(("subscription", &name), request, async |channel, request| {
            subscriber(channel).delete_subscription(request).await
        });
        match deleted.await {
            Ok(()) => Ok(()),
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(failed("deleting subscription", name, status)),
        }
    }

    async fn change(&self, wanted: Subscription) -> Result<(), AdminError> {
        let name = wanted.name.clone();
        let request = wire::GetSubscriptionRequest { subscription: name.clone() };
        let read = self.grpc.call(("subscription", &name), request, async |channel, request| {
            subscriber(channel).get_subscription(request).await
        });
        let existing = read.await.map_err(|status| failed("reading subscription", name.clone(), status))?;
        let differs = [
            ("topic", existing.topic != wanted.topic),
            ("message ordering", existing.enable_message_ordering != wanted.enable_message_ordering),
            ("filter", existing.filter != wanted.filter),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(AdminError::Immutable { name, what });
        }
        let paths = differing(&existing, &wanted);
        if paths.is_empty() {
            return Ok(());
        }
        let request =
            wire::UpdateSubscriptionRequest { subscription: Some(wanted), update_mask: Some(FieldMask { paths }) };
        let changed = self.grpc.call(("subscription.name", &name), request, async |channel, request| {
            subscriber(channel).update_subscription(request).await
        });
        changed.await.map(drop).map_err(|status| failed("changing subscription", name, status))
    }

    fn subscription(&self, spec: &SubscriptionSpec) -> Result<Subscription, AdminError> {
        let name = self.config.subscription(&spec.id);
        let retry_policy = spec.retry.map(|retry| -> Result<_, AdminError> {
            Ok(wire::RetryPolicy {
                minimum_backoff: Some(duration(&name, retry.minimum)?),
                maximum_backoff: Some(duration(&name, retry.maximum)?),
            })
        });
        let dead_letter_policy = spec.dead_letter.as_ref().map(|policy| wire::DeadLetterPolicy {
            dead_letter_topic: self.config.topic(&policy.topic),
            max_delivery_attempts: i32::try_from(policy.max_delivery_attempts).unwrap_or(i32::MAX),
        });
        Ok(Subscription {
            topic: self.config.topic(&spec.topic),
            push_config: Some(push_config(&spec.delivery)),
            ack_deadline_seconds: i32::try_from(spec.ack_deadline.as_secs()).unwrap_or(i32::MAX),
            message_retention_duration: Some(duration(&name, spec.retention)?),
            expiration_policy: Some(wire::ExpirationPolicy { ttl: None }),
            enable_message_ordering: spec.ordered,
            filter: spec.filter.clone(),
            retry_policy: retry_policy.transpose()?,
            dead_letter_policy,
            name,
            ..Subscription::default()
        })
    }
}

/// The fields that are to be changed: only those that differ, as not every server can change each.
fn differing(existing: &Subscription, wanted: &Subscription) -> Vec<String> {
    let push = |subscription: &Subscription| subscription.push_config.clone().unwrap_or_default();
    let expiry = |subscription: &Subscription| subscription.expiration_policy.and_then(|policy| policy.ttl);
    let fields = [
        ("push_config", push(existing) != push(wanted)),
        ("ack_deadline_seconds", existing.ack_deadline_seconds != wanted.ack_deadline_seconds),
        ("message_retention_duration", existing.message_retention_duration != wanted.message_retention_duration),
        ("expiration_policy", expiry(existing) != expiry(wanted)),
        ("retry_policy", existing.retry_policy != wanted.retry_policy),
        ("dead_letter_policy", existing.dead_letter_policy != wanted.dead_letter_policy),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field.to_owned()).collect()
}

fn publisher(channel: Channel) -> PublisherClient<Channel> {
    PublisherClient::new(channel)
}

fn subscriber(channel: Channel) -> SubscriberClient<Channel> {
    SubscriberClient::new(channel)
}

/// An empty one means pull.
fn push_config(delivery: &Delivery) -> wire::PushConfig {
    let Delivery::Push { endpoint, oidc, unwrapped } = delivery else { return wire::PushConfig::default() };
    let token = oidc.as_ref().map(|token| {
        push_config::AuthenticationMethod::OidcToken(push_config::OidcToken {
            service_account_email: token.service_account.clone(),
            audience: token.audience.clone(),
        })
    });
    let wrapper = unwrapped.then_some(push_config::Wrapper::NoWrapper(push_config::NoWrapper { write_metadata: true }));
    wire::PushConfig {
        push_endpoint: endpoint.clone(),
        authentication_method: token,
        wrapper,
        ..wire::PushConfig::default()
    }
}

fn duration(name: &str, duration: Duration) -> Result<prost_types::Duration, AdminError> {
    prost_types::Duration::try_from(duration).map_err(|_| AdminError::Duration { name: name.to_owned() })
}

fn failed(action: &'static str, name: String, status: Status) -> AdminError {
    AdminError::Call { action, name, source: Box::new(status) }
}
