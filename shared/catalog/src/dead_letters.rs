use crate::{
    Delivery, Field, FieldType, Mode, Partition, PartitionType, Rules, Table, TableName, TableSchema, UnknownFields,
    When,
};

/// `pipas_ops.dead_letters`, which every deployment has: the events that cannot be loaded, with their reasons and bytes.
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
        ("write_stream", String, Nullable),
        ("write_offset", Integer, Nullable),
    ];
    let fields = fields.map(|(name, field_type, mode)| Field::new(name, field_type, mode)).to_vec();
    Table {
        key: "dead_letters".into(),
        name: TableName { dataset: "pipas_ops".into(), table: "dead_letters".into() },
        when: When::Always,
        schema: TableSchema { fields },
        partition: Some(Partition { field: "rejected_at".into(), partition_type: PartitionType::Day }),
        cluster: vec!["stream".into(), "reason".into()],
        event_id: None,
        unknown_fields: UnknownFields::Reject,
        delivery: Delivery::ExactlyOnce,
        rules: Rules::default(),
        is_raw: false,
    }
}
