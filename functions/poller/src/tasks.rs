//! The queue of Cloud Tasks.

use std::time::Duration;

use event::Timestamp;
use google_cloud_auth::credentials::{Builder, anonymous};
use google_cloud_gax::{
    error::rpc::Code,
    options::RequestOptionsBuilder,
    retry_policy::{Aip194Strict, RetryPolicyExt},
};
use google_cloud_tasks_v2::{
    client::CloudTasks,
    model::{HttpMethod, HttpRequest, OidcToken, Task},
};
use sha2::{Digest, Sha256};

use crate::{config::TasksConfig, error::StartError};

/// How long a task is offered to the queue.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a fetch takes beyond the feed's own time: publishing, and what is known of the feed.
const MARGIN: Duration = Duration::from_secs(60);

/// The queue that tasks go to.
#[derive(Debug, Clone)]
pub(crate) struct TaskQueue {
    client: CloudTasks,
    config: TasksConfig,
}

/// Whether a task is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enqueued {
    Created,
    /// The queue holds it, or held it lately.
    Existing,
}

impl TaskQueue {
    pub(crate) async fn connect(config: &TasksConfig) -> Result<Self, StartError> {
        let mut builder = CloudTasks::builder().with_retry_policy(Aip194Strict.with_time_limit(PATIENCE));
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let is_local = config.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let credentials = if is_local { anonymous::Builder::new().build() } else { Builder::default().build()? };
        Ok(Self { client: builder.with_credentials(credentials).build().await?, config: config.clone() })
    }

    /// Puts the fetch of `feed` at `at` on the queue, once: its name says which it is.
    pub(crate) async fn enqueue(
        &self,
        feed: &str,
        at: Timestamp,
        timeout: Duration,
    ) -> Result<Enqueued, google_cloud_tasks_v2::Error> {
        let mut request = HttpRequest::new()
            .set_url(format!("{}/fetch?feed={feed}", self.config.poller))
            .set_http_method(HttpMethod::Post);
        if let Some((service_account, audience)) = &self.config.identity {
            let token = OidcToken::new().set_service_account_email(service_account).set_audience(audience);
            request = request.set_oidc_token(token);
        }
        let deadline = (timeout + MARGIN).as_secs().try_into().unwrap_or(i64::MAX);
        let mut task = Task::new()
            .set_name(format!("{}/tasks/{}", self.config.queue, name(feed, at)))
            .set_http_request(request)
            .set_dispatch_deadline(google_cloud_wkt::Duration::clamp(deadline, 0));
        // Every time of this age is one of Google's too.
        if let Ok(time) = google_cloud_wkt::Timestamp::new(at.as_second(), at.subsec_nanosecond()) {
            task = task.set_schedule_time(time);
        }
        let call = self.client.create_task().set_parent(&self.config.queue).set_task(task);
        match call.with_idempotency(true).send().await {
            Ok(_) => Ok(Enqueued::Created),
            Err(error) if is_existing(&error) => Ok(Enqueued::Existing),
            Err(error) => Err(error),
        }
    }
}

fn is_existing(error: &google_cloud_tasks_v2::Error) -> bool {
    error.status().is_some_and(|status| status.code == Code::AlreadyExists) || error.http_status_code() == Some(409)
}

/// The task's id. Cloud Tasks spreads ids by their beginnings, so a hash stands first.
fn name(feed: &str, at: Timestamp) -> String {
    let second = at.as_second();
    let hash = Sha256::digest(format!("{feed} {second}"));
    let prefix: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-{feed}-{second}")
}
