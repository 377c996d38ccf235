//! A dead letter as it is published again.

use std::collections::BTreeMap;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::open_dead_letters_view;
use dedupe::PayloadHash;
use event::{Bytes, DeadLetterId, attribute};
use pubsub::Outgoing;
use serde_json::Value;

use super::{filter::Filter, patch::Patch};

/// What Pub/Sub allows: <https://cloud.google.com/pubsub/quotas#resource_limits>.
const MAX_ATTRIBUTES: usize = 100;

/// What is needed of a dead letter to publish it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Letter {
    pub(super) id: DeadLetterId,
    pub(super) stream: String,
    pub(super) event_id: Option<String>,
    message_id: String,
    payload: Bytes,
    attributes: BTreeMap<String, String>,
    ordering_key: String,
}

/// The open dead letters that the filter takes, or those of these ids, the oldest first.
pub(super) fn sql(filter: &Filter, ids: &[DeadLetterId], limit: Option<u64>) -> String {
    let listed = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    let among = if ids.is_empty() { String::new() } else { format!(" AND letters.dead_letter_id IN ({listed})") };
    let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    format!(
        "SELECT letters.dead_letter_id, letters.stream, letters.event_id, letters.message_id, letters.payload, \
         letters.attributes, letters.ordering_key FROM `{}` AS letters WHERE {}{among} \
         ORDER BY letters.rejected_at, letters.dead_letter_id{limit}",
        open_dead_letters_view().name,
        filter.condition(),
    )
}

impl Letter {
    /// Reads a row of [`sql`]'s answer.
    pub(super) fn read(row: &[Value]) -> anyhow::Result<Self> {
        let text = |at: usize| row.get(at).and_then(Value::as_str);
        let id = text(0).context("a dead letter without an id")?;
        let read = || {
            anyhow::Ok(Self {
                id: id.parse()?,
                stream: text(1).context("no stream")?.to_owned(),
                event_id: text(2).map(str::to_owned),
                message_id: text(3).context("no message_id")?.to_owned(),
                payload: STANDARD.decode(text(4).unwrap_or_default()).context("the payload")?.into(),
                attributes: serde_json::from_str(text(5).unwrap_or("{}")).context("the attributes")?,
                ordering_key: text(6).unwrap_or_default().to_owned(),
            })
        };
        read().with_context(|| format!("the dead letter {id}"))
    }

    /// The message that carries the event again: the same attributes, and what tells loaders that it was a dead letter.
    pub(super) fn outgoing(self, patch: Option<&Patch>) -> anyhow::Result<Outgoing> {
        self.id.next().context("it was redriven as often as can be counted")?;
        if let Some(size) = self.attributes.get(attribute::CUT) {
            anyhow::bail!("{} of its {size} bytes are kept: replay its message from the archive", self.payload.len());
        }
        let mut attributes = self.attributes;
        // What the event said at first, however often it was patched: by that a ledger knows it.
        let first = format!("{:016x}", PayloadHash::of(&self.payload).bits());
        attributes.entry(attribute::REDRIVEN_PAYLOAD.to_owned()).or_insert(first);
        attributes.insert(attribute::REDRIVEN.to_owned(), self.id.to_string());
        if self.event_id.as_ref() == Some(&self.message_id) {
            // Only its message named the event, and this is another message.
            attributes.entry(attribute::ID.to_owned()).or_insert(self.message_id);
        }
        let data = match patch {
            Some(patch) => patch.apply(&self.payload)?.into(),
            None => self.payload,
        };
        // Pub/Sub would refuse those that are published with it too.
        let count = attributes.len();
        anyhow::ensure!(count <= MAX_ATTRIBUTES, "it has {count} attributes; a message has at most {MAX_ATTRIBUTES}");
        let outgoing = Outgoing { data, attributes, ordering_key: self.ordering_key };
        let (size, most) = (outgoing.size(), pubsub::MAX_MESSAGE_BYTES);
        anyhow::ensure!(size <= most, "it has {size} bytes; a message has at most {most}");
        Ok(outgoing)
    }

    /// The size of its event.
    pub(super) fn size(&self) -> usize {
        self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn row(id: &str, event_id: Value, attributes: &str) -> Vec<Value> {
        let payload = STANDARD.encode(r#"{"a":1.10}"#);
        vec![json!(id), json!("s"), event_id, json!("7"), json!(payload), json!(attributes), json!(null)]
    }

    fn outgoing(row: &[Value]) -> Outgoing {
        Letter::read(row).expect("a letter").outgoing(None).expect("a message")
    }

    #[test]
    fn a_message_says_which_dead_letter_it_was_and_what_it_said_at_first() {
        let first = outgoing(&row(ID, json!("e"), r#"{"ce-id":"e","team":"a"}"#));
        assert_eq!(first.data, br#"{"a":1.10}"#[..]);
        assert_eq!(first.attributes[attribute::REDRIVEN], ID);
        assert_eq!((first.attributes["ce-id"].as_str(), first.attributes["team"].as_str()), ("e", "a"));
        let hash = &first.attributes[attribute::REDRIVEN_PAYLOAD];
        assert_eq!(u64::from_str_radix(hash, 16), Ok(PayloadHash::of(br#"{"a":1.10}"#).bits()));
        let earlier = format!(r#"{{"pipas-redriven":"{ID}","pipas-payload":"00000000000000ff"}}"#);
        let second = outgoing(&row(&format!("{ID}-1"), json!(null), &earlier));
        assert_eq!(second.attributes[attribute::REDRIVEN], format!("{ID}-1"));
        assert_eq!(second.attributes[attribute::REDRIVEN_PAYLOAD], "00000000000000ff");
        assert_eq!(second.attributes.get(attribute::ID), None);
    }

    #[test]
    fn an_event_that_its_message_named_keeps_its_name() {
        assert_eq!(outgoing(&row(ID, json!("7"), "{}")).attributes[attribute::ID], "7");
        assert_eq!(outgoing(&row(ID, json!("pointed-at"), "{}")).attributes.get(attribute::ID), None);
    }

    #[test]
    fn a_dead_letter_that_no_message_holds_is_left() {
        let many: BTreeMap<String, String> = (0..99).map(|at| (format!("a{at}"), String::new())).collect();
        let letter = |attributes: &str| Letter::read(&row(ID, json!("e"), attributes)).expect("a letter");
        let refused = letter(&json!(many).to_string()).outgoing(None).expect_err("too many");
        assert_eq!(refused.to_string(), "it has 101 attributes; a message has at most 100");
    }

    #[test]
    fn a_dead_letter_that_was_cut_is_left() {
        let cut = Letter::read(&row(ID, json!("e"), r#"{"pipas-cut":"10000000"}"#)).expect("a letter");
        let left = cut.outgoing(None).expect_err("half an event");
        assert_eq!(left.to_string(), "10 of its 10000000 bytes are kept: replay its message from the archive");
    }

    #[test]
    fn a_dead_letter_that_cannot_be_counted_on_is_left() {
        let last = Letter::read(&row(&format!("{ID}-255"), json!("e"), "{}")).expect("a letter");
        assert!(last.outgoing(None).is_err());
    }
}
