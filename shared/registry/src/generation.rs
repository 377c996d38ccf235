//! The generation: one number for all loaders of a deployment.

use catalog::TableName;
use jiff::Timestamp;
use objects::StoreError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Registry, RegistryError, within};

const NAME: &str = "registry/generation";
const CONTENT_TYPE: &str = "application/json";

/// One life of the ledger's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// From 1.
    pub number: u64,
    /// The identity of the ledger for which it was raised.
    pub ledger: String,
    /// Whether write streams may have been made under it.
    pub is_open: bool,
    /// The last generation before it that was open; 0: there was none, or nobody wrote it down.
    #[serde(default)]
    pub after: u64,
    /// The tables of which the ledger does not know yet what they hold: no claim of theirs says anything. Once the generation
    /// is open they only become fewer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<Degraded>,
}

/// A table that the ledger was not made whole for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// The table.
    #[serde(with = "table_name")]
    pub table: TableName,
    /// Since when the ledger may not know its rows; `None`: it may know none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Timestamp>,
}

/// What came of [`Registry::raise`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raised {
    /// It is this now.
    To(Generation),
    /// Another raised it meanwhile; look again.
    ByAnother,
}

impl Registry {
    /// The generation as it is now; `None` where there never was one.
    pub async fn generation(&self) -> Result<Option<Generation>, RegistryError> {
        Ok(self.read().await?.map(|(generation, _)| generation))
    }

    /// Raises the generation by one, for the ledger of this identity, if it is still `from`. What was degraded stays so.
    pub async fn raise(&self, from: Option<&Generation>, ledger: &str) -> Result<Raised, RegistryError> {
        let number = from.map_or(1, |from| from.number + 1);
        let degraded = from.map_or_else(Vec::new, |from| from.degraded.clone());
        let after = from.map_or(0, |from| if from.is_open { from.number } else { from.after });
        let next = Generation { number, ledger: ledger.to_owned(), is_open: false, after, degraded };
        Ok(if self.put(from, &next).await? { Raised::To(next) } else { Raised::ByAnother })
    }

    /// Opens a generation for use, but for these tables. One alone succeeds, and adopts the ledger; false for any other.
    pub async fn open(&self, generation: &Generation, degraded: Vec<Degraded>) -> Result<bool, RegistryError> {
        self.put(Some(generation), &Generation { is_open: true, degraded, ..generation.clone() }).await
    }

    /// Writes down that the ledger knows now what the table holds. Says what the generation is afterwards; `None` where it is
    /// not the one of this number any more, in which the table is still degraded.
    pub async fn healed(&self, number: u64, table: &TableName) -> Result<Option<Generation>, RegistryError> {
        loop {
            let Some(found) = self.generation().await?.filter(|found| found.number == number) else { return Ok(None) };
            let mut next = found.clone();
            next.degraded.retain(|degraded| degraded.table != *table);
            if next == found || self.put(Some(&found), &next).await? {
                return Ok(Some(next));
            }
        }
    }

    /// Compare-and-set.
    async fn put(&self, from: Option<&Generation>, next: &Generation) -> Result<bool, RegistryError> {
        let json = serde_json::to_vec(next)
            .map_err(|error| RegistryError::Corrupt { name: NAME.to_owned(), detail: error.to_string() })?;
        let written = match (from, self.read().await?) {
            (None, None) => within(self.store.create(NAME, CONTENT_TYPE, json.into())).await?,
            (Some(from), Some((found, version))) if found == *from => {
                within(self.store.replace(NAME, CONTENT_TYPE, json.into(), version)).await?
            }
            (None | Some(_), None | Some(_)) => return Ok(false),
        };
        match written {
            Ok(()) => Ok(true),
            Err(StoreError::Changed { .. } | StoreError::Exists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self) -> Result<Option<(Generation, i64)>, RegistryError> {
        let (bytes, version) = match within(self.store.read_generation(NAME)).await? {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let generation = serde_json::from_slice(&bytes).map_err(|error| RegistryError::Corrupt {
            name: NAME.to_owned(),
            detail: format!("no generation: {error}"),
        })?;
        Ok(Some((generation, version)))
    }
}

mod table_name {
    use super::*;

    pub(super) fn serialize<S: Serializer>(name: &TableName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TableName, D::Error> {
        let name = String::deserialize(deserializer)?;
        let (dataset, table) = name.split_once('.').ok_or_else(|| de::Error::custom("expected `dataset.table`"))?;
        Ok(TableName { dataset: dataset.to_owned(), table: table.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_says_which_tables_are_degraded() {
        let old = r#"{"number":7,"ledger":"a","is_open":true}"#;
        let read: Generation = serde_json::from_str(old).expect("as earlier versions wrote it");
        assert!(read.degraded.is_empty());
        let whole = r#"{"number":7,"ledger":"a","is_open":true,"after":0}"#;
        assert_eq!(serde_json::to_string(&read).expect("written"), whole);

        let table = TableName { dataset: "d".into(), table: "t".into() };
        let degraded = Degraded { table, cut: Some(Timestamp::UNIX_EPOCH) };
        let written = serde_json::to_string(&Generation { degraded: vec![degraded], ..read }).expect("written");
        let degraded = r#""degraded":[{"table":"d.t","cut":"1970-01-01T00:00:00Z"}]"#;
        assert_eq!(written, format!("{},{degraded}}}", &whole[..whole.len() - 1]));
        let again: Generation = serde_json::from_str(&written).expect("read");
        assert_eq!(serde_json::to_string(&again).expect("written"), written);
    }
}
