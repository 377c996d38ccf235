//! What a topic or subscription may be set to, checked as the service checks it. What this server does not do is
//! refused by name.

use std::sync::Arc;

use googleapis::google::pubsub::v1::{self as pb, push_config};
use tonic::Status;

use super::{
    backlog::Settings,
    clock::{Micros, SECOND, duration},
    filter::Filter,
    names::{self, Kind},
    retry::Retry,
};

const MINUTE: Micros = 60 * SECOND;
const DAY: Micros = 24 * 60 * MINUTE;

/// A checked subscription with its defaults filled in.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) proto: pb::Subscription,
    pub(super) filter: Option<Filter>,
    pub(super) push: Option<Arc<PushTarget>>,
}

/// Where and how a subscription pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PushTarget {
    pub(super) endpoint: String,
    pub(super) oidc: Option<Oidc>,
    pub(super) body: PushBody,
}

/// Whom a push token is about, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Oidc {
    pub(crate) email: String,
    pub(crate) audience: String,
}

/// The form of a push request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushBody {
    Wrapped,
    Unwrapped { metadata: bool },
}

impl Config {
    /// Checks a subscription and fills in what it leaves out.
    pub(super) fn new(mut proto: pb::Subscription) -> Result<Self, Status> {
        names::check(Kind::Subscription, &proto.name)?;
        if proto.topic != names::DELETED_TOPIC {
            names::check(Kind::Topic, &proto.topic)?;
        }
        refuse(&[
            ("bigquery_config", proto.bigquery_config.is_some()),
            ("cloud_storage_config", proto.cloud_storage_config.is_some()),
            ("bigtable_config", proto.bigtable_config.is_some()),
            ("message_transforms", !proto.message_transforms.is_empty()),
        ])?;
        if proto.ack_deadline_seconds == 0 {
            proto.ack_deadline_seconds = 10;
        }
        within("ack_deadline_seconds", proto.ack_deadline_seconds.into(), 10, 600)?;
        let retention = proto.message_retention_duration.get_or_insert(seconds(7 * DAY));
        within("message_retention_duration", duration(retention), 10 * MINUTE, 31 * DAY)?;
        if proto.expiration_policy.is_none() {
            proto.expiration_policy = Some(pb::ExpirationPolicy { ttl: Some(seconds(31 * DAY)) });
        }
        if let Some(policy) = &mut proto.retry_policy {
            let min = duration(policy.minimum_backoff.get_or_insert(seconds(10 * SECOND)));
            let max = duration(policy.maximum_backoff.get_or_insert(seconds(600 * SECOND)));
            within("minimum_backoff", min, 0, 600 * SECOND)?;
            within("maximum_backoff", max, 0, 600 * SECOND)?;
            if min > max {
                return Err(Status::invalid_argument("minimum_backoff must not be greater than maximum_backoff."));
            }
        }
        if let Some(policy) = &mut proto.dead_letter_policy {
            names::check(Kind::Topic, &policy.dead_letter_topic)?;
            if policy.max_delivery_attempts == 0 {
                policy.max_delivery_attempts = 5;
            }
            within("max_delivery_attempts", policy.max_delivery_attempts.into(), 5, 100)?;
        }
        let push_config = proto.push_config.get_or_insert_default();
        let push = push_target(push_config)?.map(Arc::new);
        if push.is_some() && proto.enable_exactly_once_delivery {
            return Err(Status::invalid_argument("Push subscriptions do not support exactly-once delivery."));
        }
        let filter = Filter::parse(&proto.filter).map_err(|error| {
            Status::invalid_argument(format!("Invalid filter given (filter={}): {error}.", proto.filter))
        })?;
        proto.state = pb::subscription::State::Active.into();
        Ok(Self { proto, filter, push })
    }

    /// What the backlog goes by.
    pub(super) fn settings(&self) -> Settings {
        let proto = &self.proto;
        Settings {
            ordered: proto.enable_message_ordering,
            exactly_once: proto.enable_exactly_once_delivery,
            retry: Retry::of(proto.retry_policy.as_ref(), self.push.is_some()),
            max_delivery_attempts: proto
                .dead_letter_policy
                .as_ref()
                .map(|policy| policy.max_delivery_attempts.unsigned_abs()),
            retention: proto.message_retention_duration.as_ref().map_or(7 * DAY, duration),
            retain_acked: proto.retain_acked_messages,
        }
    }

