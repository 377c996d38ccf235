//! Push delivery: a message is an HTTP request, its answer the acknowledgement.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use googleapis::google::pubsub::v1 as pb;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::ser::SerializeMap;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    backlog::{Answer, Delivery, Holder, Limits, Take},
    clock::{Micros, SECOND, moment, rfc3339},
    config::{Config, PushBody, PushTarget},
    names,
    subscription::Subscription,
    token::Signer,
    window::Window,
};
use crate::faults::{Action, Faults};

/// Pushes of one subscription on their way hold at most about this many bytes.
const OUTSTANDING_BYTES: u64 = 64 << 20;
/// A lease lasts this much longer than the request may take, so that the request's own end decides.
const SLACK: Micros = 5 * SECOND;
/// How long requests on their way may still be answered when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// What every pusher uses.
pub(super) struct Sender {
    client: reqwest::Client,
    pub(super) signer: Arc<Signer>,
    faults: Faults,
}

impl Sender {
    pub(super) fn new(faults: Faults) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1000)
            .connect_timeout(Duration::from_secs(10))
            .user_agent("CloudPubSub-Google")
            .build()?;
        Ok(Self { client, signer: Arc::default(), faults })
    }
}

/// How a push ended.
struct Ended {
    sequence: u64,
    lease: u64,
    bytes: u64,
    round: u64,
    acked: bool,
}

/// Pushes the subscription's messages while it has an endpoint, until it is closed.
pub(super) async fn run(subscription: Arc<Subscription>, sender: Arc<Sender>, holder: Holder) {
    let mut stirred = subscription.stirred();
    let mut window = Window::new();
    let mut pushes = JoinSet::new();
    let mut bytes: u64 = 0;
    let mut paused_until: Option<Instant> = None;
    subscription.attach(holder, Limits { messages: u64::MAX, bytes: u64::MAX });
    loop {
        stirred.borrow_and_update();
        let config = subscription.config();
        if let (Some(target), None) = (&config.push, paused_until) {
            for delivery in take(&subscription, &config, holder, window.room(pushes.len()), bytes) {
                let size = u64::from(delivery.message.size);
                bytes += size;
                let push = push(sender.clone(), subscription.clone(), config.clone(), target.clone(), delivery);
                let round = window.round();
                pushes.spawn(async move {
                    let (sequence, lease, acked) = push.await;
                    Ended { sequence, lease, bytes: size, round, acked }
                });
            }
        }
        tokio::select! {
            Some(ended) = pushes.join_next() => {
                let more = std::iter::from_fn(|| pushes.try_join_next());
                let ended: Vec<Ended> = std::iter::once(ended).chain(more).flatten().collect();
                bytes = bytes.saturating_sub(ended.iter().map(|ended| ended.bytes).sum());
                for ended in &ended {
                    if ended.acked {
                        window.succeeded();
                    } else {
                        let pause = window.failed(ended.round);
                        paused_until = (!pause.is_zero()).then(|| Instant::now() + pause).or(paused_until);
                    }
                }
                settle(&subscription, &ended);
            }
            changed = stirred.changed() => if changed.is_err() { break },
            () = sleep_until(paused_until.unwrap_or_else(Instant::now)), if paused_until.is_some() => {
                paused_until = None;
            }
            () = subscription.closed().cancelled() => break,
        }
    }
    let rest = async {
        while let Some(ended) = pushes.join_next().await {
            settle(&subscription, &Vec::from_iter(ended));
        }
    };
    let _ = timeout(GRACE, rest).await;
    subscription.detach(holder);
}

fn take(
    subscription: &Arc<Subscription>,
    config: &Config,
    holder: Holder,
    max_messages: usize,
    outstanding: u64,
) -> Vec<Delivery> {
    if max_messages == 0 || outstanding >= OUTSTANDING_BYTES {
        return Vec::new();
    }
    let max_bytes = OUTSTANDING_BYTES - outstanding;
    let lease = config.ack_deadline() + SLACK;
    subscription.take(Take { holder, max_messages, max_bytes, lease, one_of_a_key: true })
}

