use std::collections::BTreeSet;

use super::{
    cursor::Cursor,
    delivery::{self, Declared, Kind},
    file::Folder,
    name, raw, rules, schema, when,
};
use crate::{
    Delivery, FieldType, JsonPointer, Mode, Partition, PartitionType, Rules, Table, TableSchema, UnknownFields, When,
};

/// BigQuery's bound on clustering columns.
const MAX_CLUSTER: usize = 4;

/// What a stream says for those of its tables that do not say it themselves.
#[derive(Debug)]
pub(super) struct Inherited {
    /// `None`: what is declared is at fault.
    pub(super) delivery: Option<Kind>,
    pub(super) event_id: Option<JsonPointer>,
}

/// Reads the table `key` of a stream's `tables`. `None`: there is a problem.
pub(super) fn read(folder: &Folder<'_>, key: &str, at: &Cursor<'_>, inherited: &Inherited) -> Option<Table> {
    const UNKNOWN_FIELDS: [(&str, UnknownFields); 3] =
        [("capture", UnknownFields::Capture), ("ignore", UnknownFields::Ignore), ("reject", UnknownFields::Reject)];
    if key.is_empty() || !key.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-')) {
        at.problem(format!("expected a key of letters, digits, underscores and hyphens, found `{key}`"));
    }
    let mut settings = at.settings("a table: a map with `table` and `schema`")?;
    if settings.optional("raw").and_then(|at| at.boolean("`true` or `false`")).unwrap_or_default() {
        return raw::read(folder, key, at, settings, inherited);
    }
    let when = settings.optional("when").map_or(Some(When::Always), |at| when::read(&at));
    let name = settings.required("table", name::TABLE).and_then(|at| at.parse(name::TABLE, name::table));
    if let Some(name) = &name {
        folder.claim_name(name, at);
    }
    let schema = settings
        .required("schema", "the path of a BigQuery schema file, from the catalog's folder")
        .and_then(|at| folder.read(&at, |file, text| schema::read(at.report(), file, text)));
    let partition = settings.optional("partition");
    let cluster = settings.optional("cluster");
    let event_id = settings.optional("event_id").map(|at| when::pointer(&at));
    let unknown_fields = settings
        .optional("unknown_fields")
        .map_or(Some(UnknownFields::default()), |at| at.choice("treatment of unknown fields", &UNKNOWN_FIELDS));
    let kind = settings.optional("delivery").map_or(inherited.delivery, |at| delivery::kind(&at));
    let (key_columns, sequence) = (settings.optional("key"), settings.optional("sequence"));
    let rules = rules::read(&mut settings, schema.as_ref());
    settings.finish();

    let id = event_id.clone().flatten().or_else(|| inherited.event_id.clone());
    let declared = Declared { kind, key: key_columns, sequence, event_id: id };
    let delivery = delivery::read(at, declared, schema.as_ref());
    let partition = partition.map(|at| read_partition(&at, schema.as_ref()));
    let cluster = cluster.map(|at| read_cluster(&at, schema.as_ref()));
    if let (Some(rules), Some(Delivery::Upsert(upsert))) = (&rules, &delivery) {
        rules_spare_keys(at, rules, &upsert.key);
    }
    if let (Some(name), Some(Delivery::ExactlyOnce | Delivery::AtLeastOnce)) = (&name, &delivery) {
        folder.claim_unique_view(&Table::unique_view_name(name), at);
    }
    let (cluster, delivery) = (settled(cluster)?, delivery?);
    Some(Table {
        key: key.to_owned(),
        name: name?,
        when: when?,
        schema: schema?,
        partition: settled(partition)?,
        cluster: cluster.unwrap_or_else(|| default_cluster(&delivery)),
        event_id: settled(event_id)?,
        unknown_fields: unknown_fields?,
        delivery,
        rules: rules?,
        is_raw: false,
    })
}

/// The columns of a key are what the event says: an audit finds a row by them.
fn rules_spare_keys(at: &Cursor<'_>, rules: &Rules, key: &[String]) {
    let masks = rules.mask_tree();
    for column in key {
        if masks.child(column).is_some() {
            at.problem(format!("the column `{column}` is of the primary key, and cannot be masked"));
        }
        if rules.derive.iter().any(|derive| derive.column.eq_ignore_ascii_case(column)) {
            at.problem(format!("the column `{column}` is of the primary key, and cannot be derived"));
        }
    }
}

