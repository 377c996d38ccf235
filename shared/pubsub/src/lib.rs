//! Pub/Sub: publishing, pulling, administration, and the push request with its OIDC check. Knows no HTTP framework.

mod admin;
mod client;
mod grpc;
mod jwks;
mod publisher;
mod pull;
mod spec;

pub mod push;
pub mod push_auth;

pub use admin::{Admin, AdminError};
pub use client::{Client, ConnectError, PubSubConfig};
pub use publisher::{MAX_MESSAGE_BYTES, Outgoing, PublishError, PublishLimits, Publisher};
pub use pull::{Ack, PullError, PullLimits, Puller, Received};
pub use push_auth::{OidcConfig, PushAuth, PushAuthError};
pub use spec::{DeadLetterPolicy, Delivery, OidcToken, RetryBackoff, SubscriptionSpec, TopicSpec};