fn settle(subscription: &Arc<Subscription>, ended: &[Ended]) {
    let acks: Vec<_> = ended.iter().filter(|e| e.acked).map(|e| (e.sequence, e.lease)).collect();
    let nacks: Vec<_> = ended.iter().filter(|e| !e.acked).map(|e| (e.sequence, e.lease, 0)).collect();
    if !acks.is_empty() {
        let _: Vec<Answer> = subscription.ack(&acks);
    }
    if !nacks.is_empty() {
        let _: Vec<Answer> = subscription.modify(&nacks);
    }
}

/// Pushes one message. Returns its number, its lease, and whether it is acked.
async fn push(
    sender: Arc<Sender>,
    subscription: Arc<Subscription>,
    config: Arc<Config>,
    target: Arc<PushTarget>,
    delivery: Delivery,
) -> (u64, u64, bool) {
    let (sequence, lease) = (delivery.message.sequence, delivery.lease);
    let Some(message) = subscription.shared().body(&delivery.message) else { return (sequence, lease, false) };
    let attempt = config.proto.dead_letter_policy.is_some().then_some(delivery.attempt);
    let request = PushRequest { subscription: &config.proto.name, message: &message, attempt };
    let deadline = Duration::from_secs(config.proto.ack_deadline_seconds.unsigned_abs().into());
    let fault = sender.faults.next("push").or_else(|| {
        let id = names::id(&config.proto.name);
        sender.faults.next(&format!("push/{id}"))
    });
    let send = || timeout(deadline, sender.send(&target, &request));
    let acked = match fault {
        None => send().await,
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            send().await
        }
        Some(Action::Duplicate) => tokio::join!(send(), send()).0,
        Some(Action::ApplyThenFail) => send().await.map(|_| Ok(false)),
        Some(Action::Error { .. } | Action::DropConnection) => Ok(Ok(false)),
    };
    let acked = match acked {
        Ok(Ok(acked)) => acked,
        Ok(Err(error)) => {
            tracing::debug!(error = format!("{error:#}"), endpoint = target.endpoint, "a push failed");
            false
        }
        Err(_) => {
            tracing::debug!(endpoint = target.endpoint, "a push was not answered in time");
            false
        }
    };
    (sequence, lease, acked)
}

impl Sender {
    /// Sends one request. `true`: the endpoint acknowledged it.
    async fn send(&self, target: &PushTarget, request: &PushRequest<'_>) -> anyhow::Result<bool> {
        let (headers, body) = request.encode(target.body)?;
        let mut post = self.client.post(&target.endpoint).headers(headers).body(body);
        if let Some(oidc) = &target.oidc {
            post = post.header(header::AUTHORIZATION, &*self.signer.authorization(oidc).await?);
        }
        let mut answer = post.send().await?;
        let acked = is_ack(answer.status());
        // A connection is used again only once its answer was read.
        let mut read = 0;
        while read < 64 << 10
            && let Some(chunk) = answer.chunk().await?
        {
            read += chunk.len();
        }
        Ok(acked)
    }
}

/// The answers that acknowledge, by the service's documentation. (102 is one too, but as an interim answer HTTP clients
/// do not show it: the final answer after it decides.)
fn is_ack(status: StatusCode) -> bool {
    matches!(status.as_u16(), 102 | 200 | 201 | 202 | 204)
}

/// Headers that an attribute cannot set.
const RESERVED: [HeaderName; 5] =
    [header::AUTHORIZATION, header::CONNECTION, header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING];

/// A message on its way to an endpoint.
struct PushRequest<'a> {
    subscription: &'a str,
    message: &'a pb::PubsubMessage,
    /// Where there is a dead-letter policy.
    attempt: Option<u32>,
}

