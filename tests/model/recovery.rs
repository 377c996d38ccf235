//! A ledger that is of another generation is made whole again, step by step; anything can happen between two steps.

use std::collections::BTreeSet;

use exactly_once::{Input, PayloadHash, Restored};

use crate::{
    ledger::Adopted,
    scenario::{Scenario, Weakness},
    state::{NOW, State, key, stream_of},
};

/// The registry's generation: which it is, for which ledger it was raised, and whether that one is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Registry {
    pub(crate) number: u8,
    pub(crate) identity: u8,
    pub(crate) open: bool,
}

/// How far a recovery is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Recovery {
    /// The ledger's identity is to be read.
    Survey,
    /// The registry's generation is to be raised, unless the ledger is of it, or it was raised for this ledger already.
    Raise { identity: u8, adopted: Adopted },
    /// The streams of all generations before this one are to be finalized.
    Fence { identity: u8, generation: u8 },
    /// Rows and dead letters, as they were read, are to be told to the ledger.
    Restore { identity: u8, generation: u8, rows: BTreeSet<u8>, dead_letters: BTreeSet<u8> },
    /// The ledger is whole; of those who made it so, one opens the generation.
    Open { identity: u8, generation: u8 },
    /// The ledger is to know its generation.
    Adopt { identity: u8, generation: u8 },
}

impl Recovery {
    /// Whether the step asks the ledger, so that a stale one may answer.
    pub(crate) fn asks_ledger(&self, weakness: Weakness) -> bool {
        match self {
            Self::Survey | Self::Restore { .. } | Self::Adopt { .. } => true,
            Self::Fence { .. } => weakness == Weakness::NoRegistry,
            Self::Raise { .. } | Self::Open { .. } => false,
        }
    }
}

impl State {
    /// Whether the step can be made.
    pub(crate) fn can_recover(&self, recovery: &Recovery) -> bool {
        match recovery {
            Recovery::Raise { identity, adopted } => {
                self.left.recoveries > 0 || self.is_whole(*identity, *adopted) || self.is_raised_for(*identity)
            }
            _ => true,
        }
    }

    fn is_whole(&self, identity: u8, adopted: Adopted) -> bool {
        adopted == (identity, self.registry.number)
    }

    fn is_raised_for(&self, identity: u8) -> bool {
        self.registry.identity == identity && !self.registry.open
    }

    pub(crate) fn recover(&mut self, scenario: &Scenario, at: usize, stale: bool) {
        let ledger = usize::from(stale);
        let Some(recovery) = self.loaders[at].recovery.take() else { return };
        let next = match recovery {
            Recovery::Survey => {
                let ledger = &self.ledgers[ledger];
                Some(Recovery::Raise { identity: ledger.identity, adopted: ledger.adopted })
            }
            Recovery::Raise { identity, adopted } if self.is_whole(identity, adopted) => {
                self.recovered(scenario, at, self.registry.number);
                None
            }
            Recovery::Raise { identity, .. } => {
                if !self.is_raised_for(identity) {
                    self.left.recoveries -= 1;
                    self.registry = Registry { number: self.registry.number + 1, identity, open: false };
                }
                Some(Recovery::Fence { identity, generation: self.registry.number })
            }
            Recovery::Fence { identity, generation } => Some(self.fence_next(scenario, ledger, identity, generation)),
            Recovery::Restore { identity, .. }
                if identity != self.ledgers[ledger].identity && scenario.weakness != Weakness::RestoreUnguarded =>
            {
                Some(Recovery::Survey)
            }
            Recovery::Restore { identity, generation, rows, dead_letters } => {
                let ledger = &mut self.ledgers[ledger];
                let payload = PayloadHash::UNKNOWN;
                if scenario.weakness != Weakness::LossNotRestored {
                    rows.into_iter().for_each(|row| ledger.restore(&key(row), Restored::Done { payload }));
                    let rejected = Restored::Rejected { payload };
                    dead_letters.into_iter().for_each(|letter| ledger.restore(&key(letter), rejected));
                }
                Some(Recovery::Open { identity, generation })
            }
            Recovery::Open { identity, generation } => {
                let ours = self.registry == Registry { number: generation, identity, open: false };
                self.registry.open |= ours;
                Some(if ours { Recovery::Adopt { identity, generation } } else { Recovery::Survey })
            }
            Recovery::Adopt { identity, generation } => match self.ledgers[ledger].adopt(identity, generation) {
                true => {
                    self.recovered(scenario, at, generation);
                    None
                }
                false => Some(Recovery::Survey),
            },
        };
        self.loaders[at].recovery = next;
    }

    /// Finalizes one more stream; after the last, reads the tables.
    fn fence_next(&mut self, scenario: &Scenario, ledger: usize, identity: u8, generation: u8) -> Recovery {
        let named: BTreeSet<u8> =
            self.ledgers[ledger].claims().map(|(_, claim)| stream_of(&claim.write_stream)).collect();
        let open = self.streams.iter_mut().find(|(id, stream)| {
            let listed = match scenario.weakness {
                Weakness::LossUnfenced => false,
                Weakness::NoRegistry => named.contains(id),
                _ => stream.registered.is_some_and(|registered| registered < generation),
            };
            listed && !stream.finalized
        });
        if let Some((_, stream)) = open {
            stream.finalized = true;
            return Recovery::Fence { identity, generation };
        }
        if !matches!(scenario.weakness, Weakness::DeadLettersUnfenced | Weakness::LossUnfenced) {
            self.dead_letters_fenced = self.dead_letters_fenced.max(generation - 1);
        }
        let rows = self.streams.values().flat_map(|stream| stream.rows.iter().copied()).collect();
        Recovery::Restore { identity, generation, rows, dead_letters: self.dead_letters.clone() }
    }

    fn recovered(&mut self, scenario: &Scenario, at: usize, generation: u8) {
        self.loaders[at].generation = generation;
        self.feed(scenario, at, NOW, Input::Generation(u64::from(generation)));
    }
}
