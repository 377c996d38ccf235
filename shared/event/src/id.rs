use std::{fmt, sync::Arc};

/// What makes an event the same event: two deliveries with equal ids are one event.
///
/// From 1 to 512 bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

/// Why a string is no event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventIdError {
    /// The id is the empty string.
    #[error("an event id must not be empty")]
    Empty,
    /// The id is longer than [`EventId::MAX_BYTES`].
    #[error("an event id holds at most {max} bytes, found {found}", max = EventId::MAX_BYTES)]
    TooLong {
        /// The id's length in bytes.
        found: usize,
    },
    /// The id holds a control character.
    #[error("an event id holds no control characters, found U+{found:04X} at byte {at}", found = u32::from(*found))]
    Control {
        /// The character.
        found: char,
        /// Its place in bytes.
        at: usize,
    },
}

impl EventId {
    /// The longest id in bytes. Half of what a Pub/Sub attribute holds, so that an id can be named inside another attribute.
    pub const MAX_BYTES: usize = 512;

    /// Checks `id` and takes a copy of it.
    pub fn new(id: &str) -> Result<Self, EventIdError> {
        if id.is_empty() {
            return Err(EventIdError::Empty);
        }
        if id.len() > Self::MAX_BYTES {
            return Err(EventIdError::TooLong { found: id.len() });
        }
        match id.char_indices().find(|(_, char)| char.is_control()) {
            Some((at, found)) => Err(EventIdError::Control { found, at }),
            None => Ok(Self(id.into())),
        }
    }

    /// A new id that sorts by time: UUID version 7 (RFC 9562).
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// The id as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&id).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        assert_eq!(EventId::new(""), Err(EventIdError::Empty));
        assert_eq!(EventId::new(&"x".repeat(513)), Err(EventIdError::TooLong { found: 513 }));
        assert_eq!(EventId::new("a\u{7}"), Err(EventIdError::Control { found: '\u{7}', at: 1 }));
        assert_eq!(EventId::new("order-1 é").map(|id| id.to_string()), Ok("order-1 é".to_owned()));
    }

    #[test]
    fn generated_ids_sort_by_time() {
        let (a, b) = (EventId::generate(), EventId::generate());
        assert!(a < b, "{a} < {b}");
    }
}
