//! `pipas check`: whether a catalog is good, what it declares, and what it will need.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::bail;
use catalog::{Catalog, Delivery, Stream, Table as Declared};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use dedupe::capacity;
use indicatif::HumanBytes;
use serde::Serialize;

use crate::{cli::Global, samples};

/// Check a catalog, or samples against it
///
/// Without a file: what the catalog declares and what it will need. With FILE and --stream: whether each event of the file
/// would be loaded, to which table and as which row, or everything that is wrong with it. With --all DIR: every sample
/// DIR/samples/STREAM/*.json and *.ndjson, each of which must be loaded, and those under DIR/samples/STREAM/refused/, each
/// of which must be refused. NAME.attributes.json beside a sample holds its message's attributes. Nothing is written; the
/// exit code is 1 when a sample is not as it must be.
///
/// A bad catalog is refused with every problem listed. Memory and throughput are reckoned from the events a second that
/// are expected of each stream: its `rate`, or --rate. Each raw table takes a key and a row of an event beside the table
/// that the event is routed to. An upsert table takes no keys and creates no write streams. Loaders may use the catalog's
/// `share` of each quota.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CheckArgs {
    /// Sample events: one object, an array of them, or one on each line
    #[arg(value_name = "FILE", requires = "stream")]
    file: Option<PathBuf>,
    /// The stream of the samples
    #[arg(long, value_name = "STREAM", requires = "file")]
    stream: Option<String>,
    /// An attribute of the samples' messages; can be given for each
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute, requires = "file")]
    attribute: Vec<(String, String)>,
    /// Check every sample under this folder
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    all: Option<PathBuf>,
    /// The catalog
    #[arg(long, env = "PIPAS_CATALOG", default_value = "pipas.yaml", value_name = "FILE")]
    catalog: PathBuf,
    /// Events a second that are expected of a stream; can be given for each
    #[arg(long, value_name = "STREAM=N", value_parser = rate)]
    rate: Vec<(String, f64)>,
    /// Loaders that will run at once
    #[arg(long, value_name = "N", default_value_t = 10)]
    loaders: u64,
    /// The size of an event's row
    #[arg(long, value_name = "BYTES", default_value_t = 1_000)]
    event_bytes: u64,
}

/// What a catalog declares, and what it needs.
#[derive(Debug, Serialize)]
struct Checked {
    streams: Vec<CheckedStream>,
    views: Vec<String>,
    needs: Needs,
}

