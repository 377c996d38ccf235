use event::EventId;
use sha2::{Digest, Sha256};

use crate::{JsonPointer, Probed, canonical};

/// An event's id that is made of what it says: the same content gives the same id, in every process and at any time.
///
/// The id is SHA-256, in lower-case hexadecimal digits, of a canonical JSON text in UTF-8: RFC 8785's form, but that a
/// number is its significant digits and a power of ten, so that nothing is rounded (`100`, `100.0` and `1e2` are `1e2`,
/// `-0.5` is `-5e-1`), and that a field that is null counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentHash {
    /// Of the whole event.
    All,
    /// Of the array of the values at these pointers, in this order; null stands for an absent one.
    Of(Vec<JsonPointer>),
}

impl ContentHash {
    /// The id of an event that its stream's probe has scanned. `Err` says why it has none.
    pub(crate) fn id(&self, event: &Probed<'_>) -> Result<EventId, (Option<JsonPointer>, String)> {
        let mut text = String::new();
        match self {
            Self::All => canonical::write(event.json(), &mut text).map_err(|detail| (None, detail))?,
            Self::Of(pointers) => {
                if !pointers.iter().any(|pointer| event.has(pointer)) {
                    return Err((
                        pointers.first().cloned(),
                        "expected a value to make the event's id of, found none".into(),
                    ));
                }
                text.push('[');
                for (place, pointer) in pointers.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    let raw = event.raw(pointer).unwrap_or("null");
                    canonical::write(raw, &mut text).map_err(|detail| (Some(pointer.clone()), detail))?;
                }
                text.push(']');
            }
        }
        let hash = Sha256::digest(text.as_bytes());
        let id: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        EventId::new(&id).map_err(|error| (None, error.to_string()))
    }
}
