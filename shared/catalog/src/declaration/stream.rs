use std::{sync::Arc, time::Duration};

use super::{
    archive, cors,
    cursor::Cursor,
    delivery::{self, Kind},
    event_id::{self, EventIds},
    feeds,
    file::Folder,
    name, shaping, subscriptions,
    table::{self, Inherited},
    when,
};
use crate::{ArchiveSettings, Delivery, JsonPointer, MaskTree, OnLedgerLoss, Stream, Table};

/// Reads the stream `name` of `streams`. `None`: there is a problem.
pub(super) fn read(folder: &Folder<'_>, name: &str, at: &Cursor<'_>, default: &ArchiveSettings) -> Option<Stream> {
    const ON_LEDGER_LOSS: [(&str, OnLedgerLoss); 2] = [("nack", OnLedgerLoss::Nack), ("append", OnLedgerLoss::Append)];
    const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
    if !name::is_stream(name) {
        at.problem(format!("expected {}, found `{name}`", name::STREAM));
    }
    let mut settings = at.settings("a stream: a map with `tables`")?;
    let description = settings.optional("description").map_or(Some(""), |at| at.text("a text"));
    let event_id = settings.optional("event_id").map(|at| event_id::read(&at));
    let event_type = settings.optional("event_type").map(|at| when::pointer(&at));
    let ordering_key = settings.optional("ordering_key").map(|at| when::pointer(&at));
    let dedupe_window =
        settings.optional("dedupe_window").map_or(Some(DEFAULT_WINDOW), |at| at.parse(name::DURATION, name::duration));
    let delivery = settings.optional("delivery").map_or(Some(Kind::ExactlyOnce), |at| delivery::kind(&at));
    let on_ledger_loss = settings
        .optional("on_ledger_loss")
        .map_or(Some(OnLedgerLoss::default()), |at| at.choice("treatment of a lost ledger", &ON_LEDGER_LOSS));
    let max_delivery_attempts =
        settings.optional("max_delivery_attempts").map_or(Some(Stream::DEFAULT_DELIVERY_ATTEMPTS), |at| attempts(&at));
    let rate = settings.optional("rate").map(|at| at.positive("events a second: a whole number above zero"));
    let archive = settings.optional("archive").map_or_else(|| default.clone(), |at| archive::read(&at, default));
    let shaping = shaping::Declared {
        flatten: settings.optional("flatten"),
        lookup: settings.optional("lookup"),
        filter: settings.optional("filter"),
    };
    let shaping = shaping::read(folder, &shaping);
    let cors = settings.optional("cors").map(|at| cors::read(&at));
    let feeds = settings.optional("feeds").map_or(Some(Vec::new()), |at| feeds::read(&at));
    let further = settings.optional("subscriptions").map_or(Some(Vec::new()), |at| subscriptions::read(name, &at));
    let (event_id, content_hash) = match event_id.flatten() {
        Some(EventIds::Pointer(pointer)) => (Some(pointer), None),
        Some(EventIds::ContentHash(hash)) => (None, Some(hash)),
        None => (None, None),
    };
    let inherited = Inherited { delivery, event_id: event_id.clone() };
    let tables = settings.required("tables", "at least one table").and_then(|at| read_tables(folder, &at, &inherited));
    settings.finish();
    let pointers = [
        ("event_id", event_id.clone()),
        ("event_type", event_type.clone().flatten()),
        ("ordering_key", ordering_key.clone().flatten()),
    ];
    let tables = tables.map(|tables| share_masks(tables, &pointers, at));
    let is_polled = feeds.as_ref().is_some_and(|feeds| !feeds.is_empty());
    let has_ids = event_id.is_some() || content_hash.is_some();
    if is_polled && !has_ids && tables.iter().flatten().any(|table| table.event_id.is_none()) {
        at.problem(
            "a stream with `feeds` needs an `event_id`, e.g. `{ content_hash: all }`: without one each fetch would write everything again",
        );
    }
    Some(Stream {
        name: name.to_owned(),
        description: description?.trim().to_owned(),
        event_id,
        content_hash,
        event_type: event_type.unwrap_or_default(),
        ordering_key: ordering_key.unwrap_or_default(),
        dedupe_window: dedupe_window?,
        on_ledger_loss: on_ledger_loss?,
        max_delivery_attempts: max_delivery_attempts?,
        rate: rate.flatten(),
        archive,
        shaping: shaping?,
        cors: cors.flatten(),
        feeds: feeds?,
        subscriptions: further?,
        tables: tables?,
    })
}

/// What Pub/Sub takes: <https://cloud.google.com/pubsub/docs/dead-letter-topics>.
fn attempts(at: &Cursor<'_>) -> Option<u32> {
    const EXPECTED: &str = "a number of deliveries from 5 to 100";
    let attempts = at.positive(EXPECTED)?;
    let valid = u32::try_from(attempts).ok().filter(|attempts| (5..=100).contains(attempts));
    if valid.is_none() {
        at.problem(format!("expected {EXPECTED}, found {attempts}"));
    }
    valid
}

fn read_tables(folder: &Folder<'_>, at: &Cursor<'_>, inherited: &Inherited) -> Option<Vec<Table>> {
    let entries = at.entries("a map of at least one table")?;
    if entries.is_empty() {
        at.problem("expected at least one table, found an empty map");
    }
    let mut takes_all: Option<&str> = None;
    let mut tables = Vec::new();
    for (key, entry) in &entries {
        if let Some(earlier) = takes_all.filter(|_| !entry.sets("raw")) {
            entry.problem(format!("no event ever comes here: `{earlier}` above has no `when` and takes every event"));
        }
        if !entry.sets("when") && !entry.sets("raw") {
            takes_all = takes_all.or(Some(key));
        }
        tables.push(table::read(folder, key, entry, inherited));
    }
    tables.into_iter().collect()
}

/// Hands each table what any of them masks. What identifies or orders events is stored beside them, so that it cannot be masked.
fn share_masks(mut tables: Vec<Table>, pointers: &[(&str, Option<JsonPointer>)], at: &Cursor<'_>) -> Vec<Table> {
    let mut mask = MaskTree::default();
    tables.iter().for_each(|table| mask.merge(&table.rules.payload_part()));
    if mask.is_empty() {
        return tables;
    }
    let refuse = |what: &str, pointer: &JsonPointer| {
        if mask.covers(pointer.tokens()) {
            at.problem(format!(
                "`{what}` points at {pointer}, which a table of the stream masks; it is kept beside each row as it is"
            ));
        }
    };
    for (what, pointer) in pointers {
        pointer.iter().for_each(|pointer| refuse(what, pointer));
    }
    for table in &tables {
        table.event_id.iter().for_each(|pointer| refuse(&format!("tables.{}.event_id", table.key), pointer));
        if let Delivery::Upsert(upsert) = &table.delivery {
            upsert.sequence.iter().for_each(|pointer| refuse(&format!("tables.{}.sequence", table.key), pointer));
        }
    }
    let mask = Arc::new(mask);
    tables.iter_mut().for_each(|table| table.rules.payload_mask = Arc::clone(&mask));
    tables
}