/// BigQuery advises to cluster a table that takes upserts by its primary key, by which it merges.
fn default_cluster(delivery: &Delivery) -> Vec<String> {
    match delivery {
        Delivery::ExactlyOnce | Delivery::AtLeastOnce => Vec::new(),
        Delivery::Upsert(upsert) => upsert.key.iter().take(MAX_CLUSTER).cloned().collect(),
    }
}

/// `Some(None)` where nothing is declared, `None` where what is declared is at fault.
pub(super) fn settled<T>(declared: Option<Option<T>>) -> Option<Option<T>> {
    match declared {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// Time partitioning by a column (<https://cloud.google.com/bigquery/docs/partitioned-tables#date_timestamp_partitioned_tables>).
pub(super) fn read_partition(at: &Cursor<'_>, schema: Option<&TableSchema>) -> Option<Partition> {
    const TYPES: [(&str, PartitionType); 4] = [
        ("HOUR", PartitionType::Hour),
        ("DAY", PartitionType::Day),
        ("MONTH", PartitionType::Month),
        ("YEAR", PartitionType::Year),
    ];
    let mut settings = at.settings("a partition: a map with `field` and `type`")?;
    let field = settings.required("field", "a DATE, DATETIME or TIMESTAMP column");
    let partition_type =
        settings.required("type", "a partition type, e.g. `DAY`").and_then(|at| at.choice("partition type", &TYPES));
    settings.finish();
    let field = field?;
    let name = field.text("a DATE, DATETIME or TIMESTAMP column")?;
    if let Some(schema) = schema {
        let column = top_level(&field, schema, name, "partitions by")?;
        match (column.field_type, partition_type) {
            _ if column.mode == Mode::Repeated => {
                field.problem(format!("BigQuery does not partition by a REPEATED column, but `{name}` is one"));
            }
            (FieldType::Date, Some(PartitionType::Hour)) => {
                field.problem(format!("the DATE column `{name}` is partitioned by DAY, MONTH or YEAR, not by HOUR"));
            }
            (FieldType::Date | FieldType::Datetime | FieldType::Timestamp, _) => {}
            (other, _) => field.problem(format!(
                "expected a DATE, DATETIME or TIMESTAMP column, but `{name}` is {}",
                other.sql_name()
            )),
        }
    }
    Some(Partition { field: name.to_owned(), partition_type: partition_type? })
}

/// Clustering (<https://cloud.google.com/bigquery/docs/clustered-tables#cluster_column_types>): top-level columns, none of
/// them REPEATED, of one of the types below.
pub(super) fn read_cluster(at: &Cursor<'_>, schema: Option<&TableSchema>) -> Option<Vec<String>> {
    let columns = at.list("a list of columns")?;
    if columns.is_empty() || columns.len() > MAX_CLUSTER {
        at.problem(format!("a table is clustered by 1 to {MAX_CLUSTER} columns, found {}", columns.len()));
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for column in &columns {
        let Some(name) = column.text("a column") else { continue };
        names.push(name.to_owned());
        if !seen.insert(name.to_ascii_lowercase()) {
            column.problem(format!("the column `{name}` is named twice"));
        }
        let Some(field) = schema.and_then(|schema| top_level(column, schema, name, "clusters by")) else { continue };
        if field.mode == Mode::Repeated {
            column.problem(format!("BigQuery does not cluster by a REPEATED column, but `{name}` is one"));
        }
        match field.field_type {
            FieldType::String
            | FieldType::Integer
            | FieldType::Boolean
            | FieldType::Numeric
            | FieldType::Bignumeric
            | FieldType::Date
            | FieldType::Datetime
            | FieldType::Timestamp
            | FieldType::Geography => {}
            FieldType::Bytes | FieldType::Float | FieldType::Time | FieldType::Json | FieldType::Record => {
                column.problem(format!(
                    "BigQuery clusters by columns of STRING, INT64, BOOL, NUMERIC, BIGNUMERIC, DATE, DATETIME, TIMESTAMP and \
                     GEOGRAPHY, but `{name}` is {}",
                    field.field_type.sql_name()
                ));
            }
        }
    }
    (names.len() == columns.len()).then_some(names)
}

/// The top-level column `name` of `schema`; its absence is a problem.
pub(super) fn top_level<'s>(
    at: &Cursor<'_>,
    schema: &'s TableSchema,
    name: &str,
    does: &str,
) -> Option<&'s crate::Field> {
    let found = schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    if found.is_none() {
        at.problem(match name.split_once('.') {
            Some((parent, _)) => {
                format!("BigQuery {does} top-level columns only, but `{name}` stands inside `{parent}`")
            }
            None => format!("the schema has no column `{name}`"),
        });
    }
    found
}
