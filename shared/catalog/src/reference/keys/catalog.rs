//! What a catalog says beside its streams.

use super::{
    super::{
        Key,
        Kind::{Choice, Duration, File, Map, Settings, Share, Text, Whole},
        Presence::{Default, Required},
    },
    key,
};

pub(super) const CATALOG: &[Key] = &[
    key("views", Map, Default("none"), "Views by name, `dataset.view`.", ""),
    key(
        "views.*",
        File,
        Required,
        "The view's query: a file of GoogleSQL, from the catalog's folder.",
        "views/daily_revenue.sql",
    ),
    key("archive", Settings, Default("as below"), "The Avro archive of every stream that says nothing else.", ""),
    key(
        "archive.codec",
        Choice(&["zstd", "snappy", "deflate", "null"]),
        Default("`zstd`"),
        "The codec of the Avro blocks; `null`: none.",
        "snappy",
    ),
    key(
        "archive.layout",
        Text,
        Default("`{stream}/dt={yyyy}-{mm}-{dd}/hr={HH}/`"),
        "The folder of an object, as a template: `{stream}`, `{table}`, `{type}`, `{event_id}`, and the publish time's `{yyyy}`, \
         `{mm}`, `{dd}`, `{HH}`, `{MM}`. See [archive.md](archive.md).",
        "'{stream}/{yyyy}/{mm}/{dd}/{HH}/'",
    ),
    key(
        "archive.compact",
        Settings,
        Default("as below"),
        "The bounds of a run of the compactor, for each stream: it ends at the first.",
        "",
    ),
    key("archive.compact.max_seconds", Whole, Default("`240`"), "The longest run.", "240"),
    key(
        "archive.compact.max_bytes",
        Whole,
        Default("`1073741824`"),
        "The most bytes of messages of a run.",
        "1073741824",
    ),
    key("archive.compact.max_messages", Whole, Default("`1000000`"), "The most messages of a run.", "1000000"),
    key("archive.merge", Settings, Default("as below"), "How an hour's small objects become large ones.", ""),
    key(
        "archive.merge.target_bytes",
        Whole,
        Default("`268435456`"),
        "Objects below this size are merged.",
        "268435456",
    ),
    key(
        "archive.merge.grace",
        Duration,
        Default("`24h`"),
        "How long an object that was replaced, or that nothing lists, is kept for those who read it.",
        "24h",
    ),
    key(
        "archive.landing",
        Settings,
        Default("none"),
        "Objects of the events' own JSON beside the Avro ones. An event is in one at least once.",
        "",
    ),
    key("archive.landing.format", Choice(&["ndjson"]), Default("`ndjson`"), "One event a line.", "ndjson"),
    key(
        "archive.landing.layout",
        Text,
        Required,
        "The folder of an object, a template as that of the archive.",
        "output/{type}/{yyyy}/{mm}/{dd}/{HH}/{MM}/",
    ),
    key(
        "registry",
        Choice(&["storage", "none"]),
        Default("`storage`"),
        "Where write streams are registered. `none`: nowhere, and a failover of the ledger may write an event twice.",
        "storage",
    ),
    key("quotas", Settings, Default("as below"), "How much of BigQuery's Storage Write quotas loaders may use.", ""),
    key(
        "quotas.share",
        Share,
        Default("`0.8`"),
        "The share of each quota that all loaders together may use; they tell each other over the ledger. What goes beyond it is not acked and comes again.",
        "0.8",
    ),
    key(
        "quotas.create_write_stream_per_hour",
        Whole,
        Default("`10000`"),
        "The project's quota of CreateWriteStream an hour. Once the share of an hour is used up, no more are made before the next.",
        "10000",
    ),
    key(
        "quotas.connections",
        Whole,
        Default("`1000`"),
        "The project's quota of connections. Where the share is open, a loader holds back events of tables that it does not write to yet.",
        "1000",
    ),
    key(
        "quotas.throughput_bytes_per_second",
        Whole,
        Default("`300000000`"),
        "The project's quota of bytes a second. Loaders reckon by the messages that they take, from which rows are made.",
        "300000000",
    ),
];