#[derive(Debug, Serialize)]
struct CheckedStream {
    stream: String,
    event_id: String,
    dedupe_window_seconds: u64,
    tables: Vec<CheckedTable>,
    rate_per_second: Option<f64>,
    /// Keys of the ledger that an event takes, at most.
    keys_per_event: u64,
    /// Rows that an event becomes, at most.
    rows_per_event: u64,
    /// Redis's memory, an empty server's included. `None` where no rate is known.
    ledger_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct CheckedTable {
    table: String,
    delivery: &'static str,
    columns: usize,
}

/// What the whole will need at once, beside what there is by default.
#[derive(Debug, Serialize)]
struct Needs {
    /// Of the streams whose rate is known.
    ledger_bytes: u64,
    /// Streams whose rate is not known.
    unknown_rates: Vec<String>,
    connections: Quota,
    /// If every loader starts anew within an hour.
    create_write_stream_per_hour: Quota,
    throughput_bytes_per_second: Quota,
}

#[derive(Debug, Serialize)]
struct Quota {
    needed: u64,
    quota: u64,
    /// The share of the quota that loaders may use.
    usable: u64,
}

impl Quota {
    fn new(needed: u64, quota: u64, share: f64) -> Self {
        Self { needed, quota, usable: (quota as f64 * share) as u64 }
    }
}

pub(crate) fn check(global: &Global, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(&args.catalog)?;
    if let Some(folder) = &args.all {
        return samples::all(global, &catalog, folder);
    }
    if let (Some(file), Some(stream)) = (&args.file, &args.stream) {
        return samples::file(global, &catalog, file, stream, args.attribute.iter().cloned().collect());
    }
    let rates: BTreeMap<&str, f64> = args.rate.iter().map(|(stream, rate)| (stream.as_str(), *rate)).collect();
    if let Some(unknown) = rates.keys().find(|stream| !catalog.streams.contains_key(**stream)) {
        let known = catalog.streams.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!("--rate {unknown}: the catalog has no such stream; it has {known}");
    }
    let checked = examine(&catalog, &rates, args);
    if global.json {
        println!("{}", serde_json::to_string_pretty(&checked)?);
    } else {
        print(&checked, args);
    }
    Ok(ExitCode::SUCCESS)
}

fn examine(catalog: &Catalog, rates: &BTreeMap<&str, f64>, args: &CheckArgs) -> Checked {
    let streams: Vec<CheckedStream> = catalog
        .streams
        .values()
        .map(|stream| {
            of_stream(stream, rates.get(stream.name.as_str()).copied().or(stream.rate.map(|rate| rate as f64)))
        })
        .collect();
    let unknown = streams.iter().filter(|stream| stream.rate_per_second.is_none());
    let rows_per_second: f64 =
        streams.iter().filter_map(|stream| Some(stream.rate_per_second? * stream.rows_per_event as f64)).sum();
    let declared = || catalog.streams.values().flat_map(|stream| &stream.tables);
    // Those of the streams, and that of the dead letters.
    let tables = declared().count() as u64 + 1;
    // Other deliveries go to their table's default stream.
    let created = declared().filter(|table| table.delivery == Delivery::ExactlyOnce).count() as u64 + 1;
    let quotas = &catalog.quotas;
    let quota = |needed, quota| Quota::new(needed, quota, quotas.share);
    let needs = Needs {
        ledger_bytes: streams.iter().filter_map(|stream| stream.ledger_bytes).sum(),
        unknown_rates: unknown.map(|stream| stream.stream.clone()).collect(),
        connections: quota(args.loaders * tables, quotas.connections),
        create_write_stream_per_hour: quota(args.loaders * created, quotas.create_write_stream_per_hour),
        throughput_bytes_per_second: quota(
            (rows_per_second * args.event_bytes as f64).ceil() as u64,
            quotas.throughput_bytes_per_second,
        ),
    };
    Checked { streams, views: catalog.views.keys().map(ToString::to_string).collect(), needs }
}

fn of_stream(stream: &Stream, rate: Option<f64>) -> CheckedStream {
    let keys_per_event = per_event(stream, |table| !matches!(table.delivery, Delivery::Upsert(_)));
    CheckedStream {
        stream: stream.name.clone(),
        event_id: match (&stream.event_id, &stream.content_hash) {
            (Some(pointer), _) => pointer.to_string(),
            (None, Some(_)) => "of content".to_owned(),
            (None, None) => "the producer's".to_owned(),
        },
        dedupe_window_seconds: stream.dedupe_window.as_secs(),
        tables: stream.tables.iter().map(of_table).collect(),
        rate_per_second: rate,
        keys_per_event,
        rows_per_event: per_event(stream, |_| true),
        ledger_bytes: rate.map(|rate| capacity::memory(rate * keys_per_event as f64, stream.dedupe_window)),
    }
}

/// How many tables of a kind take an event, at most: each raw one, and of the others the one that it is routed to.
fn per_event(stream: &Stream, is_it: impl Fn(&Declared) -> bool) -> u64 {
    let is_routed = stream.tables.iter().any(|table| !table.is_raw && is_it(table));
    u64::from(is_routed) + stream.raw_tables().filter(|table| is_it(table)).count() as u64
}

fn of_table(table: &Declared) -> CheckedTable {
    let delivery = match &table.delivery {
        Delivery::ExactlyOnce => "exactly_once",
        Delivery::AtLeastOnce => "at_least_once",
        Delivery::Upsert(_) => "upsert",
    };
    CheckedTable { table: table.name.to_string(), delivery, columns: table.schema.fields.len() }
}

fn print(checked: &Checked, args: &CheckArgs) {
    let Checked { streams, views, needs } = checked;
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["stream", "event id", "window", "table", "delivery", "columns", "rate", "ledger"]);
    for stream in streams {
        let rate = stream.rate_per_second.map_or_else(|| "–".to_owned(), |rate| format!("{rate}/s"));
        let ledger = stream.ledger_bytes.map_or_else(|| "–".to_owned(), |bytes| HumanBytes(bytes).to_string());
        let window = format!("{:#}", jiff::SignedDuration::from_secs(stream.dedupe_window_seconds as i64));
        for (at, to) in stream.tables.iter().enumerate() {
            let once = |text: &str| if at == 0 { text.to_owned() } else { String::new() };
            table.add_row([
                once(&stream.stream),
                once(&stream.event_id),
                once(&window),
                to.table.clone(),
                to.delivery.to_owned(),
                to.columns.to_string(),
                once(&rate),
                once(&ledger),
            ]);
        }
    }
    println!("{table}");
    if !views.is_empty() {
        println!("views: {}", views.join(", "));
    }
    println!("ledger: {} of Redis memory, noeviction", HumanBytes(needs.ledger_bytes));
    if !needs.unknown_rates.is_empty() {
        println!(
            "  without {}, whose rates are not known: `rate` in the catalog, or --rate STREAM=N",
            needs.unknown_rates.join(", ")
        );
    }
    println!("with {} loaders, of the share that they may use of a project's quotas in a region:", args.loaders);
    for (what, quota) in [
        ("connections of AppendRows", &needs.connections),
        ("CreateWriteStream an hour, if all start anew in one", &needs.create_write_stream_per_hour),
        ("bytes a second", &needs.throughput_bytes_per_second),
    ] {
        let Quota { needed, quota, usable } = quota;
        let over = if needed > usable { ": too many, ask Google for more" } else { "" };
        println!("  {needed} of {usable} (quota: {quota}) {what}{over}");
    }
    println!("the catalog is good");
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("expected NAME=VALUE, found {text}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<(String, f64), String> {
    let expected = || format!("expected STREAM=N, N events a second, found {text}");
    let (stream, rate) = text.split_once('=').ok_or_else(expected)?;
    let rate: f64 = rate.parse().map_err(|_| expected())?;
    if rate.is_finite() && rate >= 0.0 { Ok((stream.to_owned(), rate)) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn args() -> CheckArgs {
        CheckArgs {
            file: None,
            stream: None,
            attribute: Vec::new(),
            all: None,
            catalog: PathBuf::new(),
            rate: Vec::new(),
            loaders: 10,
            event_bytes: 1_000,
        }
    }

    fn checked(catalog: &str, rates: &[(&str, f64)]) -> Checked {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(catalog);
        let catalog = Catalog::load(&file).expect("a catalog");
        examine(&catalog, &rates.iter().copied().collect(), &args())
    }

    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

    #[test]
    fn the_shipped_catalog_needs_what_its_rates_say() {
        let checked = checked("pipas.yaml", &[("events", 1_000.0)]);
        assert_eq!(checked.needs.ledger_bytes, capacity::memory(1_000.0, DAY));
        assert_eq!(checked.needs.unknown_rates, ["courier-chat"]);
        assert_eq!(checked.needs.connections.needed, 40, "10 loaders, 3 tables and the dead letters");
        assert_eq!(checked.needs.create_write_stream_per_hour.needed, 40);
        assert_eq!(checked.needs.throughput_bytes_per_second.needed, 1_000_000);
    }

    #[test]
    fn a_raw_table_takes_a_key_and_a_row_of_each_event() {
        let checked = checked("examples/shop/pipas.yaml", &[("backend-events", 1_000.0)]);
        assert_eq!(checked.needs.ledger_bytes, capacity::memory(2_000.0, DAY));
        assert_eq!(checked.needs.throughput_bytes_per_second.needed, 2_000_000);
    }

    /// A stream with a routed table of each delivery, and what else the catalog says.
    fn with_deliveries(deliveries: &[&str], more: &str, rate: f64) -> Checked {
        let folder = tempfile::tempdir().expect("a folder");
        let schema = r#"[{ "name": "id", "type": "STRING", "mode": "REQUIRED" }]"#;
        std::fs::write(folder.path().join("s.json"), schema).expect("a schema");
        let tables = deliveries.iter().enumerate().map(|(at, delivery)| {
            let when = format!("when: {{ has: [/is{at}] }}");
            format!("      t{at}: {{ {when}, table: d.t{at}, schema: s.json, delivery: {delivery} }}\n")
        });
        let text = format!("{more}streams:\n  things:\n    event_id: /id\n    tables:\n{}", tables.collect::<String>());
        let file = folder.path().join("pipas.yaml");
        std::fs::write(&file, text).expect("a catalog");
        examine(&Catalog::load(&file).expect("a catalog"), &BTreeMap::from([("things", rate)]), &args())
    }

    #[test]
    fn an_upsert_table_takes_no_keys_and_only_exactly_once_creates_streams() {
        let upsert = with_deliveries(&["upsert"], "", 1_000.0);
        assert_eq!(upsert.needs.ledger_bytes, capacity::memory(0.0, DAY));
        assert_eq!(upsert.needs.create_write_stream_per_hour.needed, 10, "the dead letters'");
        assert_eq!(upsert.needs.connections.needed, 20);
        assert_eq!(upsert.needs.throughput_bytes_per_second.needed, 1_000_000);
        // Whichever table an event is routed to, it takes one key at most.
        let mixed = with_deliveries(&["upsert", "at_least_once", "exactly_once"], "", 1_000.0);
        assert_eq!(mixed.needs.ledger_bytes, capacity::memory(1_000.0, DAY));
        assert_eq!(mixed.needs.create_write_stream_per_hour.needed, 20);
        assert_eq!(mixed.needs.throughput_bytes_per_second.needed, 1_000_000);
    }

    #[test]
    fn loaders_may_use_a_share_of_each_quota() {
        let quotas = "quotas: { share: 0.5, connections: 30 }\n";
        let checked = with_deliveries(&["exactly_once"], quotas, 1.0);
        let Quota { needed, quota, usable } = checked.needs.connections;
        assert_eq!((needed, quota, usable), (20, 30, 15));
    }

    #[test]
    fn rates_name_their_stream() {
        assert_eq!(rate("events=12.5"), Ok(("events".to_owned(), 12.5)));
        for wrong in ["events", "events=", "events=-1", "events=NaN"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
