use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use event::{EventId, Message, Reason, Rejection, attribute};

use crate::{ArchiveSettings, ContentHash, Cors, Feed, JsonPointer, MaskTree, Probed, Shaping, Subscription, Table};

/// A named channel: one receiver path, one Pub/Sub topic, its subscriptions, its archive prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// The name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What the stream carries.
    pub description: String,
    /// Where the event's id stands in its JSON; `None`: the producer's header, else generated at the edge.
    pub event_id: Option<JsonPointer>,
    /// Of what an event's id is made, where it is made of content; then [`Stream::event_id`] is `None`.
    pub content_hash: Option<ContentHash>,
    /// Where the event's type stands in its JSON; `None`: its message says it.
    pub event_type: Option<JsonPointer>,
    /// Where the ordering key stands in the event's JSON.
    pub ordering_key: Option<JsonPointer>,
    /// How long an event's id is remembered.
    pub dedupe_window: Duration,
    /// What the loader does with events while the claim ledger cannot be reached.
    pub on_ledger_loss: OnLedgerLoss,
    /// How often a message is delivered before it becomes a dead letter (`exhausted_retries`), 5 to 100. Default: 100, as deliveries
    /// that are merely held count too. Example: `max_delivery_attempts: 20`.
    pub max_delivery_attempts: u32,
    /// Events a second that are expected, where it is declared: for sizing alone.
    pub rate: Option<u64>,
    /// How its archive is written: the catalog's settings, and over them the stream's own.
    pub archive: ArchiveSettings,
    /// How documents become events.
    pub shaping: Shaping,
    /// Which web pages may send from a browser; `None`: none.
    pub cors: Option<Cors>,
    /// What is fetched from the web for the stream.
    pub feeds: Vec<Feed>,
    /// The subscriptions of its topic that are not Pipas' own.
    pub subscriptions: Vec<Subscription>,
    /// The tables, in the order of their rules.
    pub tables: Vec<Table>,
}

/// What the loader does with events while the claim ledger cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLedgerLoss {
    /// They are not acked and come again: late, and never twice.
    #[default]
    Nack,
    /// They are appended all the same: in time, and perhaps twice.
    Append,
}

impl Stream {
    /// Deliveries that are only held, while another loader has the event, count too; so the most that Pub/Sub allows.
    pub const DEFAULT_DELIVERY_ATTEMPTS: u32 = 100;

    /// What any of the tables masks: it is masked in `extra`, in raw tables and in dead letters.
    pub fn payload_mask(&self) -> Arc<MaskTree> {
        self.tables.first().map(|table| Arc::clone(&table.rules.payload_mask)).unwrap_or_default()
    }

