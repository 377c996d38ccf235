//! Topics and subscriptions as they should be.

use std::time::Duration;

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its id.
    pub id: String,
    /// How long messages are kept, acked or not; `None`: no longer than a subscription needs them.
    pub retention: Option<Duration>,
}

/// A subscription as it should be. It never expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSpec {
    /// Its id.
    pub id: String,
    /// The id of its topic.
    pub topic: String,
    /// How messages reach the subscriber.
    pub delivery: Delivery,
    /// How long a delivery may take before it is made again: 10 to 600 s.
    pub ack_deadline: Duration,
    /// How long an unacked message is kept.
    pub retention: Duration,
    /// Whether messages of one ordering key are delivered in order. Cannot be changed later.
    pub ordered: bool,
    /// A filter over attributes; empty: every message. Cannot be changed later.
    pub filter: String,
    /// The pause before a nacked message is delivered again; `None`: none.
    pub retry: Option<RetryBackoff>,
    /// Where messages go whose deliveries are used up; `None`: they are delivered until they expire.
    pub dead_letter: Option<DeadLetterPolicy>,
}

impl SubscriptionSpec {
    /// A pull subscription with a 60 s ack deadline, kept for 7 days, unordered.
    pub fn pull(id: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            topic: topic.into(),
            delivery: Delivery::Pull,
            ack_deadline: Duration::from_secs(60),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            ordered: false,
            filter: String::new(),
            retry: None,
            dead_letter: None,
        }
    }

    /// The same as [`Self::pull`], pushed to `endpoint` without a token.
    pub fn push(id: impl Into<String>, topic: impl Into<String>, endpoint: impl Into<String>) -> Self {
        let delivery = Delivery::Push { endpoint: endpoint.into(), oidc: None, unwrapped: false };
        Self { delivery, ..Self::pull(id, topic) }
    }
}

/// How messages reach the subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The subscriber asks for them.
    Pull,
    /// Pub/Sub posts them.
    Push {
        /// The URL.
        endpoint: String,
        /// The token that each request carries; `None`: no token.
        oidc: Option<OidcToken>,
        /// The data as the body, the rest as headers, in place of the JSON envelope.
        unwrapped: bool,
    },
}

/// The OIDC token of push requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcToken {
    /// The service account that the token is made for.
    pub service_account: String,
    /// The token's audience.
    pub audience: String,
}

/// An exponential pause between deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBackoff {
    /// The first pause.
    pub minimum: Duration,
    /// The longest pause.
    pub maximum: Duration,
}

/// Where messages go whose deliveries are used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPolicy {
    /// The id of the dead-letter topic.
    pub topic: String,
    /// How many deliveries there are: 5 to 100.
    pub max_delivery_attempts: u32,
}
