//! The ledger: the rules of `exactly_once` at every key, the guard, and what a failover leaves of it.

use std::{collections::VecDeque, time::Duration};

use exactly_once::{
    Claim, Claimed, EventKey, Expected, NewState, Owner, PayloadHash, Restored, Settled, State, Swapped, Want,
    rules::{self, Stored},
};

use crate::{
    scenario::Weakness,
    state::{NOW, WINDOW, index},
};

/// The most writes that a failover forgets.
pub(crate) const TAIL: usize = 3;

/// The replication id and the generation that a ledger's data is known to be whole for.
pub(crate) type Adopted = (u8, u8);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    pub(crate) slots: Vec<Option<Stored>>,
    pub(crate) identity: u8,
    pub(crate) adopted: Adopted,
    /// What stood before the newest writes, the newest last.
    tail: VecDeque<Before>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Before {
    Slot(usize, Option<Stored>),
    Adopted(Adopted),
}

impl Ledger {
    pub(crate) fn new(keys: usize) -> Self {
        Self { slots: vec![None; keys], identity: 0, adopted: (0, 1), tail: VecDeque::new() }
    }

    /// Whether a call of this generation may touch anything.
    pub(crate) fn is_of(&self, generation: u64) -> bool {
        self.adopted == (self.identity, generation as u8)
    }

    pub(crate) fn claim(&mut self, weakness: Weakness, wants: &[Want], claim: &Claim) -> Vec<Claimed> {
        let claimed = wants.iter().enumerate().map(|(at, want)| {
            let mut claim = claim.clone();
            if weakness == Weakness::OffsetsOfRows {
                claim.base_offset += at as i64;
            }
            self.write(&want.key, |slot| match (weakness, &want.instead_of) {
                (Weakness::NoClaim, _) => match slot {
                    None | Some(Stored::Claimed { .. }) => Claimed::Won,
                    Some(stored) => Claimed::Found(stored.state(NOW)),
                },
                (Weakness::TakeOverWithoutCompare, Some(_)) => {
                    *slot = Some(Stored::Claimed { claim: claim.clone(), payload: want.payload, at: NOW });
                    Claimed::Won
                }
                _ => rules::claim(slot, NOW, &claim, want),
            })
        });
        claimed.collect()
    }

    pub(crate) fn settle(&mut self, claim: &Claim, rows: &[(EventKey, PayloadHash)], window: Duration) -> Vec<Settled> {
        let settled =
            rows.iter().map(|(key, payload)| self.write(key, |slot| rules::settle(slot, NOW, claim, *payload, window)));
        settled.collect()
    }

    pub(crate) fn swap(&mut self, key: &EventKey, expected: &Expected, new: &NewState) -> Swapped {
        self.write(key, |slot| rules::swap(slot, NOW, expected, new))
    }

    pub(crate) fn restore(&mut self, key: &EventKey, restored: Restored) {
        self.write(key, |slot| rules::restore(slot, NOW, restored, WINDOW, NOW));
    }

    /// The data is whole for this generation, unless another ledger stands here than was surveyed.
    pub(crate) fn adopt(&mut self, identity: u8, generation: u8) -> bool {
        let may = self.identity == identity && self.adopted.1 <= generation;
        if may {
            self.remember(Before::Adopted(self.adopted));
            self.adopted = (identity, generation);
        }
        may
    }

    /// How many writes a failover can forget.
    pub(crate) fn forgettable(&self) -> usize {
        self.tail.len()
    }

    /// The newest `writes` never happened; who notices sees another identity.
    pub(crate) fn fail_over(&mut self, writes: usize, noticed: bool) {
        for _ in 0..writes {
            match self.tail.pop_back() {
                Some(Before::Slot(at, stored)) => self.slots[at] = stored,
                Some(Before::Adopted(adopted)) => self.adopted = adopted,
                None => {}
            }
        }
        self.identity += u8::from(noticed);
        self.tail.clear();
    }

    /// No failover can come any more: what stood before does not matter.
    pub(crate) fn forget_tail(&mut self) {
        self.tail.clear();
    }

    /// Every claim that stands, and its key.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (usize, &Claim)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| match slot {
            Some(Stored::Claimed { claim, .. }) => Some((at, claim)),
            _ => None,
        })
    }

    fn write<T>(&mut self, key: &EventKey, change: impl FnOnce(&mut Option<Stored>) -> T) -> T {
        let at = index(key);
        let before = self.slots[at].clone();
        let result = change(&mut self.slots[at]);
        if before != self.slots[at] {
            self.remember(Before::Slot(at, before));
        }
        result
    }

    fn remember(&mut self, before: Before) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(before);
    }
}

/// What callers are told of a claim, with the age that time would have given it.
pub(crate) fn aged(state: State, age: Duration) -> State {
    match state {
        State::Claimed { claim, payload, .. } => State::Claimed { claim, payload, age },
        other => other,
    }
}

/// A claim of somebody that nobody knows.
pub(crate) fn strangers_claim() -> Claim {
    Claim { owner: Owner::from_bytes([0xff; 16]), write_stream: "s255".into(), base_offset: 0 }
}
