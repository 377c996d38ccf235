//! What makes a row an upsert: BigQuery's two pseudo-columns of change data
//! (<https://cloud.google.com/bigquery/docs/change-data-capture>), which no table has and a descriptor may.

use super::protobuf::{LENGTH_DELIMITED, put_bytes, tag};
use crate::descriptor::{SharedDescriptor, field_number};

/// The pseudo-column that says what is done with the row of a key.
pub(crate) const CHANGE_TYPE: &str = "_CHANGE_TYPE";
/// The pseudo-column that orders the changes of a key.
pub(crate) const CHANGE_SEQUENCE_NUMBER: &str = "_CHANGE_SEQUENCE_NUMBER";

/// The pseudo-columns behind a table's columns.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) descriptor: SharedDescriptor,
    type_tag: u32,
    sequence_tag: u32,
}

impl Changes {
    /// For rows of `table`.
    pub(super) fn new(table: &SharedDescriptor) -> Self {
        let columns = table.proto().field.len();
        Self {
            descriptor: table.with_strings(&[CHANGE_TYPE, CHANGE_SEQUENCE_NUMBER]),
            type_tag: tag(field_number(columns), LENGTH_DELIMITED),
            sequence_tag: tag(field_number(columns + 1), LENGTH_DELIMITED),
        }
    }

    /// Appends the pseudo-columns of an upsert to its row.
    pub(super) fn write_upsert(&self, sequence: &str, row: &mut Vec<u8>) {
        put_bytes(row, self.type_tag, b"UPSERT");
        put_bytes(row, self.sequence_tag, sequence.as_bytes());
    }
}
