use std::fmt;

use crate::{Delivery, Field, FieldType, JsonPointer, Mode, Rules, TableSchema, View, When};

/// A BigQuery destination of a stream, with the rule that routes events to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The key of the table in the stream's `tables`, e.g. `orders`.
    pub key: String,
    /// The table, e.g. `courier_chat.orders`.
    pub name: TableName,
    /// The rule; [`When::Always`] where none is declared.
    pub when: When,
    /// The table's own columns, without Pipas's two.
    pub schema: TableSchema,
    /// How the table is partitioned.
    pub partition: Option<Partition>,
    /// The clustering columns, in order.
    pub cluster: Vec<String>,
    /// Where the event's id stands in its JSON, where the table says so.
    pub event_id: Option<JsonPointer>,
    /// What becomes of fields that the schema does not know.
    pub unknown_fields: UnknownFields,
    /// What the loader promises: the table's own, else its stream's.
    pub delivery: Delivery,
    /// What is done with an event beside taking its fields as they are.
    pub rules: Rules,
    /// Whether the table takes every event of the stream, as it was received, beside the one that its rule routes it to.
    pub is_raw: bool,
}

impl Table {
    /// The column of a raw table that holds the event's JSON.
    pub const PAYLOAD: &'static str = "payload";
    /// The column of a raw table that says when Pub/Sub took the message.
    pub const PUBLISHED_AT: &'static str = "published_at";
    /// The column of a raw table that says the event's type.
    pub const EVENT_TYPE: &'static str = "event_type";

    /// The columns of a raw table: the event, a time to partition by, and its type, which may stand beside its JSON.
    pub fn raw_schema() -> TableSchema {
        let mut payload = Field::new(Self::PAYLOAD, FieldType::Json, Mode::Required);
        payload.description =
            Some("The event as it was received; values that a table of its stream masks are masked".into());
        let mut published_at = Field::new(Self::PUBLISHED_AT, FieldType::Timestamp, Mode::Required);
        published_at.description = Some("When Pub/Sub took the event's message".into());
        let mut event_type = Field::new(Self::EVENT_TYPE, FieldType::String, Mode::Nullable);
        event_type.description = Some("The event's type, where it or its message says one".into());
        TableSchema { fields: vec![payload, published_at, event_type] }
    }

    /// The columns of the real table: the declared ones and Pipas's own. A raw table has no `extra`.
    pub fn real_schema(&self) -> TableSchema {
        let mut schema = self.schema.with_pipas_columns();
        if self.is_raw {
            schema.fields.retain(|field| field.name != TableSchema::EXTRA);
        }
        schema
    }

    /// The view that shows each event of the table once, whatever was written twice; an upsert table needs none.
    ///
    /// A row that names no event, which Pipas did not write, is shown as it is.
    pub fn unique_view(&self) -> Option<View> {
        match self.delivery {
            Delivery::ExactlyOnce | Delivery::AtLeastOnce => {}
            Delivery::Upsert(_) => return None,
        }
        let sql = format!(
            "SELECT *\nFROM `{}`\nQUALIFY ingest.event_id IS NULL\n  OR ROW_NUMBER() OVER (\n    PARTITION BY ingest.event_id\n    \
             ORDER BY ingest.loaded_at, ingest.write_stream, ingest.write_offset\n  ) = 1\n",
            self.name
        );
        Some(View { name: Self::unique_view_name(&self.name), sql })
    }

    pub(crate) fn unique_view_name(table: &TableName) -> TableName {
        TableName { dataset: table.dataset.clone(), table: format!("{}_unique", table.table) }
    }
}

/// `dataset.table`; the project is the deployment's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The dataset.
    pub dataset: String,
    /// The table inside it.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.dataset, self.table)
    }
}

/// Time partitioning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The DATE, DATETIME or TIMESTAMP column.
    pub field: String,
    /// The partition's length.
    pub partition_type: PartitionType,
}

/// The length of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PartitionType {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl PartitionType {
    /// BigQuery's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }
}

/// What becomes of fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownFields {
    /// They are kept in the column `extra`.
    #[default]
    Capture,
    /// They are left out.
    Ignore,
    /// The event becomes a dead letter.
    Reject,
}
