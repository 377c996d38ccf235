//! Every key: path, value, presence, meaning, example.

mod catalog;
mod stream;
mod table;

use super::{Key, Kind, Presence};

/// Every key, in the order in which people read of them.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    [stream::STREAM, table::TABLE, catalog::CATALOG].into_iter().flatten()
}

const fn key(path: &'static str, kind: Kind, presence: Presence, meaning: &'static str, example: &'static str) -> Key {
    Key { path, kind, presence, meaning, example }
}