    /// How long a lease lasts where nobody says otherwise.
    pub(super) fn ack_deadline(&self) -> Micros {
        Micros::from(self.proto.ack_deadline_seconds) * SECOND
    }

    /// The settings with those of `from` that `paths` name.
    pub(super) fn updated(&self, from: pb::Subscription, paths: &[String]) -> Result<Self, Status> {
        if paths.is_empty() {
            return Err(Status::invalid_argument(
                "The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list.",
            ));
        }
        let mut proto = self.proto.clone();
        for path in paths {
            match path.as_str() {
                "push_config" => proto.push_config = from.push_config.clone(),
                "push_config.push_endpoint" => {
                    proto.push_config.get_or_insert_default().push_endpoint =
                        from.push_config.as_ref().map(|push| push.push_endpoint.clone()).unwrap_or_default();
                }
                "ack_deadline_seconds" => proto.ack_deadline_seconds = from.ack_deadline_seconds,
                "retain_acked_messages" => proto.retain_acked_messages = from.retain_acked_messages,
                "message_retention_duration" => proto.message_retention_duration = from.message_retention_duration,
                "labels" => proto.labels = from.labels.clone(),
                "expiration_policy" => proto.expiration_policy = from.expiration_policy,
                "dead_letter_policy" => proto.dead_letter_policy = from.dead_letter_policy.clone(),
                "retry_policy" => proto.retry_policy = from.retry_policy,
                "enable_exactly_once_delivery" => {
                    proto.enable_exactly_once_delivery = from.enable_exactly_once_delivery;
                }
                "bigquery_config" => proto.bigquery_config = from.bigquery_config.clone(),
                "cloud_storage_config" => proto.cloud_storage_config = from.cloud_storage_config.clone(),
                "name" | "topic" | "filter" | "enable_message_ordering" | "detached" => {
                    return Err(Status::invalid_argument(format!(
                        "Invalid update_mask provided in the UpdateSubscriptionRequest: the '{path}' field in the \
                         Subscription is not mutable."
                    )));
                }
                _ => return Err(unknown_path("UpdateSubscriptionRequest", "Subscription", path)),
            }
        }
        Self::new(proto)
    }
}

/// Checks a topic.
pub(super) fn check_topic(topic: &pb::Topic) -> Result<(), Status> {
    names::check(Kind::Topic, &topic.name)?;
    refuse(&[
        ("schema_settings", topic.schema_settings.is_some()),
        ("ingestion_data_source_settings", topic.ingestion_data_source_settings.is_some()),
        ("message_transforms", !topic.message_transforms.is_empty()),
        ("kms_key_name", !topic.kms_key_name.is_empty()),
    ])?;
    match &topic.message_retention_duration {
        Some(retention) => within("message_retention_duration", duration(retention), 10 * MINUTE, 31 * DAY),
        None => Ok(()),
    }
}

/// The topic with those fields of `from` that `paths` name.
pub(super) fn updated_topic(topic: &pb::Topic, from: pb::Topic, paths: &[String]) -> Result<pb::Topic, Status> {
    if paths.is_empty() {
        return Err(Status::invalid_argument(
            "The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.",
        ));
    }
    let mut topic = topic.clone();
    for path in paths {
        match path.as_str() {
            "labels" => topic.labels = from.labels.clone(),
            "message_retention_duration" => topic.message_retention_duration = from.message_retention_duration,
            "message_storage_policy" => topic.message_storage_policy = from.message_storage_policy.clone(),
            "schema_settings" => topic.schema_settings = from.schema_settings.clone(),
            "name" | "kms_key_name" => {
                return Err(Status::invalid_argument(format!(
                    "Invalid update_mask provided in the UpdateTopicRequest: the '{path}' field in the Topic is not \
                     mutable."
                )));
            }
            _ => return Err(unknown_path("UpdateTopicRequest", "Topic", path)),
        }
    }
    check_topic(&topic)?;
    Ok(topic)
}

