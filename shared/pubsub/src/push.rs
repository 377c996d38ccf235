//! A push request's body: the JSON envelope, or the data itself with the rest as headers
//! (<https://cloud.google.com/pubsub/docs/push>, <https://cloud.google.com/pubsub/docs/payload-unwrapping>).

use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use event::{Bytes, Message, Timestamp};
use http::HeaderMap;
use serde::Deserialize;

/// The largest push body that is read: 10 MB of data in base64, and room for the attributes. What is larger is no push.
pub const MAX_BODY_BYTES: usize = 20 << 20;

/// One push request: a message, and which delivery of it this is.
#[derive(Debug, Clone, PartialEq)]
pub struct PushDelivery {
    /// The message.
    pub message: Message,
    /// The full name of the subscription; empty where the request does not name it.
    pub subscription: String,
    /// Which delivery of the message this is, where the subscription counts them (it has a dead-letter policy).
    pub delivery_attempt: Option<u32>,
}

/// Why a request is no push: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushDecodeError {
    /// The body is larger than [`MAX_BODY_BYTES`].
    #[error("the body has {found} bytes; a push has at most {MAX_BODY_BYTES}")]
    TooLarge {
        /// The body's size.
        found: usize,
    },
    /// The body is not the JSON envelope, and no header says that the body is the data.
    #[error("the body is not a push envelope: {detail} at line {line}, column {column}")]
    Json {
        /// What is wrong.
        detail: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// Something that every push has is absent.
    #[error("{place} is absent")]
    Missing {
        /// Where it should stand.
        place: Place,
    },
    /// A value that is not what its place holds.
    #[error("{place}: expected {expected}, found {found}")]
    Invalid {
        /// Where it stands.
        place: Place,
        /// What was expected.
        expected: &'static str,
        /// What was found, shortened.
        found: String,
    },
}

/// A place in a push request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the envelope.
    Envelope(&'static str),
    /// A header.
    Header(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(path) => write!(f, "`{path}` in the envelope"),
            Self::Header(name) => write!(f, "header `{name}`"),
        }
    }
}

/// Decodes a push request. Never panics, whatever it is given.
pub fn decode(headers: &HeaderMap, body: Bytes) -> Result<PushDelivery, PushDecodeError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(PushDecodeError::TooLarge { found: body.len() });
    }
    if headers.contains_key(MESSAGE_ID) { unwrapped(headers, body) } else { wrapped(&body) }
}

/// Both spellings of a field come together, so they are two fields and no alias.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    message: Option<Enveloped<'a>>,
    subscription: Option<String>,
    #[serde(rename = "deliveryAttempt")]
    delivery_attempt: Option<u32>,
}

#[derive(Deserialize)]
struct Enveloped<'a> {
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    attributes: Option<BTreeMap<String, String>>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    #[serde(rename = "message_id")]
    message_id_snake: Option<String>,
    #[serde(rename = "publishTime", borrow)]
    publish_time: Option<Cow<'a, str>>,
    #[serde(rename = "publish_time", borrow)]
    publish_time_snake: Option<Cow<'a, str>>,
    #[serde(rename = "orderingKey")]
    ordering_key: Option<String>,
    #[serde(rename = "ordering_key")]
    ordering_key_snake: Option<String>,
}

fn wrapped(body: &[u8]) -> Result<PushDelivery, PushDecodeError> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| PushDecodeError::Json {
        detail: without_position(&error),
        line: error.line(),
        column: error.column(),
    })?;
    let message = envelope.message.ok_or(PushDecodeError::Missing { place: Place::Envelope("message") })?;
    let publish_time = message.publish_time.or(message.publish_time_snake);
    let data = message.data.as_deref().unwrap_or_default();
    Ok(PushDelivery {
        message: Message {
            message_id: message
                .message_id
                .or(message.message_id_snake)
                .filter(|id| !id.is_empty())
                .ok_or(PushDecodeError::Missing { place: Place::Envelope("message.messageId") })?,
            publish_time: time(Place::Envelope("message.publishTime"), publish_time.as_deref())?,
            ordering_key: message.ordering_key.or(message.ordering_key_snake).unwrap_or_default(),
            attributes: message.attributes.unwrap_or_default(),
            data: STANDARD
                .decode(data)
                .map_err(|error| invalid(Place::Envelope("message.data"), "standard base64", &error.to_string()))?
                .into(),
        },
        subscription: envelope.subscription.unwrap_or_default(),
        delivery_attempt: envelope.delivery_attempt,
    })
}

const MESSAGE_ID: &str = "x-goog-pubsub-message-id";
const PUBLISH_TIME: &str = "x-goog-pubsub-publish-time";
const SUBSCRIPTION: &str = "x-goog-pubsub-subscription-name";
const ORDERING_KEY: [&str; 2] = ["x-goog-pubsub-ordering-key", "x-goog-ordering-key"];
const DELIVERY_ATTEMPT: [&str; 2] = ["x-goog-pubsub-delivery-attempt", "x-goog-delivery-attempt"];