    /// The tables that take every event, beside the one that it is routed to.
    pub fn raw_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.is_raw)
    }

    /// The topic's id.
    pub fn topic(&self) -> &str {
        &self.name
    }

    /// The id of the push subscription that feeds the loader.
    pub fn loader_subscription(&self) -> String {
        format!("{}-loader", self.name)
    }

    /// The id of the topic of messages whose deliveries are used up.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}-dead-letter", self.name)
    }

    /// The id of the push subscription of that topic, which feeds the deadletter function.
    pub fn dead_letter_subscription(&self) -> String {
        format!("{}-dead-letter", self.name)
    }

    /// The id of the pull subscription that feeds the compactor.
    pub fn archive_subscription(&self) -> String {
        format!("{}-archive", self.name)
    }

    /// Why an event that no table takes is a dead letter.
    pub fn no_route(&self) -> Rejection {
        Rejection::new(Reason::NoRoute, format!("no table of the stream {} takes the event", self.name))
    }

    /// The event's id as its JSON tells it: `table`'s pointer finds it, else the stream's. `None` where neither has one.
    ///
    /// A string is taken as it is and a number as it is written. Where a pointer is declared, an event without a usable
    /// value there is refused, as [`Reason::InvalidEventId`]. Where the id is made of content, there must be some.
    pub fn event_id(&self, event: &Probed<'_>, table: Option<&Table>) -> Option<Result<EventId, Rejection>> {
        let own = table.and_then(|table| table.event_id.as_ref());
        if let (None, Some(hash)) = (own, &self.content_hash) {
            return Some(hash.id(event).map_err(|(pointer, detail)| Rejection {
                pointer: pointer.map(|pointer| pointer.to_string()),
                ..Rejection::new(Reason::InvalidEventId, detail)
            }));
        }
        let pointer = own.or(self.event_id.as_ref())?;
        Some(id_at(event, pointer).map_err(|detail| Rejection::at(Reason::InvalidEventId, pointer.as_str(), detail)))
    }

    /// Whether events say where their ids come from, so that a producer need not.
    pub fn has_event_ids(&self) -> bool {
        self.event_id.is_some() || self.content_hash.is_some()
    }

    /// The event's type: what stands at [`Stream::event_type`], else what its producer `declared` it to be, else the attribute
    /// `type`. A text that no attribute can hold is none.
    pub fn event_type<'e>(
        &self,
        event: Option<&Probed<'e>>,
        declared: Option<&'e str>,
        attributes: &'e BTreeMap<String, String>,
    ) -> Option<Cow<'e, str>> {
        const MAX_BYTES: usize = 1024;
        let said = self.event_type.as_ref().zip(event).and_then(|(pointer, event)| event.text(pointer));
        let beside = declared.into_iter().chain(attributes.get(attribute::PLAIN_TYPE).map(String::as_str));
        let all = said.into_iter().chain(beside.map(Cow::Borrowed));
        all.into_iter().find(|found| (1..=MAX_BYTES).contains(&found.len()))
    }

    /// The type of the event that `message` carries: [`Stream::event_type`], declared by the attribute `ce-type`.
    pub fn message_event_type<'e>(&self, message: &'e Message, event: Option<&Probed<'e>>) -> Option<Cow<'e, str>> {
        self.event_type(event, message.attribute(attribute::TYPE), &message.attributes)
    }

    /// What tells one content under an event's id from another: the event's data, and for an event of `table` whose id is
    /// made of what counts in it, the id: two such events differ in nothing that counts.
    pub fn content<'a>(&self, table: &Table, id: &'a EventId, data: &'a [u8]) -> &'a [u8] {
        if self.is_content_id(table) { id.as_str().as_bytes() } else { data }
    }

    /// Whether the id of an event of `table` is made of what counts in it.
    pub fn is_content_id(&self, table: &Table) -> bool {
        self.content_hash.is_some() && table.event_id.is_none()
    }

    /// The id of the event that `message` carries: the attribute `ce-id`, which the receiver sets; of a message that came
    /// straight to the topic what [`Stream::event_id`] finds, else the message's own id.
    pub fn message_event_id(
        &self,
        message: &Message,
        event: &Probed<'_>,
        table: Option<&Table>,
    ) -> Result<EventId, Rejection> {
        let declared = message.declared_event_id().or_else(|| self.event_id(event, table));
        declared.unwrap_or_else(|| message.event_id())
    }
}

fn id_at(event: &Probed<'_>, pointer: &JsonPointer) -> Result<EventId, String> {
    const EXPECTED: &str = "expected a string or a number as the event's id";
    let Some(raw) = event.raw(pointer) else {
        return Err(format!("{EXPECTED}, found nothing"));
    };
    let found = match raw.as_bytes().first() {
        Some(b'"' | b'-' | b'0'..=b'9') => match event.text(pointer) {
            Some(text) => return EventId::new(&text).map_err(|error| error.to_string()),
            None => "a string that is no Unicode text",
        },
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'n') => "null",
        _ => "a boolean",
    };
    Err(format!("{EXPECTED}, found {found}"))
}