fn push_target(config: &pb::PushConfig) -> Result<Option<PushTarget>, Status> {
    let endpoint = config.push_endpoint.clone();
    if endpoint.is_empty() {
        return Ok(None);
    }
    let parsed = url::Url::parse(&endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if parsed.is_none_or(|url| !url.has_host()) {
        return Err(Status::invalid_argument(format!("Invalid push endpoint given (endpoint={endpoint}).")));
    }
    let oidc = match &config.authentication_method {
        Some(push_config::AuthenticationMethod::OidcToken(token)) => {
            if token.service_account_email.is_empty() {
                return Err(Status::invalid_argument("An OIDC token needs a service_account_email."));
            }
            let audience = if token.audience.is_empty() { endpoint.clone() } else { token.audience.clone() };
            Some(Oidc { email: token.service_account_email.clone(), audience })
        }
        None => None,
    };
    let body = match config.wrapper {
        Some(push_config::Wrapper::NoWrapper(unwrapped)) => PushBody::Unwrapped { metadata: unwrapped.write_metadata },
        Some(push_config::Wrapper::PubsubWrapper(_)) | None => PushBody::Wrapped,
    };
    Ok(Some(PushTarget { endpoint, oidc, body }))
}

fn refuse(fields: &[(&str, bool)]) -> Result<(), Status> {
    match fields.iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(Status::unimplemented(format!("The local Pub/Sub does not support {field}."))),
        None => Ok(()),
    }
}

/// Durations are given in microseconds and said in seconds.
fn within(field: &str, value: Micros, least: Micros, most: Micros) -> Result<(), Status> {
    let unit = if field.ends_with("duration") || field.ends_with("backoff") { SECOND } else { 1 };
    let (how, bound, limit) = if value < least {
        ("small", "minimum", least)
    } else if value > most {
        ("large", "maximum", most)
    } else {
        return Ok(());
    };
    Err(Status::invalid_argument(format!(
        "The value for {field} is too {how}. You passed {} in the request, but the {bound} value is {}.",
        value / unit,
        limit / unit
    )))
}

fn unknown_path(request: &str, message: &str, path: &str) -> Status {
    Status::invalid_argument(format!(
        "Invalid update_mask provided in the {request}: '{path}' is not a known {message} field. Note that field paths \
         must be of the form 'push_config' rather than 'pushConfig'."
    ))
}

fn seconds(duration: Micros) -> prost_types::Duration {
    prost_types::Duration { seconds: duration / SECOND, nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> pb::Subscription {
        pb::Subscription {
            name: "projects/p/subscriptions/sub".into(),
            topic: "projects/p/topics/topic".into(),
            ..Default::default()
        }
    }

    #[test]
    fn defaults_are_the_services() {
        let config = Config::new(subscription()).expect("is fine");
        assert_eq!(config.proto.ack_deadline_seconds, 10);
        assert_eq!(config.proto.message_retention_duration.map(|d| d.seconds), Some(604_800));
        assert!(config.push.is_none());
        assert_eq!(config.settings().retry, Retry::AtOnce);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let status =
            Config::new(pb::Subscription { ack_deadline_seconds: 5, ..subscription() }).expect_err("too small");
        assert_eq!(
            status.message(),
            "The value for ack_deadline_seconds is too small. You passed 5 in the request, but the minimum value is 10."
        );
        let bigquery_config = Some(pb::BigQueryConfig::default());
        let status = Config::new(pb::Subscription { bigquery_config, ..subscription() }).expect_err("is not there");
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        let status = Config::new(pb::Subscription { filter: "x".into(), ..subscription() }).expect_err("no filter");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let push_config = Some(pb::PushConfig { push_endpoint: "no url".into(), ..Default::default() });
        assert!(Config::new(pb::Subscription { push_config, ..subscription() }).is_err());
    }

    #[test]
    fn an_update_takes_only_what_the_mask_names() {
        let config = Config::new(subscription()).expect("is fine");
        let from = pb::Subscription { ack_deadline_seconds: 60, retain_acked_messages: true, ..Default::default() };
        let updated = config.updated(from.clone(), &["ack_deadline_seconds".into()]).expect("is fine");
        assert_eq!(updated.proto.ack_deadline_seconds, 60);
        assert!(!updated.proto.retain_acked_messages);
        for path in ["filter", "pushConfig"] {
            assert!(config.updated(from.clone(), &[path.into()]).is_err(), "{path}");
        }
    }
}
