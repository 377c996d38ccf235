use std::{sync::Arc, time::Duration};

use google_cloud_auth::{
    build_errors,
    credentials::{Builder, Credentials, anonymous},
};
use google_cloud_gax::{client_builder, exponential_backoff::ExponentialBackoffBuilder, retry_policy::RetryPolicyExt};
use google_cloud_pubsub::{
    client::{BasePublisher, Subscriber},
    retry_policy::RetryableErrors,
};
use tokio::sync::Semaphore;

use crate::{Admin, PublishLimits, Publisher, PullLimits, Puller, grpc::Grpc};

/// Google's endpoint.
const GOOGLE: &str = "https://pubsub.googleapis.com";

/// Where Pub/Sub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSubConfig {
    /// The project of the topics and subscriptions.
    pub project: String,
    /// The endpoint's URL; `None`: Google's. An `http://` endpoint is spoken to without credentials.
    pub endpoint: Option<String>,
}

impl PubSubConfig {
    /// The full name of the topic `id`.
    pub fn topic(&self, id: &str) -> String {
        format!("projects/{}/topics/{id}", self.project)
    }

    /// The full name of the subscription `id`.
    pub fn subscription(&self, id: &str) -> String {
        format!("projects/{}/subscriptions/{id}", self.project)
    }

    fn endpoint(&self) -> &str {
        self.endpoint.as_deref().unwrap_or(GOOGLE)
    }

    /// Application Default Credentials, or none where the endpoint has none to check.
    fn credentials(&self) -> Result<Credentials, build_errors::Error> {
        if self.endpoint().starts_with("http://") {
            return Ok(anonymous::Builder::new().build());
        }
        Builder::default().build()
    }
}

/// The Pub/Sub clients could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There are no credentials.
    #[error("there are no credentials for Pub/Sub")]
    Credentials(#[from] build_errors::Error),
    /// The client library refused its settings.
    #[error("the Pub/Sub client could not be made")]
    Client(#[from] client_builder::Error),
    /// The endpoint is no URL that gRPC can speak to.
    #[error("the Pub/Sub endpoint cannot be used")]
    Endpoint(#[from] tonic::transport::Error),
}

/// One connection to Pub/Sub, from which publishers, pullers and the admin are made. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<PubSubConfig>,
    publisher: BasePublisher,
    subscriber: Subscriber,
    grpc: Grpc,
    limits: PublishLimits,
    room: Arc<Semaphore>,
}

impl Client {
    /// Makes the clients. Nothing is sent before the first call.
    pub async fn connect(config: &PubSubConfig) -> Result<Self, ConnectError> {
        Self::connect_with(config, PublishLimits::default()).await
    }

    /// Makes the clients, with limits that all publishers share.
    pub async fn connect_with(config: &PubSubConfig, limits: PublishLimits) -> Result<Self, ConnectError> {
        let credentials = config.credentials()?;
        let publisher = BasePublisher::builder()
            .with_endpoint(config.endpoint())
            .with_credentials(credentials.clone())
            .with_retry_policy(RetryableErrors.with_time_limit(limits.time_limit))
            .with_backoff_policy(
                ExponentialBackoffBuilder::new()
                    .with_initial_delay(Duration::from_millis(50))
                    .with_maximum_delay(Duration::from_secs(2))
                    .with_scaling(2.0)
                    .clamp(),
            );
        let subscriber = Subscriber::builder().with_endpoint(config.endpoint()).with_credentials(credentials.clone());
        Ok(Self {
            config: Arc::new(config.clone()),
            publisher: publisher.build().await?,
            subscriber: subscriber.build().await?,
            grpc: Grpc::new(config.endpoint(), credentials)?,
            room: Arc::new(Semaphore::new(limits.outstanding_bytes)),
            limits,
        })
    }

    /// The project and endpoint that this client speaks to.
    pub fn config(&self) -> &PubSubConfig {
        &self.config
    }

    /// A publisher to the topic `id`. Make one a topic and keep it: each batches for itself.
    pub fn publisher(&self, id: &str) -> Publisher {
        Publisher::new(self.publisher.clone(), self.config.topic(id), self.limits, Arc::clone(&self.room))
    }

    /// Starts pulling from the subscription `id`.
    pub fn pull(&self, id: &str, limits: PullLimits) -> Puller {
        Puller::start(&self.subscriber, self.config.subscription(id), limits)
    }

    /// The administration of topics and subscriptions.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.config), self.grpc.clone())
    }
}
