//! The pseudo-columns of change data, in a row that was decoded: the last two.

use crate::bigquery::{
    cell::Cell,
    store::change::{CHANGE_SEQUENCE_NUMBER, CHANGE_TYPE, DELETE, Sequence, UPSERT},
};

/// What the row does with the row of its key, where it says so.
pub(super) fn kind(row: &[Cell]) -> Option<&str> {
    match row {
        [.., Cell::Text(kind), _] => Some(kind),
        _ => None,
    }
}

/// Refuses a row whose change cannot be applied.
pub(super) fn check(row: &[Cell]) -> Result<(), String> {
    match kind(row) {
        Some(UPSERT | DELETE) => {}
        Some(other) => return Err(format!("{CHANGE_TYPE} is {other:?}: expected {UPSERT} or {DELETE}")),
        None => return Err(format!("{CHANGE_TYPE} has no value: expected {UPSERT} or {DELETE}")),
    }
    match row.last() {
        Some(Cell::Text(sequence)) if Sequence::parse(sequence).is_none() => Err(format!(
            "{CHANGE_SEQUENCE_NUMBER} is {sequence:?}: expected one to four hexadecimal numbers of at most 16 digits, with slashes between them"
        )),
        _ => Ok(()),
    }
}
