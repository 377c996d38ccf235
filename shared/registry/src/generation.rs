//! The generation: one number for all loaders of a deployment.

use objects::StoreError;
use serde::{Deserialize, Serialize};

use crate::{Registry, RegistryError};

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

    /// Raises the generation by one, for the ledger of this identity, if it is still `from`.
    pub async fn raise(&self, from: Option<&Generation>, ledger: &str) -> Result<Raised, RegistryError> {
        let number = from.map_or(1, |from| from.number + 1);
        let next = Generation { number, ledger: ledger.to_owned(), is_open: false };
        Ok(if self.put(from, &next).await? { Raised::To(next) } else { Raised::ByAnother })
    }

    /// Opens a generation for use. One alone succeeds, and adopts the ledger; false for any other.
    pub async fn open(&self, generation: &Generation) -> Result<bool, RegistryError> {
        self.put(Some(generation), &Generation { is_open: true, ..generation.clone() }).await
    }

    /// Compare-and-set.
    async fn put(&self, from: Option<&Generation>, next: &Generation) -> Result<bool, RegistryError> {
        let json = serde_json::to_vec(next)
            .map_err(|error| RegistryError::Corrupt { name: NAME.to_owned(), detail: error.to_string() })?;
        let written = match (from, self.read().await?) {
            (None, None) => self.store.create(NAME, CONTENT_TYPE, json.into()).await,
            (Some(from), Some((found, version))) if found == *from => {
                self.store.replace(NAME, CONTENT_TYPE, json.into(), version).await
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
        let (bytes, version) = match self.store.read_generation(NAME).await {
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