/// Headers that belong to the request and not to the message. Names that start with `x-goog-` and `x-forwarded-` do so too.
const OF_THE_REQUEST: [&str; 17] = [
    "accept",
    "accept-encoding",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "from",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-cloud-trace-context",
    "x-request-id",
];

fn unwrapped(headers: &HeaderMap, body: Bytes) -> Result<PushDelivery, PushDecodeError> {
    let attempt = text(headers, DELIVERY_ATTEMPT[0])?.or(text(headers, DELIVERY_ATTEMPT[1])?);
    let delivery_attempt = attempt.map(|attempt| {
        attempt
            .parse()
            .map_err(|_| invalid(Place::Header(DELIVERY_ATTEMPT[0]), "a number from 0 to 4294967295", attempt))
    });
    Ok(PushDelivery {
        message: Message {
            message_id: text(headers, MESSAGE_ID)?
                .filter(|id| !id.is_empty())
                .ok_or(PushDecodeError::Missing { place: Place::Header(MESSAGE_ID) })?
                .to_owned(),
            publish_time: time(Place::Header(PUBLISH_TIME), text(headers, PUBLISH_TIME)?)?,
            ordering_key: text(headers, ORDERING_KEY[0])?
                .or(text(headers, ORDERING_KEY[1])?)
                .unwrap_or_default()
                .to_owned(),
            attributes: attributes(headers),
            data: body,
        },
        subscription: text(headers, SUBSCRIPTION)?.unwrap_or_default().to_owned(),
        delivery_attempt: delivery_attempt.transpose()?,
    })
}

/// The attributes travel as plain headers, among the request's own.
fn attributes(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            !name.starts_with("x-goog-") && !name.starts_with("x-forwarded-") && !OF_THE_REQUEST.contains(&name)
        })
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), std::str::from_utf8(value.as_bytes()).ok()?.to_owned()))
        })
        .collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, PushDecodeError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(invalid(Place::Header(name), "UTF-8", &error.to_string())),
    }
}

fn time(place: Place, text: Option<&str>) -> Result<Timestamp, PushDecodeError> {
    let text = text.ok_or(PushDecodeError::Missing { place })?;
    text.parse().map_err(|_| invalid(place, "an RFC 3339 time", text))
}

fn invalid(place: Place, expected: &'static str, found: &str) -> PushDecodeError {
    PushDecodeError::Invalid { place, expected, found: found.chars().take(80).collect() }
}

