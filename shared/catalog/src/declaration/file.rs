use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use super::{
    archive,
    cursor::{Cursor, PathStyle, Report},
    document::Node,
    name, quotas, stream,
    subscriptions::Taken,
};
use crate::{
    ArchiveSettings, Catalog, CatalogError, Quotas, Registry, Stream, TableName, View, dead_letters_table,
    open_dead_letters_view, redrives_table,
};

/// Reads the catalog in `file` and the files that it names.
pub(crate) fn read(file: &Path) -> Result<Catalog, CatalogError> {
    let report = Report::default();
    let catalog = read_catalog(&report, file);
    let problems = report.into_problems();
    match catalog {
        Some(catalog) if problems.is_empty() => Ok(catalog),
        _ => Err(CatalogError { problems }),
    }
}

/// The settings that reading `file` asks for, by their places: `streams.*.tables.*.when`.
pub(crate) fn asked(file: &Path) -> BTreeSet<String> {
    let report = Report::default();
    read_catalog(&report, file);
    report.asked()
}

fn read_catalog(report: &Report, file: &Path) -> Option<Catalog> {
    let text = text_of(file).map_err(|detail| report.add(file, None, "", detail)).ok()?;
    let node = Node::from_yaml(&text).map_err(|error| report.syntax(file, error)).ok()?;
    let root = Cursor::root(report, file, PathStyle::Dotted, &node);
    let mut settings = root.settings("a catalog: a map with `streams`")?;
    let folder = Folder::new(file.parent().unwrap_or(Path::new("")));
    let archive = ArchiveSettings::default();
    let archive = settings.optional("archive").map_or_else(|| archive.clone(), |at| archive::read(&at, &archive));
    let streams = settings.required("streams", "at least one stream").map(|at| read_streams(&folder, &at, &archive));
    let views = settings.optional("views").map(|at| read_views(&folder, &at));
    let registry = settings.optional("registry").map_or(Registry::default(), |at| quotas::registry(&at));
    let quotas = settings.optional("quotas").map_or_else(Quotas::default, |at| quotas::read(&at));
    settings.finish();
    Some(Catalog { streams: streams?, views: views.unwrap_or_default(), archive, registry, quotas })
}

fn read_streams(folder: &Folder<'_>, at: &Cursor<'_>, archive: &ArchiveSettings) -> BTreeMap<String, Stream> {
    let entries = at.entries("a map of at least one stream").unwrap_or_default();
    if entries.is_empty() {
        at.problem("expected at least one stream");
    }
    let mut feeds: BTreeMap<String, &str> = BTreeMap::new();
    let (mut streams, mut subscriptions) = (BTreeMap::new(), Taken::default());
    for (name, entry) in &entries {
        let Some(stream) = stream::read(folder, name, entry, archive) else { continue };
        for feed in &stream.feeds {
            if let Some(other) = feeds.insert(feed.name.clone(), name) {
                entry.problem(format!("the feed `{}` is the stream `{other}`'s already", feed.name));
            }
        }
        subscriptions.claim(&stream, entry);
        streams.insert(stream.name.clone(), stream);
    }
    streams
}

fn read_views(folder: &Folder<'_>, at: &Cursor<'_>) -> BTreeMap<TableName, View> {
    let entries = at.entries("a map of view names to SQL files").unwrap_or_default();
    entries.iter().filter_map(|(name, entry)| read_view(folder, name, entry)).collect()
}

fn read_view(folder: &Folder<'_>, text: &str, at: &Cursor<'_>) -> Option<(TableName, View)> {
    let name = name::table(text);
    match &name {
        Some(name) => folder.claim_name(name, at),
        None => at.problem(format!("expected {}, found `{text}`", name::TABLE)),
    }
    let sql = folder.read(at, |file, sql| {
        if sql.trim().is_empty() {
            at.report().add(file, None, "", "expected a query, found nothing");
            return None;
        }
        Some(sql.to_owned())
    });
    let name = name?;
    Some((name.clone(), View { name, sql: sql? }))
}

/// The catalog's folder: the files in it, and which names of tables and views are taken.
pub(super) struct Folder<'a> {
    path: &'a Path,
    /// By what, and on which line.
    taken: RefCell<BTreeMap<TableName, (String, Option<u64>)>>,
}

impl<'a> Folder<'a> {
    fn new(path: &'a Path) -> Self {
        Self { path, taken: RefCell::default() }
    }

    /// Hands the text of the file that is named at `at` to `parse`.
    pub(super) fn read<T>(&self, at: &Cursor<'_>, parse: impl FnOnce(&Path, &str) -> Option<T>) -> Option<T> {
        let name = at.text("the path of a file, from the catalog's folder")?;
        let path = PathBuf::from(name);
        if name.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            at.problem(format!("expected the path of a file inside the catalog's folder, found `{name}`"));
            return None;
        }
        let file = self.path.join(path);
        match text_of(&file) {
            Ok(text) => parse(&file, &text),
            Err(detail) => {
                at.problem(format!("`{name}`: {detail}"));
                None
            }
        }
    }

    /// Takes a table's or view's name for `at`; a name that is taken already is a problem.
    pub(super) fn claim_name(&self, name: &TableName, at: &Cursor<'_>) {
        if [dead_letters_table().name, redrives_table().name, open_dead_letters_view().name].contains(name) {
            at.problem(format!("`{name}` is where Pipas keeps its dead letters"));
        }
        if let Some(taken) = self.take(name, format!("`{}`", at.path()), at) {
            at.problem(format!("`{name}` is taken by {taken} already"));
        }
    }

    /// Takes the name of the view of unique rows of the table at `at`; a name that is taken already, or is none, is a problem.
    pub(super) fn claim_unique_view(&self, name: &TableName, at: &Cursor<'_>) {
        if name::table(&name.to_string()).is_none() {
            at.problem(format!("the name `{name}` of the view of its unique rows is longer than BigQuery takes"));
        }
        if let Some(taken) = self.take(name, format!("the view of the unique rows of `{}`", at.path()), at) {
            at.problem(format!("the view of its unique rows, `{name}`, has a name that is taken by {taken} already"));
        }
    }

    /// Takes `name` for `what`, and says by what it is taken already.
    fn take(&self, name: &TableName, what: String, at: &Cursor<'_>) -> Option<String> {
        let mut taken = self.taken.borrow_mut();
        match taken.get(name) {
            Some((what, Some(line))) => Some(format!("{what} on line {line}")),
            Some((what, None)) => Some(what.clone()),
            None => {
                taken.insert(name.clone(), (what, at.line()));
                None
            }
        }
    }
}

/// The text of a file, or why there is none.
fn text_of(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("the file cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("the file is not UTF-8: {}", error.utf8_error()))
}
