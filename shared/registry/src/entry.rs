//! Entries: one for each write stream that was made.

use std::collections::BTreeMap;

use bytes::Bytes;
use catalog::TableName;
use jiff::Timestamp;
use objects::{StoreError, StoredObject};

use crate::{Registry, RegistryError, within};

const STREAMS: &str = "registry/streams/";
const GENERATION: &str = "generation";
const ENTERED_AT: &str = "entered-at";
const EPOCH: &str = "epoch";
const ROWS: &str = "rows";
const FENCED_AT: &str = "fenced-at";
const VERIFIED_AT: &str = "verified-at";

/// A write stream, as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its table.
    pub table: TableName,
    /// Its short id.
    pub stream: String,
    /// The generation that it was made under.
    pub generation: u64,
    /// When it was entered.
    pub entered_at: Timestamp,
    /// The creation time of the table that it was made for, in milliseconds; `None`: an older version entered it.
    pub epoch: Option<i64>,
    /// What ended it; `None`: it may receive rows still.
    pub fence: Option<Fence>,
    version: i64,
}

/// The end of a write stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// How many rows it holds, for good.
    pub rows: i64,
    /// When that was written down.
    pub at: Timestamp,
    /// When the table was seen to hold as many rows of it; `None`: not yet.
    pub verified_at: Option<Timestamp>,
}

impl Entry {
    /// Whether it is a stream of the table that was created at `epoch`, and not of one of that name before.
    pub fn is_of(&self, epoch: i64) -> bool {
        self.epoch.map_or_else(|| self.entered_at.as_millisecond() >= epoch, |own| own == epoch)
    }
}

impl Registry {
    /// Enters a new write stream of the table that was created at `epoch`. Afterwards the caller must see that the generation is
    /// still this one, and the table too.
    pub async fn enter(
        &self,
        table: &TableName,
        epoch: i64,
        stream: &str,
        generation: u64,
    ) -> Result<(), RegistryError> {
        // Everything is metadata, so that a list shows it.
        let metadata = [
            (GENERATION, generation.to_string()),
            (ENTERED_AT, Timestamp::now().to_string()),
            (EPOCH, epoch.to_string()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let name = name(table, stream);
        within(self.store.create_with_metadata(&name, "text/plain", Bytes::new(), &metadata)).await??;
        Ok(())
    }

    /// The entry of a stream; `None` where it has none.
    pub async fn find(&self, table: &TableName, stream: &str) -> Result<Option<Entry>, RegistryError> {
        within(self.store.find(&name(table, stream))).await??.map(|object| entry(&object)).transpose()
    }

    /// Writes down that the stream takes no rows any more, and how many it has. A stream without an entry gets none.
    pub async fn fenced(&self, table: &TableName, stream: &str, rows: i64) -> Result<(), RegistryError> {
        let metadata = [(ROWS.to_owned(), rows.to_string()), (FENCED_AT.to_owned(), Timestamp::now().to_string())];
        match within(self.store.set_metadata(&name(table, stream), &metadata.into())).await? {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down that the table holds as many rows of the stream as its fence said.
    pub async fn verified(&self, entry: &Entry) -> Result<(), RegistryError> {
        let metadata = BTreeMap::from([(VERIFIED_AT.to_owned(), Timestamp::now().to_string())]);
        Ok(within(self.store.set_metadata(&name(&entry.table, &entry.stream), &metadata)).await??)
    }

    /// Every stream that is entered.
    pub async fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        within(self.store.list_all(STREAMS)).await??.iter().map(entry).collect()
    }

    /// Forgets a stream.
    pub async fn remove(&self, entry: &Entry) -> Result<(), RegistryError> {
        Ok(within(self.store.delete(&name(&entry.table, &entry.stream), entry.version)).await??)
    }
}

fn name(table: &TableName, stream: &str) -> String {
    format!("{STREAMS}{table}/{stream}")
}

fn entry(object: &StoredObject) -> Result<Entry, RegistryError> {
    let corrupt = |detail: &str| RegistryError::Corrupt { name: object.name.clone(), detail: detail.to_owned() };
    let path = object.name.strip_prefix(STREAMS).and_then(|path| path.split_once('/'));
    let named = path.and_then(|(table, stream)| Some((table.split_once('.')?, stream)));
    let ((dataset, table), stream) = named.ok_or_else(|| corrupt("not the name of a stream"))?;
    let time = |key: &str| object.metadata.get(key).and_then(|time| time.parse::<Timestamp>().ok());
    let generation = object.metadata.get(GENERATION).and_then(|number| number.parse().ok());
    let fence = match object.metadata.get(ROWS) {
        Some(rows) => Some(Fence {
            rows: rows.parse().map_err(|_| corrupt("without a number of rows"))?,
            at: time(FENCED_AT).ok_or_else(|| corrupt("without a time of its fence"))?,
            verified_at: time(VERIFIED_AT),
        }),
        None => None,
    };
    Ok(Entry {
        table: TableName { dataset: dataset.to_owned(), table: table.to_owned() },
        stream: stream.to_owned(),
        generation: generation.ok_or_else(|| corrupt("without a generation"))?,
        epoch: object.metadata.get(EPOCH).and_then(|epoch| epoch.parse().ok()),
        entered_at: time(ENTERED_AT).ok_or_else(|| corrupt("without a time of its entry"))?,
        fence,
        version: object.generation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_of_the_table_that_it_was_made_for() {
        let entered_at = Timestamp::from_millisecond(1_000).expect("a time");
        let table = TableName { dataset: "d".into(), table: "t".into() };
        let old = Entry { table, stream: "s".into(), generation: 1, entered_at, epoch: None, fence: None, version: 1 };
        assert!(old.is_of(1_000) && !old.is_of(1_001), "what is known of an older version's is when it came");
        let told = Entry { epoch: Some(900), ..old };
        assert!(told.is_of(900) && !told.is_of(1_001) && !told.is_of(899));
    }
}
