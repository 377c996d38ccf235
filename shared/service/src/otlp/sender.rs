use std::time::Duration;

use http::{StatusCode, header};
use tokio::time::{Instant, sleep};

use super::settings::Target;

/// The pause before a request is sent again; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// Posts to the collector. The client is made with the first request, so that a start does not wait for it.
#[derive(Default)]
pub(super) struct Sender {
    http: Option<reqwest::Client>,
    /// The last request failed: said once, and again when it is over.
    has_failed: bool,
}

impl Sender {
    /// Sends `body`; what the collector does not take within the time limit is lost, and said so.
    pub(super) async fn send(&mut self, target: &Target, body: Vec<u8>) {
        match self.try_to_send(target, body).await {
            Ok(()) if self.has_failed => {
                self.has_failed = false;
                tracing::info!(url = target.url, "the collector takes telemetry again");
            }
            Ok(()) => {}
            Err(error) if self.has_failed => tracing::debug!(url = target.url, error, "telemetry is lost"),
            Err(error) => {
                self.has_failed = true;
                tracing::warn!(url = target.url, error, "telemetry is lost: the collector does not take it");
            }
        }
    }

    async fn try_to_send(&mut self, target: &Target, body: Vec<u8>) -> Result<(), String> {
        let http = self.client()?;
        let deadline = Instant::now() + target.timeout;
        let mut pause = PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let request = http
                .post(&target.url)
                .headers(target.headers.clone())
                .header(header::CONTENT_TYPE, "application/x-protobuf")
                .timeout(left)
                .body(body.clone());
            let error = match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if may_pass(answer.status()) => format!("the collector answers {}", answer.status()),
                Ok(answer) => return Err(format!("the collector answers {}", answer.status())),
                Err(error) => crate::run::chain(&error.without_url()),
            };
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    fn client(&mut self) -> Result<reqwest::Client, String> {
        if let Some(http) = &self.http {
            return Ok(http.clone());
        }
        let http = reqwest::Client::builder().build().map_err(|error| error.to_string())?;
        self.http = Some(http.clone());
        Ok(http)
    }
}

/// The statuses that OTLP allows to be tried again.
fn may_pass(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}