/// The message of a JSON error without the position that it ends in.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn decode_json(body: &str) -> Result<PushDelivery, PushDecodeError> {
        decode(&HeaderMap::new(), Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn google_sends_both_spellings() {
        let delivery = decode_json(
            r#"{"message":{"data":"eyJhIjoxfQ\u003d\u003d","messageId":"7","message_id":"7","publishTime":"2024-02-01T10:04:46.123Z",
                "publish_time":"2024-02-01T10:04:46.123Z","orderingKey":"k","attributes":{"ce-id":"e"}},
                "subscription":"projects/p/subscriptions/s","deliveryAttempt":3,"new":1}"#,
        )
        .expect("a push");
        assert_eq!(delivery.message.data, br#"{"a":1}"#[..]);
        assert_eq!(delivery.message.message_id, "7");
        assert_eq!(delivery.message.attribute("ce-id"), Some("e"));
        assert_eq!(delivery.message.ordering_key, "k");
        assert_eq!(delivery.delivery_attempt, Some(3));
        assert_eq!(delivery.subscription, "projects/p/subscriptions/s");
    }

    #[test]
    fn what_the_emulator_omits_is_not_needed() {
        let delivery =
            decode_json(r#"{"message":{"message_id":"7","publish_time":"2024-02-01T10:04:46Z","attributes":null}}"#);
        let delivery = delivery.expect("a push");
        assert!(delivery.message.data.is_empty() && delivery.message.attributes.is_empty());
        assert_eq!((delivery.delivery_attempt, delivery.message.ordering_key.as_str()), (None, ""));
    }

    #[test]
    fn errors_name_the_place() {
        let message = |fields: &str| format!(r#"{{"message":{{{fields}}}}}"#);
        for (body, error) in [
            ("{", "the body is not a push envelope: EOF while parsing an object at line 1, column 1"),
            ("{}", "`message` in the envelope is absent"),
            (&message(r#""data":"""#), "`message.messageId` in the envelope is absent"),
            (&message(r#""messageId":"1""#), "`message.publishTime` in the envelope is absent"),
            (
                &message(r#""messageId":"1","publishTime":"noon""#),
                "`message.publishTime` in the envelope: expected an RFC 3339 time, found noon",
            ),
            (
                &message(r#""messageId":"1","publishTime":"2024-02-01T10:04:46Z","data":"a-_=""#),
                "`message.data` in the envelope: expected standard base64, found Invalid symbol 45, offset 1.",
            ),
        ] {
            assert_eq!(decode_json(body).expect_err("no push").to_string(), error);
        }
    }

    #[test]
    fn the_data_may_be_the_body() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-goog-pubsub-message-id", "7"),
            ("x-goog-pubsub-publish-time", "2024-02-01T10:04:46.123Z"),
            ("x-goog-pubsub-subscription-name", "projects/p/subscriptions/s"),
            ("x-goog-ordering-key", "k"),
            ("ce-id", "e"),
            ("host", "localhost"),
            ("x-forwarded-for", "::1"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let delivery = decode(&headers, Bytes::from_static(b"not even JSON")).expect("a push");
        assert_eq!(delivery.message.data, b"not even JSON"[..]);
        assert_eq!(delivery.message.attributes, BTreeMap::from([("ce-id".into(), "e".into())]));
        assert_eq!(delivery.message.ordering_key, "k");
        assert_eq!((delivery.subscription.as_str(), delivery.delivery_attempt), ("projects/p/subscriptions/s", None));
        headers.insert("x-goog-pubsub-publish-time", HeaderValue::from_static("noon"));
        let error = decode(&headers, Bytes::new()).expect_err("no push").to_string();
        assert_eq!(error, "header `x-goog-pubsub-publish-time`: expected an RFC 3339 time, found noon");
    }

    #[test]
    fn the_ordering_key_and_the_attempt_stand_under_either_name() {
        let decoded = |names: &[(&'static str, &'static str)]| {
            let usual = [(MESSAGE_ID, "7"), (PUBLISH_TIME, "2024-02-01T10:04:46Z")];
            let headers = usual
                .iter()
                .chain(names)
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let delivery = decode(&headers.collect(), Bytes::new()).expect("a push");
            assert!(delivery.message.attributes.is_empty(), "{:?}", delivery.message.attributes);
            (delivery.message.ordering_key, delivery.delivery_attempt)
        };
        // <https://cloud.google.com/pubsub/docs/payload-unwrapping> names the first of each; the others were seen too.
        assert_eq!(decoded(&[("x-goog-pubsub-ordering-key", "k")]), ("k".into(), None));
        assert_eq!(decoded(&[("x-goog-ordering-key", "k")]), ("k".into(), None));
        assert_eq!(decoded(&[("x-goog-ordering-key", "old"), ("x-goog-pubsub-ordering-key", "k")]), ("k".into(), None));
        assert_eq!(decoded(&[("x-goog-pubsub-delivery-attempt", "3")]), (String::new(), Some(3)));
        assert_eq!(decoded(&[("x-goog-delivery-attempt", "3")]), (String::new(), Some(3)));
    }

    #[test]
    fn a_body_has_a_bound() {
        let body = Bytes::from(vec![b' '; MAX_BODY_BYTES + 1]);
        assert_eq!(decode(&HeaderMap::new(), body), Err(PushDecodeError::TooLarge { found: MAX_BODY_BYTES + 1 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..512), unwrapped: bool) {
            let mut headers = HeaderMap::new();
            if unwrapped {
                let value = HeaderValue::from_bytes(&body).unwrap_or(HeaderValue::from_static(""));
                headers.insert(MESSAGE_ID, value.clone());
                headers.insert(PUBLISH_TIME, value);
            }
            let _ = decode(&headers, Bytes::from(body));
        }

        #[test]
        fn almost_envelopes_never_panic(
            data in "[A-Za-z0-9+/=_-]{0,16}", id in "\\PC{0,8}", time in "[0-9T:.Z+-]{0,32}", cut in 0usize..200,
        ) {
            let body = serde_json::json!({ "message": { "data": data, "messageId": id, "publishTime": time } }).to_string();
            let _ = decode(&HeaderMap::new(), Bytes::copy_from_slice(&body.as_bytes()[..cut.min(body.len())]));
        }

        #[test]
        fn what_is_wrapped_is_unwrapped(data in proptest::collection::vec(any::<u8>(), 0..256), id in "[0-9]{1,20}", key in "\\PC{0,16}") {
            let body = serde_json::json!({
                "message": {
                    "data": STANDARD.encode(&data), "messageId": id, "publishTime": "2024-02-01T10:04:46Z", "orderingKey": key,
                },
            });
            let delivery = decode(&HeaderMap::new(), Bytes::from(body.to_string())).expect("a push");
            prop_assert_eq!(delivery.message.data, data);
            prop_assert_eq!(delivery.message.message_id, id);
            prop_assert_eq!(delivery.message.ordering_key, key);
        }
    }
}
