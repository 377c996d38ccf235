use std::fmt;

/// Why an event can never be loaded as it is. The code is stable: it is stored with each dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The data is not one JSON object, or gives a field twice.
    MalformedJson,
    /// The event's id, as the stream's pointer finds it, is missing or unusable.
    InvalidEventId,
    /// No table's rule takes the event.
    NoRoute,
    /// A REQUIRED column has no value.
    MissingRequired,
    /// A value is not of its column's type.
    TypeMismatch,
    /// A value is of its column's type, but outside what the column can hold.
    OutOfRange,
    /// A field that the schema does not know, where the table rejects such fields.
    UnknownField,
    /// A value is not what a check of its table expects.
    CheckFailed,
    /// BigQuery refused the row.
    RowRejected,
    /// The row is larger than an append can be.
    TooLarge,
    /// The event_id was used before with different content.
    PayloadConflict,
    /// The deliveries of the message were used up.
    ExhaustedRetries,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::MalformedJson,
        Self::InvalidEventId,
        Self::NoRoute,
        Self::MissingRequired,
        Self::TypeMismatch,
        Self::OutOfRange,
        Self::UnknownField,
        Self::CheckFailed,
        Self::RowRejected,
        Self::TooLarge,
        Self::PayloadConflict,
        Self::ExhaustedRetries,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::InvalidEventId => "invalid_event_id",
            Self::NoRoute => "no_route",
            Self::MissingRequired => "missing_required",
            Self::TypeMismatch => "type_mismatch",
            Self::OutOfRange => "out_of_range",
            Self::UnknownField => "unknown_field",
            Self::CheckFailed => "check_failed",
            Self::RowRejected => "row_rejected",
            Self::TooLarge => "too_large",
            Self::PayloadConflict => "payload_conflict",
            Self::ExhaustedRetries => "exhausted_retries",
        }
    }
}

impl Reason {
    /// The reason with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A permanent fault of one event: what is wrong, where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{reason}: {detail}{}{}", if pointer.is_some() { " at " } else { "" }, pointer.as_deref().unwrap_or_default())]
pub struct Rejection {
    /// The kind of fault.
    pub reason: Reason,
    /// The JSON pointer (RFC 6901) of the value at fault, where one value is.
    pub pointer: Option<String>,
    /// What was expected and what was found, for people.
    pub detail: String,
}

impl Rejection {
    /// A rejection of the whole event.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, pointer: None, detail: detail.into() }
    }

    /// A rejection for the value at `pointer`.
    pub fn at(reason: Reason, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason, pointer: Some(pointer.into()), detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = Reason::ALL.map(Reason::code).into();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|code| code.chars().all(|char| char.is_ascii_lowercase() || char == '_')));
    }

    #[test]
    fn a_rejection_says_what_and_where() {
        let of_value = Rejection::at(Reason::TypeMismatch, "/orderId", "expected INT64, found \"x\"");
        assert_eq!(of_value.to_string(), "type_mismatch: expected INT64, found \"x\" at /orderId");
        assert_eq!(Rejection::new(Reason::NoRoute, "no rule holds").to_string(), "no_route: no rule holds");
    }
}
