use std::time::Duration;

use super::{
    cors,
    cursor::Cursor,
    delivery::{self, Kind},
    event_id::{self, EventIds},
    feeds,
    file::Folder,
    name, shaping,
    table::{self, Inherited},
    when,
};
use crate::{OnLedgerLoss, Stream, Table};

/// Reads the stream `name` of `streams`. `None`: there is a problem.
pub(super) fn read(folder: &Folder<'_>, name: &str, at: &Cursor<'_>) -> Option<Stream> {
    const ON_LEDGER_LOSS: [(&str, OnLedgerLoss); 2] = [("nack", OnLedgerLoss::Nack), ("append", OnLedgerLoss::Append)];
    const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
    if !name::is_stream(name) {
        at.problem(format!("expected {}, found `{name}`", name::STREAM));
    }
    let mut settings = at.settings("a stream: a map with `tables`")?;
    let description = settings.optional("description").map_or(Some(""), |at| at.text("a text"));
    let event_id = settings.optional("event_id").map(|at| event_id::read(&at));
    let ordering_key = settings.optional("ordering_key").map(|at| when::pointer(&at));
    let dedupe_window =
        settings.optional("dedupe_window").map_or(Some(DEFAULT_WINDOW), |at| at.parse(name::DURATION, name::duration));
    let delivery = settings.optional("delivery").map_or(Some(Kind::ExactlyOnce), |at| delivery::kind(&at));
    let on_ledger_loss = settings
        .optional("on_ledger_loss")
        .map_or(Some(OnLedgerLoss::default()), |at| at.choice("treatment of a lost ledger", &ON_LEDGER_LOSS));
    let rate = settings.optional("rate").map(|at| at.positive("events a second: a whole number above zero"));
    let shaping = shaping::Declared {
        flatten: settings.optional("flatten"),
        lookup: settings.optional("lookup"),
        filter: settings.optional("filter"),
    };
    let shaping = shaping::read(folder, &shaping);
    let cors = settings.optional("cors").map(|at| cors::read(&at));
    let feeds = settings.optional("feeds").map_or(Some(Vec::new()), |at| feeds::read(&at));
    let (event_id, content_hash) = match event_id.flatten() {
        Some(EventIds::Pointer(pointer)) => (Some(pointer), None),
        Some(EventIds::ContentHash(hash)) => (None, Some(hash)),
        None => (None, None),
    };
    let inherited = Inherited { delivery, event_id: event_id.clone() };
    let tables = settings.required("tables", "at least one table").and_then(|at| read_tables(folder, &at, &inherited));
    settings.finish();
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
        ordering_key: ordering_key.unwrap_or_default(),
        dedupe_window: dedupe_window?,
        on_ledger_loss: on_ledger_loss?,
        rate: rate.flatten(),
        shaping: shaping?,
        cors: cors.flatten(),
        feeds: feeds?,
        tables: tables?,
    })
}

fn read_tables(folder: &Folder<'_>, at: &Cursor<'_>, inherited: &Inherited) -> Option<Vec<Table>> {
    let entries = at.entries("a map of at least one table")?;
    if entries.is_empty() {
        at.problem("expected at least one table, found an empty map");
    }
    let mut takes_all: Option<&str> = None;
    let mut tables = Vec::new();
    for (key, entry) in &entries {
        if let Some(earlier) = takes_all {
            entry.problem(format!("no event ever comes here: `{earlier}` above has no `when` and takes every event"));
        }
        if !entry.sets("when") {
            takes_all = takes_all.or(Some(key));
        }
        tables.push(table::read(folder, key, entry, inherited));
    }
    tables.into_iter().collect()
}
