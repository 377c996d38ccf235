//! The journal of an in-process ledger: every key's value, and which ledger it is, in an embedded store.

use std::{path::Path, time::Duration};

use exactly_once::{EventKey, Time, rules::Stored};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use hashbrown::HashMap;

use crate::{Adopted, value};

const IDENTITY: &str = "identity";
const ADOPTED: &str = "adopted";
const BEAT: &str = "beat";

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
    standing: Keyspace,
}

/// What a journal held when it was opened.
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) keys: HashMap<EventKey, Stored>,
    /// What a journal gets when it is made, and loses with its folder.
    pub(crate) identity: String,
    pub(crate) adopted: Option<Adopted>,
    pub(crate) beat: Option<Time>,
}

impl Journal {
    /// Opens the journal and reads what is not forgotten at `now`. One that is new is given the identity `new`.
    pub(crate) fn open(folder: &Path, now: Time, new: String) -> Result<Opened, JournalError> {
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
        let standing = database.keyspace("standing", KeyspaceCreateOptions::default)?;
        let text = |name| match standing.get(name)? {
            Some(bytes) => String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| JournalError::Strange),
            None => Ok(None),
        };
        let (identity, adopted, beat) = (text(IDENTITY)?, text(ADOPTED)?, text(BEAT)?);
        let journal = Self { database, keys, standing: standing.clone() };
        let identity = match identity {
            Some(identity) => identity,
            None => journal.note(IDENTITY, &new).map(|()| new)?,
        };
        let adopted = adopted.map(|adopted| {
            let (identity, generation) = adopted.split_once(' ').ok_or(JournalError::Strange)?;
            let generation = generation.parse().map_err(|_| JournalError::Strange)?;
            Ok::<_, JournalError>(Adopted { identity: identity.to_owned(), generation })
        });
        let beat = beat.map(|millis| millis.parse().map_err(|_| JournalError::Strange)).transpose()?;
        Ok(Opened {
            journal,
            keys: map,
            identity,
            adopted: adopted.transpose()?,
            beat: beat.map(|millis| Time::new(Duration::from_millis(millis))),
        })
    }

    /// Writes what the ledger was adopted for.
    pub(crate) fn adopt(&self, adopted: &Adopted) -> Result<(), JournalError> {
        self.note(ADOPTED, &format!("{} {}", adopted.identity, adopted.generation))
    }

    /// Writes that the ledger was written to at `now`.
    pub(crate) fn beat(&self, now: Time) -> Result<(), JournalError> {
        self.note(BEAT, &now.since_start().as_millis().to_string())
    }

    fn note(&self, name: &str, text: &str) -> Result<(), JournalError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        batch.insert(&self.standing, name, text);
        Ok(batch.commit()?)
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
