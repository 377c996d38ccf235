//! What an event gets from a table.

use catalog::Lookup;

use crate::fields::Fields;

/// What came of a lookup.
pub(crate) enum Found {
    /// The columns were added, or there was nothing to seek.
    Yes,
    /// The value is not in the table.
    Missing(String),
}

/// Adds what `lookup` finds for the event.
pub(crate) fn add(lookup: &Lookup, event: &mut Fields<'_>) -> Found {
    let Some(value) = event.text(&lookup.from) else { return Found::Yes };
    if let (Some(field), Some(suffix)) = (&lookup.suffix_to, lookup.suffix(&value)) {
        event.set(field.clone(), format!("\"{suffix}\""));
    }
    let Some(row) = lookup.find(&value) else { return Found::Missing(value) };
    for (field, text) in lookup.fields.iter().zip(row) {
        if !text.is_empty() {
            // A string always has a JSON form.
            event.set(field.clone(), serde_json::to_string(text).unwrap_or_default());
        }
    }
    Found::Yes
}