impl PushRequest<'_> {
    fn encode(&self, form: PushBody) -> anyhow::Result<(HeaderMap, bytes::Bytes)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::FROM, HeaderValue::from_static("noreply@google.com"));
        match form {
            PushBody::Wrapped => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok((headers, serde_json::to_vec(&self.wrapped())?.into()))
            }
            PushBody::Unwrapped { metadata } => {
                if metadata {
                    self.write_metadata(&mut headers);
                }
                Ok((headers, self.message.data.clone()))
            }
        }
    }

    fn wrapped(&self) -> Wrapped<'_> {
        let message = self.message;
        let published = self.published();
        Wrapped {
            message: WrappedMessage {
                attributes: (!message.attributes.is_empty()).then_some(&message.attributes),
                data: (!message.data.is_empty()).then_some(Base64(&message.data)),
                message_id: &message.message_id,
                message_id_again: &message.message_id,
                ordering_key: (!message.ordering_key.is_empty()).then_some(&message.ordering_key),
                publish_time_again: published.clone(),
                publish_time: published,
            },
            subscription: self.subscription,
            delivery_attempt: self.attempt,
        }
    }

    /// Attributes and metadata as headers; what no header can hold, or would break the request, is left out.
    fn write_metadata(&self, headers: &mut HeaderMap) {
        let attributes = self.message.attributes.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let mut metadata = vec![
            ("x-goog-pubsub-subscription-name", self.subscription.to_owned()),
            ("x-goog-pubsub-message-id", self.message.message_id.clone()),
            ("x-goog-pubsub-publish-time", self.published()),
        ];
        if !self.message.ordering_key.is_empty() {
            metadata.push(("x-goog-pubsub-ordering-key", self.message.ordering_key.clone()));
        }
        if let Some(attempt) = self.attempt {
            metadata.push(("x-goog-pubsub-delivery-attempt", attempt.to_string()));
        }
        for (name, value) in attributes.chain(metadata) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
                && !RESERVED.contains(&name)
            {
                headers.insert(name, value);
            }
        }
    }

    fn published(&self) -> String {
        self.message.publish_time.as_ref().map(|time| rfc3339(moment(time))).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped<'a> {
    message: WrappedMessage<'a>,
    subscription: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_attempt: Option<u32>,
}

/// The service writes id and time under two names each.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrappedMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "sorted")]
    attributes: Option<&'a std::collections::HashMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Base64<'a>>,
    message_id: &'a str,
    #[serde(rename = "message_id")]
    message_id_again: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a String>,
    publish_time: String,
    #[serde(rename = "publish_time")]
    publish_time_again: String,
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

fn sorted<S: serde::Serializer>(
    attributes: &Option<&std::collections::HashMap<String, String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut pairs: Vec<_> = attributes.iter().flat_map(|attributes| attributes.iter()).collect();
    pairs.sort_unstable();
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (key, value) in pairs {
        map.serialize_entry(key, value)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::clock::timestamp;

    fn message() -> pb::PubsubMessage {
        pb::PubsubMessage {
            data: bytes::Bytes::from_static(b"{\"a\":1}"),
            attributes: [("ce-id", "e-1"), ("b", "ä")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            message_id: "17".into(),
            publish_time: Some(timestamp(1_706_781_886_123_456)),
            ordering_key: "k".into(),
        }
    }

    #[test]
    fn a_wrapped_body_is_the_services() {
        let message = message();
        let request = PushRequest { subscription: "projects/p/subscriptions/s", message: &message, attempt: Some(2) };
        let (_, body) = request.encode(PushBody::Wrapped).expect("encodes");
        let expected = concat!(
            r#"{"message":{"attributes":{"b":"ä","ce-id":"e-1"},"data":"eyJhIjoxfQ==","messageId":"17","#,
            r#""message_id":"17","orderingKey":"k","publishTime":"2024-02-01T10:04:46.123Z","#,
            r#""publish_time":"2024-02-01T10:04:46.123Z"},"subscription":"projects/p/subscriptions/s","#,
            r#""deliveryAttempt":2}"#
        );
        assert_eq!(std::str::from_utf8(&body).expect("is text"), expected);
    }

    #[test]
    fn an_unwrapped_body_is_the_data() {
        let message = message();
        let request = PushRequest { subscription: "projects/p/subscriptions/s", message: &message, attempt: None };
        let (headers, body) = request.encode(PushBody::Unwrapped { metadata: true }).expect("encodes");
        assert_eq!(body, message.data);
        assert_eq!(headers["x-goog-pubsub-message-id"], "17");
        assert_eq!(headers["x-goog-pubsub-ordering-key"], "k");
        assert_eq!(headers["ce-id"], "e-1");
        assert_eq!(headers["b"].as_bytes(), "ä".as_bytes());
        let (headers, _) = request.encode(PushBody::Unwrapped { metadata: false }).expect("encodes");
        assert!(!headers.contains_key("ce-id"));
    }
}
