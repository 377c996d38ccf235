use std::fmt;

use catalog::TableName;
use event::EventId;
use sha2::{Digest, Sha256};

/// The name under which a ledger keeps an event of a table: 128 bits of SHA-256 over the table, its epoch and the event's
/// id. Producers choose ids, so the hash must be one for which nobody can make two ids meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey([u8; 16]);

impl EventKey {
    /// The key of the event `id` in `table`. `epoch` is the table's creation time, so that a table that was dropped and
    /// made again starts afresh.
    pub fn new(table: &TableName, epoch: i64, id: &EventId) -> Self {
        let hash = Sha256::new()
            .chain_update(b"pipas/event-key/1\0")
            .chain_update(&table.dataset)
            .chain_update(b"\0")
            .chain_update(&table.table)
            .chain_update(b"\0")
            .chain_update(epoch.to_be_bytes())
            .chain_update(id.as_str())
            .finalize();
        Self(first_bytes(&hash))
    }

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventKey({self})")
    }
}

/// What an event said, in 56 bits of SHA-256: tells a repetition from an id that was used for something else. With it goes how
/// often the event was redriven, so that a ledger's key tells which of an event's dead letters stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadHash(u64);

impl PayloadHash {
    /// The hash of an event of which nothing is known but its id.
    pub const UNKNOWN: Self = Self(0);

    /// The bits that are the hash; those above count redrives.
    const HASH: u64 = u64::MAX >> 8;

    /// The hash of an event's data; never [`Self::UNKNOWN`].
    pub fn of(data: &[u8]) -> Self {
        Self((u64::from_be_bytes(first_bytes(&Sha256::digest(data))) & Self::HASH).max(1))
    }

    /// The same event after so many redrives.
    pub const fn redriven(self, redrives: u8) -> Self {
        Self((self.0 & Self::HASH) | (redrives as u64) << 56)
    }

    /// How often the event was redriven.
    pub const fn redrives(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// Whether nothing is known of what the event said.
    pub const fn is_unknown(self) -> bool {
        self.0 & Self::HASH == 0
    }

    /// Whether both may be of the same event, however often it was redriven.
    pub const fn agrees(self, other: Self) -> bool {
        (self.0 ^ other.0) & Self::HASH == 0 || self.is_unknown() || other.is_unknown()
    }

    /// Whether this is the end of an earlier try of the event than `later`, which was redriven since.
    pub const fn gives_way_to(self, later: Self) -> bool {
        self.agrees(later) && self.redrives() < later.redrives()
    }

    /// What a row keeps of it; `None` where nothing is known.
    pub fn to_column(self) -> Option<i64> {
        (!self.is_unknown()).then(|| (self.0 & Self::HASH).cast_signed())
    }

    /// What a row kept of it.
    pub fn from_column(hash: i64) -> Self {
        Self(hash.cast_unsigned() & Self::HASH)
    }

    /// The hash with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The hash's bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

fn first_bytes<const N: usize>(hash: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| hash[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(dataset: &str, table: &str, epoch: i64, id: &str) -> EventKey {
        let table = TableName { dataset: dataset.into(), table: table.into() };
        EventKey::new(&table, epoch, &EventId::new(id).expect("an id"))
    }

    #[test]
    fn every_part_of_a_key_counts() {
        let base = key("shop", "orders", 7, "1");
        assert_eq!(base, key("shop", "orders", 7, "1"));
        for other in [
            key("shop", "orders", 7, "2"),
            key("shop", "orders", 8, "1"),
            key("shop", "order", 7, "s1"),
            key("sho", "porders", 7, "1"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_key_prints_as_hex() {
        assert_eq!(EventKey::from_bytes([0xab; 16]).to_string(), "ab".repeat(16));
    }

    #[test]
    fn payload_hashes_differ_by_content() {
        assert_eq!(PayloadHash::of(b"{}"), PayloadHash::of(b"{}"));
        assert_ne!(PayloadHash::of(b"{}"), PayloadHash::of(b"{ }"));
    }

    #[test]
    fn what_is_unknown_agrees_with_all() {
        let (one, other) = (PayloadHash::of(b"{}"), PayloadHash::of(b"{ }"));
        assert!(one.agrees(one) && one.agrees(PayloadHash::UNKNOWN) && PayloadHash::UNKNOWN.agrees(one));
        assert!(!one.agrees(other));
    }

    #[test]
    fn a_row_keeps_what_its_event_said() {
        let hash = PayloadHash::of(b"{}");
        assert_eq!(hash.redriven(3).to_column().map(PayloadHash::from_column), Some(hash));
        assert_eq!(PayloadHash::UNKNOWN.redriven(3).to_column(), None);
    }

    #[test]
    fn a_redriven_event_is_the_same_and_later() {
        let (one, other) = (PayloadHash::of(b"{}"), PayloadHash::of(b"{ }"));
        let again = one.redriven(3);
        assert_eq!((one.redrives(), again.redrives(), again.redriven(0)), (0, 3, one));
        assert!(one.agrees(again) && one.gives_way_to(again));
        assert!(!again.gives_way_to(one) && !again.gives_way_to(again) && !other.gives_way_to(again));
        assert!(PayloadHash::UNKNOWN.redriven(2).gives_way_to(again));
    }
}
