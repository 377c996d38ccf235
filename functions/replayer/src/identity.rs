//! Which event a message carries, and which table takes it: by the loader's own rules.

use std::borrow::Cow;

use catalog::{Probe, Probed, Stream};
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

    /// The event of a message's `data`; `None`: it is none.
    pub(crate) fn event<'json>(&self, data: &'json [u8]) -> Option<Probed<'json>> {
        self.probe.scan(data).ok()
    }

    /// The type that raw tables know the event of a message by.
    pub(crate) fn event_type<'e>(&self, message: &'e Message, event: &Probed<'e>) -> Option<Cow<'e, str>> {
        self.stream.message_event_type(message, Some(event))
    }

    pub(crate) fn of(&self, message: &Message, event: Option<&Probed<'_>>) -> Identified {
        let declared = message.declared_event_id();
        let Some(event) = event else {
            return Identified { id: declared.and_then(Result::ok), ..Identified::default() };
        };
        let table = event.route(&self.stream, &message.attributes);
        let id = self.stream.message_event_id(message, event, table).ok();
        // Of an event that no table takes nothing is made but a dead letter, whose id would be another under a lent id.
        let Some(table) = table else { return Identified { id, ..Identified::default() } };
        Identified {
            id,
            table: self.stream.tables.iter().position(|known| known.key == table.key),
            is_of_message: declared.is_none() && self.stream.event_id(event, Some(table)).is_none(),
        }
    }
}
