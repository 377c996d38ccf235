//! The names of tables and write streams.

use std::sync::Arc;

use googleapis::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
use tonic::Code;

use super::error::Refusal;
use crate::bigquery::store::{Store, Stream, Table};

/// The id of the stream that every table has.
pub(super) const DEFAULT: &str = "_default";

/// A name's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    project: &'a str,
    dataset: &'a str,
    table: &'a str,
    /// Of a stream's name.
    stream: Option<&'a str>,
}

/// What a stream's name stands for.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) table: Arc<Table>,
    /// The stream that was created; `None` is the default stream.
    pub(super) stream: Option<Arc<Stream>>,
}

/// `projects/{project}/datasets/{dataset}/tables/{table}`.
pub(super) fn find_table(store: &Store, project: &str, name: &str) -> Result<Arc<Table>, Refusal> {
    let parts = parse(name).filter(|parts| parts.stream.is_none());
    let parts = parts.ok_or_else(|| {
        Refusal::invalid(format!(
            "Invalid table name {name:?}: expected projects/{{project}}/datasets/{{dataset}}/tables/{{table}}"
        ))
    })?;
    table(store, project, parts, name)
}

/// `projects/{project}/datasets/{dataset}/tables/{table}/streams/{stream}`, and `…/tables/{table}/_default`.
pub(super) fn find_stream(store: &Store, project: &str, name: &str) -> Result<Target, Refusal> {
    let found = parse(name).and_then(|parts| Some((parts, parts.stream?)));
    let (parts, id) = found.ok_or_else(|| {
        Refusal::invalid(format!(
            "Invalid stream name {name:?}: expected projects/{{project}}/datasets/{{dataset}}/tables/{{table}}/streams/{{stream}}"
        ))
    })?;
    let table = table(store, project, parts, name)?;
    if id == DEFAULT {
        return Ok(Target { table, stream: None });
    }
    let stream = table.stream(id).ok_or_else(|| {
        let message = "Requested entity was not found: the write stream does not exist.";
        Refusal::storage(Code::NotFound, StorageErrorCode::StreamNotFound, message, name)
    })?;
    Ok(Target { table, stream: Some(stream) })
}

/// The name of a stream.
pub(super) fn stream_name(project: &str, table: &Table, stream: &str) -> String {
    let catalog::TableName { dataset, table } = &table.name;
    format!("projects/{project}/datasets/{dataset}/tables/{table}/streams/{stream}")
}

fn table(store: &Store, project: &str, parts: Parts<'_>, name: &str) -> Result<Arc<Table>, Refusal> {
    if parts.project != project {
        let message = format!("Project {} is not served here; this is {project}.", parts.project);
        return Err(Refusal::storage(Code::NotFound, StorageErrorCode::TableNotFound, message, name));
    }
    store.table(parts.dataset, parts.table).map_err(|error| Refusal::of_store(&error, name))
}

fn parse(name: &str) -> Option<Parts<'_>> {
    let pieces: Vec<&str> = name.split('/').collect();
    let (["projects", project, "datasets", dataset, "tables", table], rest) = pieces.split_first_chunk()? else {
        return None;
    };
    let stream = match rest {
        [] => None,
        ["streams", stream] if !stream.is_empty() => Some(*stream),
        [DEFAULT] => Some(DEFAULT),
        _ => return None,
    };
    Some(Parts { project, dataset, table, stream })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        let table = "projects/p/datasets/d/tables/t";
        let parts = Parts { project: "p", dataset: "d", table: "t", stream: None };
        assert_eq!(parse(table), Some(parts));
        for (suffix, stream) in [("/streams/_default", "_default"), ("/_default", "_default"), ("/streams/abc", "abc")]
        {
            assert_eq!(parse(&format!("{table}{suffix}")), Some(Parts { stream: Some(stream), ..parts }));
        }
        for bad in ["", "projects/p", "projects/p/datasets/d/tables/t/streams/", "projects/p/datasets/d/tables/t/x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
