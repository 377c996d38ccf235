use event::{Message, Reason, Rejection, Timestamp};

use crate::{JsonPointer, Probe};

/// What the loader promises for each event of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Delivery {
    /// One row or one dead letter.
    #[default]
    ExactlyOnce,
    /// At least one row or dead letter.
    AtLeastOnce,
    /// One visible row for each key, that of its newest event.
    Upsert(Upsert),
}

/// How the events of an upsert table replace each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    /// The columns of the primary key, in order; at least one.
    pub key: Vec<String>,
    /// Where the event's order among those of its key stands in its JSON; `None`: the order in which they were received.
    pub sequence: Option<JsonPointer>,
}

impl Upsert {
    /// The most columns of BigQuery's primary keys.
    pub const MAX_KEY: usize = 16;

    /// The event's `_CHANGE_SEQUENCE_NUMBER`, in the form that BigQuery wants: of two rows of a key the higher one is seen.
    ///
    /// It is derived from the event alone, so that a late redelivery never replaces what is newer: the value at
    /// [`Upsert::sequence`], a whole number or a time (RFC 3339), and after it, or in its place, the microsecond at which
    /// the event was received, or published where it passed through no receiver. `probe` is the stream's.
    /// See <https://cloud.google.com/bigquery/docs/change-data-capture#manage_custom_ordering>.
    pub fn sequence_number(&self, probe: &Probe, message: &Message) -> Result<String, Rejection> {
        let seen = micros(message.received_at().unwrap_or(message.publish_time)).unwrap_or_default();
        let Some(pointer) = &self.sequence else { return Ok(format!("{seen:X}")) };
        let declared = declared(probe, pointer, &message.data)?;
        Ok(format!("{declared:X}/{seen:X}"))
    }
}

fn declared(probe: &Probe, pointer: &JsonPointer, json: &[u8]) -> Result<u64, Rejection> {
    const EXPECTED: &str = "expected a whole number from 0 to 18446744073709551615, or a time as RFC 3339 writes it, \
                            as the event's place in the order of its key";
    let event = probe.scan(json)?;
    let refused = |reason, detail: String| Rejection::at(reason, pointer.as_str(), detail);
    if !event.has(pointer) {
        return Err(refused(Reason::MissingRequired, format!("{EXPECTED}, found nothing")));
    }
    let Some(text) = event.text(pointer) else {
        return Err(refused(Reason::TypeMismatch, format!("{EXPECTED}, found an object or an array")));
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| refused(Reason::OutOfRange, format!("{EXPECTED}, found {}", cut(&text))));
    }
    let time: Timestamp =
        text.parse().map_err(|_| refused(Reason::TypeMismatch, format!("{EXPECTED}, found {}", cut(&text))))?;
    micros(time).ok_or_else(|| refused(Reason::OutOfRange, format!("expected a time from 1970 on, found {time}")))
}

/// Microseconds of the Unix epoch; `None` before it, for BigQuery knows no negative sequence numbers.
fn micros(time: Timestamp) -> Option<u64> {
    u64::try_from(time.as_microsecond()).ok()
}

/// As much of a value as a message shows.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
