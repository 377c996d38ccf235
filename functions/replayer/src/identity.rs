//! Which event a message carries, and which table takes it: by the loader's own rules.

use catalog::{Probe, Stream};
use event::{EventId, Message};

/// Reads the events of one stream.
#[derive(Debug)]
pub(crate) struct Identity {
    stream: Stream,
    probe: Probe,
}

/// What is known of a message's event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Identified {
    /// The place of its table among the stream's; `None`: no table takes it, or nothing can be read.
    pub(crate) table: Option<usize>,
    /// Its id; `None`: it has no usable one.
    pub(crate) id: Option<EventId>,
    /// Whether the id is that of the message, which a message that is published again would not have.
    pub(crate) is_of_message: bool,
}

impl Identity {
    pub(crate) fn new(stream: &Stream) -> Self {
        Self { stream: stream.clone(), probe: Probe::new(stream) }
    }

    pub(crate) fn of(&self, message: &Message) -> Identified {
        let declared = message.declared_event_id();
        let unrouted = || Identified { id: declared.clone().and_then(Result::ok), ..Identified::default() };
        let Ok(event) = self.probe.scan(&message.data) else { return unrouted() };
        let Some(table) = event.route(&self.stream, &message.attributes) else { return unrouted() };
        let is_of_message = declared.is_none() && self.stream.event_id(&event, Some(table)).is_none();
        Identified {
            id: self.stream.message_event_id(message, &event, Some(table)).ok(),
            table: self.stream.tables.iter().position(|known| known.key == table.key),
            is_of_message,
        }
    }
}
