//! What a request's headers say of its events.

use std::collections::BTreeMap;

use content_encoding::ContentEncoding;
use event::{EventId, Timestamp, attribute};
use http::{HeaderMap, HeaderName, header};

use crate::{error::ReceiverError, ids::RequestIds};

/// The media types of a body, as an error names them.
pub(crate) const ACCEPTED_TYPES: &str = "application/json, application/x-ndjson or none";

/// The prefix of headers that become attributes of the message.
const ATTRIBUTE_PREFIX: &str = "pipas-attribute-";
/// What Pub/Sub allows: <https://cloud.google.com/pubsub/quotas#resource_limits>.
const MAX_ATTRIBUTES: usize = 100;
const MAX_NAME_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 1024;
/// The attributes that are the receiver's own: [`event::Event::message_attributes`].
const OWN_ATTRIBUTES: usize = 9;

/// How a body is cut into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its first bytes.
    Detect,
    /// One event a line.
    Lines,
}

/// What all events of a request share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Producer {
    pub(crate) encoding: ContentEncoding,
    pub(crate) form: Form,
    pub(crate) ids: RequestIds,
    pub(crate) source: String,
    pub(crate) event_type: Option<String>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Producer {
    /// Reads the headers; the first that is bad is named.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, ReceiverError> {
        Ok(Self {
            encoding: ContentEncoding::of(headers)?,
            form: form(headers)?,
            ids: ids(headers)?,
            source: cloud_event(headers, attribute::SOURCE)?.unwrap_or_else(|| "anonymous".to_owned()),
            event_type: cloud_event(headers, attribute::TYPE)?,
            time: time(headers)?,
            attributes: attributes(headers)?,
        })
    }
}

fn form(headers: &HeaderMap) -> Result<Form, ReceiverError> {
    let Some(content_type) = text(headers, header::CONTENT_TYPE.as_str())? else { return Ok(Form::Detect) };
    let unsupported = || ReceiverError::MediaType { found: format!("the media type is `{}`", shortened(content_type)) };
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if charset.is_some_and(|charset| !charset.trim_matches('"').eq_ignore_ascii_case("utf-8")) {
        return Err(unsupported());
    }
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-seq" => Ok(Form::Lines),
        // What curl -d and fetch() send where nobody said what it is.
        "" | "application/json" | "text/json" | "text/plain" | "application/x-www-form-urlencoded" => Ok(Form::Detect),
        essence if essence.ends_with("+json") && !essence.starts_with("application/cloudevents") => Ok(Form::Detect),
        _ => Err(unsupported()),
    }
}

fn ids(headers: &HeaderMap) -> Result<RequestIds, ReceiverError> {
    if let Some(id) = cloud_event(headers, attribute::ID)? {
        let id = EventId::new(&id).map_err(|error| bad(attribute::ID, error.to_string()))?;
        return Ok(RequestIds::Event(id));
    }
    let Some(key) = text(headers, "idempotency-key")? else { return Ok(RequestIds::New) };
    // A structured string (draft-ietf-httpapi-idempotency-key-header) or, as most send it, a bare one.
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if key.is_empty() {
        return Err(bad("idempotency-key", "must not be empty"));
    }
    Ok(RequestIds::Key(key.to_owned()))
}

fn time(headers: &HeaderMap) -> Result<Option<Timestamp>, ReceiverError> {
    let Some(time) = cloud_event(headers, attribute::TIME)? else { return Ok(None) };
    let parsed = time.parse();
    parsed
        .map(Some)
        .map_err(|_| bad(attribute::TIME, format!("expected an RFC 3339 time, found `{}`", shortened(&time))))
}

/// The message's attributes: `pipas-attribute-…`, and the CloudEvents extensions.
fn attributes(headers: &HeaderMap) -> Result<BTreeMap<String, String>, ReceiverError> {
    let mut attributes = BTreeMap::new();
    for name in headers.keys() {
        let (wanted, value) = match name.as_str().strip_prefix(ATTRIBUTE_PREFIX) {
            Some(attribute) => (attribute, text(headers, name.as_str())?.map(str::to_owned)),
            None if name.as_str().starts_with("ce-") => (name.as_str(), cloud_event(headers, name.as_str())?),
            None => continue,
        };
        let problem = match wanted {
            "" => Some("names no attribute".to_owned()),
            _ if wanted.len() > MAX_NAME_BYTES => {
                Some(format!("an attribute's name has at most {MAX_NAME_BYTES} bytes, found {}", wanted.len()))
            }
            _ if wanted.starts_with("goog") => Some("names that start with `goog` are Google's".to_owned()),
            _ if wanted.starts_with(attribute::RESERVED_PREFIX) => {
                Some(format!("names that start with `{}` are Pipas's own", attribute::RESERVED_PREFIX))
            }
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(bad(name.as_str(), problem));
        }
        attributes.insert(wanted.to_owned(), value.unwrap_or_default());
    }
    let own = [
        attribute::SPEC_VERSION,
        attribute::ID,
        attribute::SOURCE,
        attribute::TYPE,
        attribute::TIME,
        attribute::RECEIVED,
    ];
    attributes.retain(|name, _| !own.contains(&name.as_str()));
    let room = MAX_ATTRIBUTES - OWN_ATTRIBUTES;
    if attributes.len() > room {
        let detail = format!("a message holds at most {room} of them, found {}", attributes.len());
        return Err(bad("pipas-attribute-…", detail));
    }
    Ok(attributes)
}

