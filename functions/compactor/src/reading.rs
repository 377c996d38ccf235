//! What the templates of object names need of a message.

use catalog::{Labels, Probe, Stream};
use event::{Message, attribute};

/// The attribute that names an event's type where nothing of CloudEvents does.
const TYPE: &str = "type";

/// Reads messages of one stream, as far as its layouts need it.
pub(crate) struct Reading<'a> {
    stream: &'a Stream,
    /// Where events are read, and not only their attributes.
    probe: Option<Probe>,
}

/// A message that was read.
pub(crate) struct Read<'m> {
    table: String,
    event_type: &'m str,
    event_id: String,
    /// Whether the data is one JSON object, as far as it was looked at.
    pub(crate) is_event: bool,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(stream: &'a Stream) -> Self {
        let needs_event = stream.archive.layout.needs_event() || stream.archive.landing.is_some();
        Self { stream, probe: needs_event.then(|| Probe::new(stream)) }
    }

    pub(crate) fn read<'m>(&self, message: &'m Message) -> Read<'m> {
        let event_type = message.attribute(attribute::TYPE).or_else(|| message.attribute(TYPE)).unwrap_or_default();
        let mut read = Read { table: String::new(), event_type, event_id: String::new(), is_event: false };
        let Some(probe) = &self.probe else { return read };
        let id = match probe.scan(&message.data) {
            Ok(event) => {
                let table = event.route(self.stream, &message.attributes);
                read.table = table.map(|table| table.name.to_string()).unwrap_or_default();
                read.is_event = true;
                self.stream.message_event_id(message, &event, table)
            }
            Err(_) => message.event_id(),
        };
        read.event_id = id.map(|id| id.to_string()).unwrap_or_default();
        read
    }

    /// What the message's fields of a template are.
    pub(crate) fn labels<'b>(&'b self, message: &Message, read: &'b Read<'_>) -> Labels<'b> {
        Labels {
            stream: &self.stream.name,
            table: &read.table,
            event_type: read.event_type,
            event_id: &read.event_id,
            publish_time: message.publish_time,
        }
    }
}
