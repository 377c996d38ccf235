//! The journal of an in-process ledger: every key's value, in an embedded store.

use std::{path::Path, time::Duration};

use exactly_once::{EventKey, Time, rules::Stored};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use hashbrown::HashMap;

use crate::value;

/// Why a journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store failed.
    #[error("the journal of the claim ledger failed")]
    Store(#[from] fjall::Error),
    /// The store holds something that no ledger wrote.
    #[error("the journal of the claim ledger holds an entry that no ledger wrote")]
    Strange,
}

pub(crate) struct Journal {
    database: Database,
    keys: Keyspace,
}

impl Journal {
    /// Opens the journal and reads what is not forgotten at `now`.
    pub(crate) fn open(folder: &Path, now: Time) -> Result<(Self, HashMap<EventKey, Stored>), JournalError> {
        let database = Database::builder(folder).worker_threads(1).open()?;
        let keys = database.keyspace("keys", KeyspaceCreateOptions::default)?;
        let mut map = HashMap::new();
        for entry in keys.iter() {
            let (key, bytes) = entry.into_inner()?;
            let key = EventKey::from_bytes(key.as_ref().try_into().map_err(|_| JournalError::Strange)?);
            let stored = decode(&bytes).ok_or(JournalError::Strange)?;
            if stored.until().is_none_or(|until| until > now) {
                map.insert(key, stored);
            }
        }
        Ok((Self { database, keys }, map))
    }

    /// Writes values, `None` for keys that are gone; when it returns, the system has them.
    pub(crate) fn write<'a>(
        &self,
        changes: impl Iterator<Item = (&'a EventKey, Option<&'a Stored>)>,
    ) -> Result<(), JournalError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (key, stored) in changes {
            match stored {
                Some(stored) => batch.insert(&self.keys, &key.as_bytes()[..], encode(stored)),
                None => batch.remove(&self.keys, &key.as_bytes()[..]),
            }
        }
        if !batch.is_empty() {
            batch.commit()?;
        }
        Ok(())
    }
}

fn encode(stored: &Stored) -> Vec<u8> {
    let until = stored.until().map_or(0, |until| until.since_start().as_millis() as u64);
    [&until.to_be_bytes()[..], &value::encode(stored)].concat()
}

fn decode(bytes: &[u8]) -> Option<Stored> {
    let (until, bytes) = bytes.split_first_chunk::<8>()?;
    value::decode(bytes, Time::new(Duration::from_millis(u64::from_be_bytes(*until))))
}
