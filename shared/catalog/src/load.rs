use std::{collections::BTreeMap, fmt, path::Path};

use crate::{ArchiveSettings, Feed, Problem, Quotas, Registry, Stream, Table, TableName, View, declaration};

/// The parsed `pipas.yaml`: streams, tables, schemas, views.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalog {
    /// The streams by name.
    pub streams: BTreeMap<String, Stream>,
    /// The views by name.
    pub views: BTreeMap<TableName, View>,
    /// How the archive is written, where a stream does not say otherwise.
    pub archive: ArchiveSettings,
    /// Where write streams are registered.
    pub registry: Registry,
    /// How much of BigQuery's quotas loaders may use.
    pub quotas: Quotas,
}

/// Everything that is wrong with a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError {
    /// The problems, never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the catalog has {} problem(s):", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for CatalogError {}

impl Catalog {
    /// Reads `pipas.yaml` at `file`, and the schemas and views that it names, relative to its folder. A catalog with
    /// problems is refused, and all of them are told together.
    pub fn load(file: &Path) -> Result<Self, CatalogError> {
        declaration::read(file)
    }

    /// Every table with its stream, by the stream's name and in the order of the stream's rules.
    pub fn tables(&self) -> impl Iterator<Item = (&Stream, &Table)> {
        self.streams.values().flat_map(|stream| stream.tables.iter().map(move |table| (stream, table)))
    }

    /// The feed `name` and its stream.
    pub fn feed(&self, name: &str) -> Option<(&Stream, &Feed)> {
        self.feeds().find(|(_, feed)| feed.name == name)
    }

    /// Every feed with its stream.
    pub fn feeds(&self) -> impl Iterator<Item = (&Stream, &Feed)> {
        self.streams.values().flat_map(|stream| stream.feeds.iter().map(move |feed| (stream, feed)))
    }

    /// The table `name` and its stream.
    pub fn table(&self, name: &TableName) -> Option<(&Stream, &Table)> {
        self.tables().find(|(_, table)| table.name == *name)
    }
}
