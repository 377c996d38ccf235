//! The objects of a replay.

use std::path::{Path, PathBuf};

use archive::ManifestEntry;
use event::Timestamp;
use objects::{ObjectStore, StoreConfig};

use crate::{Inner, ReplayError, Request};

/// An object that is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its name, as reports say it.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) expected: Expected,
    /// The first and the last publish time of its messages, where they are known.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    /// Objects whose messages are in this one.
    pub(crate) replaces: Vec<String>,
    /// Whether a manifest lists it, so that its messages are the stream's own.
    pub(crate) is_own: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Bucket { store: Box<ObjectStore>, object: String },
    File(PathBuf),
}

/// What an object must be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) generation: Option<i64>,
    pub(crate) bytes: u64,
    pub(crate) crc32c: Option<u32>,
    pub(crate) records: Option<u64>,
}

/// The objects that `request` asks for: those of the stream's manifest, or those that it names.
pub(crate) async fn list(inner: &Inner, request: &Request) -> Result<Vec<Source>, ReplayError> {
    if request.objects.is_empty() {
        return own(&inner.store, request).await;
    }
    let mut found = Vec::new();
    for named in &request.objects {
        let before = found.len();
        match named.strip_prefix("gs://").map(|path| path.split_once('/').unwrap_or((path, ""))) {
            Some((bucket, prefix)) => {
                let config = StoreConfig { bucket: bucket.to_owned(), endpoint: inner.storage.endpoint.clone() };
                bucketed(&ObjectStore::connect(&config).await?, prefix, &mut found).await?;
            }
            None => files(Path::new(named), &mut found)
                .map_err(|source| ReplayError::File { path: named.clone(), source })?,
        }
        if found.len() == before {
            return Err(ReplayError::NoObjects { named: named.clone() });
        }
    }
    Ok(found)
}

async fn own(store: &ObjectStore, request: &Request) -> Result<Vec<Source>, ReplayError> {
    let mut live = archive::live(archive::entries(store, &request.stream, request.from, request.to).await?);
    let meets = |entry: &ManifestEntry| {
        request.from.is_none_or(|from| from <= entry.last_publish_time)
            && request.to.is_none_or(|to| entry.first_publish_time < to)
    };
    live.retain(meets);
    live.sort_by(|a, b| (a.first_publish_time, &a.object).cmp(&(b.first_publish_time, &b.object)));
    Ok(live
        .into_iter()
        .map(|entry| Source {
            expected: Expected {
                generation: Some(entry.generation),
                bytes: entry.bytes,
                // One that is no number matches nothing, and the object is named as damaged.
                crc32c: Some(u32::from_str_radix(&entry.crc32c, 16).unwrap_or_default()),
                records: Some(entry.records),
            },
            span: Some((entry.first_publish_time, entry.last_publish_time)),
            place: Place::Bucket { store: Box::new(store.clone()), object: entry.object.clone() },
            name: entry.object,
            replaces: entry.replaces,
            is_own: true,
        })
        .collect())
}

/// Dataflow's template gives its files no ending, so what is no manifest entry is taken for an object of messages.
async fn bucketed(store: &ObjectStore, prefix: &str, found: &mut Vec<Source>) -> Result<(), ReplayError> {
    for object in store.list_all(prefix).await? {
        if object.bytes == 0 || object.name.ends_with(".json") {
            continue;
        }
        found.push(Source {
            name: format!("gs://{}/{}", store.bucket(), object.name),
            expected: Expected {
                generation: Some(object.generation),
                bytes: object.bytes,
                crc32c: Some(object.crc32c),
                records: None,
            },
            place: Place::Bucket { store: Box::new(store.clone()), object: object.name },
            span: None,
            replaces: Vec::new(),
            is_own: false,
        });
    }
    Ok(())
}

/// A file is known by its full path, however it was named: ids are made of it.
fn files(path: &Path, found: &mut Vec<Source>) -> std::io::Result<()> {
    let path = &std::fs::canonicalize(path)?;
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        let mut entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        return entries.iter().try_for_each(|entry| files(&entry.path(), found));
    }
    if metadata.len() > 0 && path.extension().is_none_or(|extension| extension != "json") {
        found.push(Source {
            name: path.display().to_string(),
            place: Place::File(path.to_owned()),
            expected: Expected { bytes: metadata.len(), ..Expected::default() },
            span: None,
            replaces: Vec::new(),
            is_own: false,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name_however_its_path_is_typed() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("in")).expect("a folder");
        std::fs::write(folder.path().join("in/a.avro"), "x").expect("a file");
        let names = |path: &str| {
            let mut found = Vec::new();
            files(&folder.path().join(path), &mut found).expect("files");
            found.into_iter().map(|source| source.name).collect::<Vec<_>>()
        };
        let name = std::fs::canonicalize(folder.path().join("in/a.avro")).expect("a path").display().to_string();
        for path in ["in/a.avro", "in", "in/../in/./a.avro", "."] {
            assert_eq!(names(path), [name.as_str()], "{path}");
        }
    }
}
