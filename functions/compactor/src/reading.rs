//! What the templates of object names need of a message.

use std::borrow::Cow;

use catalog::{Labels, Probe, Stream};
use event::Message;

/// Reads messages of one stream, as far as its layouts need it.
pub(crate) struct Reading<'a> {
    stream: &'a Stream,
    /// Where events are read, and not only their attributes.
    probe: Option<Probe>,
}

/// A message that was read.
pub(crate) struct Read<'m> {
    table: String,
    event_type: Cow<'m, str>,
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
        let scanned = self.probe.as_ref().map(|probe| probe.scan(&message.data));
        let event = scanned.as_ref().and_then(|scanned| scanned.as_ref().ok());
        let table = event.and_then(|event| event.route(self.stream, &message.attributes));
        let id = scanned.as_ref().map(|scanned| match scanned {
            Ok(event) => self.stream.message_event_id(message, event, table),
            Err(_) => message.event_id(),
        });
        Read {
            table: table.map(|table| table.name.to_string()).unwrap_or_default(),
            event_type: self.stream.message_event_type(message, event).unwrap_or_default(),
            event_id: id.and_then(Result::ok).map(|id| id.to_string()).unwrap_or_default(),
            is_event: event.is_some(),
        }
    }

    /// What the message's fields of a template are.
    pub(crate) fn labels<'b>(&'b self, message: &Message, read: &'b Read<'_>) -> Labels<'b> {
        Labels {
            stream: &self.stream.name,
            table: &read.table,
            event_type: &read.event_type,
            event_id: &read.event_id,
            publish_time: message.publish_time,
        }
    }
}
