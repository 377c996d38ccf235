use super::{
    cursor::{Cursor, Settings},
    delivery::{self, Kind},
    file::Folder,
    name,
    table::{Inherited, read_cluster, read_partition, settled},
};
use crate::{Delivery, Partition, PartitionType, Rules, Table, UnknownFields, When};

/// Reads the rest of a table that says `raw: true`. `None`: there is a problem.
pub(super) fn read(
    folder: &Folder<'_>,
    key: &str,
    at: &Cursor<'_>,
    mut settings: Settings<'_>,
    inherited: &Inherited,
) -> Option<Table> {
    let name = settings.required("table", name::TABLE).and_then(|at| at.parse(name::TABLE, name::table));
    if let Some(name) = &name {
        folder.claim_name(name, at);
    }
    let schema = Table::raw_schema();
    let (partition, cluster) = (settings.optional("partition"), settings.optional("cluster"));
    let kind = settings.optional("delivery").map(|at| (delivery::kind(&at), at));
    const OTHERS: [&str; 9] =
        ["when", "schema", "event_id", "unknown_fields", "key", "sequence", "checks", "derive", "mask"];
    for other in OTHERS {
        if let Some(setting) = settings.optional(other) {
            setting.problem(format!(
                "a raw table takes every event of its stream as it was received, and so has no `{other}`"
            ));
        }
    }
    settings.finish();
    let delivery = match kind {
        Some((Some(Kind::Upsert), at)) => {
            at.problem("a raw table keeps every event: expected `exactly_once` or `at_least_once`");
            None
        }
        Some((kind, _)) => kind,
        // The events of an upsert stream replace each other where they are routed; here each is kept.
        None => inherited.delivery.map(|kind| if kind == Kind::Upsert { Kind::ExactlyOnce } else { kind }),
    };
    if let Some(name) = &name {
        folder.claim_unique_view(&Table::unique_view_name(name), at);
    }
    let by_day = || Partition { field: Table::PUBLISHED_AT.to_owned(), partition_type: PartitionType::Day };
    let partition = settled(partition.map(|at| read_partition(&at, Some(&schema))))?;
    Some(Table {
        key: key.to_owned(),
        name: name?,
        when: When::Always,
        partition: Some(partition.unwrap_or_else(by_day)),
        cluster: settled(cluster.map(|at| read_cluster(&at, Some(&schema))))?.unwrap_or_default(),
        schema,
        event_id: None,
        unknown_fields: UnknownFields::Ignore,
        delivery: match delivery? {
            Kind::AtLeastOnce => Delivery::AtLeastOnce,
            Kind::ExactlyOnce | Kind::Upsert => Delivery::ExactlyOnce,
        },
        rules: Rules::default(),
        is_raw: true,
    })
}
