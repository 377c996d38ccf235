use crate::{
    Delivery, Field, FieldType, Mode, Partition, PartitionType, Rules, Table, TableName, TableSchema, UnknownFields,
    View, When,
};

/// `pipas_ops.dead_letters`, which every deployment has: the events that cannot be loaded, with their reasons and bytes. Rows
/// are only ever appended: what was redriven is in [`redrives_table`].
pub fn dead_letters_table() -> Table {
    use FieldType::{Bytes, Integer, Json, String, Timestamp};
    use Mode::{Nullable, Required};
    let fields = [
        ("dead_letter_id", String, Required),
        ("stream", String, Required),
        ("table", String, Nullable),
        ("event_id", String, Nullable),
        ("message_id", String, Required),
        ("reason", String, Required),
        ("detail", String, Required),
        ("pointer", String, Nullable),
        ("payload", Bytes, Required),
        ("attributes", Json, Required),
        ("ordering_key", String, Nullable),
        ("received_at", Timestamp, Nullable),
        ("published_at", Timestamp, Required),
        ("rejected_at", Timestamp, Required),
        ("delivery_attempt", Integer, Nullable),
        ("redrive_of", String, Nullable),
        ("write_stream", String, Nullable),
        ("write_offset", Integer, Nullable),
        (TableSchema::PAYLOAD_HASH, Integer, Nullable),
    ];
    table("dead_letters", &fields, "rejected_at", &["stream", "reason"])
}

/// `pipas_ops.redrives`: which dead letters were published again, when, and as which messages.
pub fn redrives_table() -> Table {
    use FieldType::{String, Timestamp};
    use Mode::{Nullable, Required};
    let fields = [
        ("dead_letter_id", String, Required),
        ("stream", String, Required),
        ("redriven_at", Timestamp, Required),
        ("message_id", String, Required),
        ("patch", String, Nullable),
        ("redriven_by", String, Nullable),
    ];
    table("redrives", &fields, "redriven_at", &["dead_letter_id"])
}

/// `pipas_ops.open_dead_letters`: the dead letters that were not redriven.
pub fn open_dead_letters_view() -> View {
    let (letters, redrives) = (dead_letters_table().name, redrives_table().name);
    let sql = format!(
        "SELECT letters.*\nFROM `{letters}` AS letters\nLEFT JOIN (\n  SELECT DISTINCT dead_letter_id AS redriven_id FROM \
         `{redrives}`\n) AS redriven\n  ON redriven.redriven_id = letters.dead_letter_id\nWHERE redriven.redriven_id IS NULL\n"
    );
    View { name: name("open_dead_letters"), sql }
}

fn name(table: &str) -> TableName {
    TableName { dataset: "pipas_ops".into(), table: table.into() }
}

/// A table of Pipas's own, in partitions of a day.
fn table(key: &str, fields: &[(&str, FieldType, Mode)], partition: &str, cluster: &[&str]) -> Table {
    let fields = fields.iter().map(|(name, field_type, mode)| Field::new(name, *field_type, *mode)).collect();
    Table {
        key: key.into(),
        name: name(key),
        when: When::Always,
        schema: TableSchema { fields },
        partition: Some(Partition { field: partition.into(), partition_type: PartitionType::Day }),
        cluster: cluster.iter().map(|column| (*column).into()).collect(),
        event_id: None,
        unknown_fields: UnknownFields::Reject,
        delivery: Delivery::ExactlyOnce,
        rules: Rules::default(),
        is_raw: false,
    }
}