/// The value of a CloudEvents header, which is percent-encoded (CloudEvents HTTP binding 1.0.2, 3.1.3.2).
fn cloud_event(headers: &HeaderMap, name: &str) -> Result<Option<String>, ReceiverError> {
    let Some(value) = text(headers, name)? else { return Ok(None) };
    let decoded = percent_decoded(value).ok_or_else(|| bad(name, "expected percent-encoded UTF-8"))?;
    match decoded.as_str() {
        "" => Err(bad(name, "must not be empty")),
        _ => Ok(Some(decoded)),
    }
}

/// The only value of the header: short enough for an attribute, and text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ReceiverError> {
    let Ok(name) = HeaderName::try_from(name) else { return Ok(None) };
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad(name.as_str(), "is there more than once"));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(bad(name.as_str(), format!("has at most {MAX_VALUE_BYTES} bytes, found {}", value.len())));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad(name.as_str(), "expected UTF-8"))?;
    Ok(Some(text.trim()))
}

fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn bad(name: &str, detail: impl Into<String>) -> ReceiverError {
    ReceiverError::Header { name: name.chars().take(300).collect(), detail: detail.into() }
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<Producer, String> {
        let headers = headers.iter().map(|(name, value)| {
            (
                name.parse::<HeaderName>().expect("a name"),
                http::HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
            )
        });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        Producer::from_headers(&map).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bare_request_is_anonymous() {
        let producer = read(&[("content-type", "application/x-www-form-urlencoded")]).expect("as curl -d sends it");
        assert_eq!(
            (producer.form, producer.ids, producer.source.as_str()),
            (Form::Detect, RequestIds::New, "anonymous")
        );
    }

    #[test]
    fn cloud_events_headers_are_read() {
        let producer = read(&[
            ("ce-specversion", "1.0"),
            ("ce-id", "caf%C3%A9%20%25"),
            ("ce-source", "/shop"),
            ("ce-type", "order"),
            ("ce-time", "2024-02-01T10:04:46Z"),
            ("ce-subject", "s"),
            ("ce-pipasreceived", "forged"),
            ("pipas-attribute-team", "a"),
        ])
        .expect("good headers");
        assert_eq!(producer.ids, RequestIds::Event(EventId::new("café %").expect("an id")));
        assert_eq!((producer.source.as_str(), producer.event_type.as_deref()), ("/shop", Some("order")));
        assert_eq!(
            producer.attributes,
            BTreeMap::from([("ce-subject".into(), "s".into()), ("team".into(), "a".into())])
        );
    }

    #[test]
    fn an_idempotency_key_may_be_quoted() {
        assert_eq!(read(&[("idempotency-key", "\"k\"")]).expect("a key").ids, RequestIds::Key("k".into()));
        assert_eq!(read(&[("idempotency-key", "k")]).expect("a key").ids, RequestIds::Key("k".into()));
    }

    #[test]
    fn bad_headers_are_named() {
        let many: Vec<(String, String)> = (0..92).map(|n| (format!("pipas-attribute-{n}"), "x".into())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let long = "x".repeat(1025);
        let all = [
            read(&[("ce-time", "noon")]),
            read(&[("ce-id", "%zz")]),
            read(&[("idempotency-key", "\"\"")]),
            read(&[("pipas-attribute-a", "1"), ("pipas-attribute-a", "2")]),
            read(&[("pipas-attribute-goog-x", "1")]),
            read(&[("pipas-attribute-pipas-replay", "1")]),
            read(&[("pipas-attribute-a", &long)]),
            read(&many),
            read(&[("content-type", "application/xml")]),
            read(&[("content-type", "application/json; charset=latin1")]),
            read(&[("content-encoding", "br")]),
        ];
        insta::assert_snapshot!(all.map(|read| read.expect_err("a bad header")).join("\n"), @r"
        header `ce-time`: expected an RFC 3339 time, found `noon`
        header `ce-id`: expected percent-encoded UTF-8
        header `idempotency-key`: must not be empty
        header `pipas-attribute-a`: is there more than once
        header `pipas-attribute-goog-x`: names that start with `goog` are Google's
        header `pipas-attribute-pipas-replay`: names that start with `pipas-` are Pipas's own
        header `pipas-attribute-a`: has at most 1024 bytes, found 1025
        header `pipas-attribute-…`: a message holds at most 91 of them, found 92
        the media type is `application/xml`; expected application/json, application/x-ndjson or none
        the media type is `application/json; charset=latin1`; expected application/json, application/x-ndjson or none
        the content encoding `br` is not supported; expected gzip, zstd or none
        ");
    }
}
