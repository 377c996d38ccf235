//! What is outside the loaders: BigQuery's write streams, the ledger, the dead letters. They change only here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use event::{Reason, Rejection};
use exactly_once::{
    AppendReply, BadRow, Claim, Claimed, EventKey, Expected, NewState, PayloadHash, RequestId, Settled, Swapped, Time,
    Want,
    rules::{self, Stored},
};
use rand::{Rng, rngs::StdRng, seq::IteratorRandom};

use crate::world::Weakness;

#[derive(Default)]
struct WriteStream {
    rows: Vec<(EventKey, PayloadHash)>,
    finalized: bool,
}

/// One append as it travels.
pub(crate) struct Append {
    pub(crate) request: (u64, RequestId),
    pub(crate) stream: Arc<str>,
    pub(crate) offset: i64,
    pub(crate) rows: Vec<EventKey>,
    /// What the rows say.
    pub(crate) payloads: Vec<PayloadHash>,
}

/// A dead letter: its event, how often that was redriven before, and what it said.
type Letter = (EventKey, u8, PayloadHash);

pub(crate) struct Services {
    pub(crate) weakness: Weakness,
    streams: BTreeMap<Arc<str>, WriteStream>,
    ledger: BTreeMap<EventKey, Option<Stored>>,
    dead_letters: BTreeSet<Letter>,
    /// The dead letters that were published again.
    redriven: BTreeSet<Letter>,
    /// The events that the table refuses for now.
    pub(crate) refused: BTreeSet<EventKey>,
    frozen: BTreeMap<(u64, RequestId), Vec<EventKey>>,
    created: usize,
}

impl Services {
    pub(crate) fn new(weakness: Weakness) -> Self {
        Self {
            weakness,
            streams: BTreeMap::new(),
            ledger: BTreeMap::new(),
            dead_letters: BTreeSet::new(),
            redriven: BTreeSet::new(),
            refused: BTreeSet::new(),
            frozen: BTreeMap::new(),
            created: 0,
        }
    }

    pub(crate) fn rows_of(&self, key: &EventKey) -> usize {
        self.streams.values().flat_map(|stream| &stream.rows).filter(|(row, _)| row == key).count()
    }

    /// Whether a row, or a dead letter, of the event says this.
    pub(crate) fn says(&self, key: &EventKey, payload: PayloadHash) -> bool {
        let rows = self.streams.values().flat_map(|stream| &stream.rows);
        let letters = self.dead_letters.iter().map(|(key, _, says)| (key, says));
        rows.map(|(key, says)| (key, says)).chain(letters).any(|(found, says)| found == key && says.agrees(payload))
    }

    /// Whether this try of the event, or a later one, ended as a dead letter.
    pub(crate) fn is_dead_letter(&self, key: &EventKey, redrives: u8) -> bool {
        self.dead_letters.iter().any(|(found, number, _)| found == key && *number >= redrives)
    }

    /// The event's dead letters that were not published again.
    pub(crate) fn open_dead_letters(&self, key: &EventKey) -> usize {
        let all = self.dead_letters.iter().filter(|(found, ..)| found == key);
        all.filter(|letter| !self.redriven.contains(*letter)).count()
    }

    /// A dead letter to publish again, perhaps not for the first time: the event as its next try.
    pub(crate) fn redrive(&mut self, rng: &mut StdRng) -> Option<(EventKey, PayloadHash)> {
        let few = self.dead_letters.iter().filter(|(_, redrives, _)| *redrives < 3);
        let (key, redrives, payload) = *few.choose(rng)?;
        self.redriven.insert((key, redrives, payload));
        Some((key, payload.redriven(redrives + 1)))
    }

    /// Everything that must hold at any time.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rows: Vec<&EventKey> = self.streams.values().flat_map(|stream| &stream.rows).map(|(key, _)| key).collect();
        let events: BTreeSet<&EventKey> = rows.iter().copied().collect();
        if events.len() < rows.len() {
            return Err("an event is two rows".into());
        }
        let mut open = self.dead_letters.iter().filter(|letter| !self.redriven.contains(*letter));
        match open.find(|(key, ..)| events.contains(key)) {
            Some((key, redrives, _)) => Err(format!("{key} is a row and a dead letter after {redrives} redrives")),
            None => Ok(()),
        }
    }

    pub(crate) fn create_stream(&mut self) -> Arc<str> {
        self.created += 1;
        let id: Arc<str> = format!("s{}", self.created).into();
        self.streams.insert(id.clone(), WriteStream::default());
        id
    }

    pub(crate) fn append(&mut self, append: &Append, rng: &mut StdRng, faults: bool) -> Result<AppendReply, String> {
        let frozen = self.frozen.entry(append.request).or_insert_with(|| append.rows.clone());
        if *frozen != append.rows {
            return Err(format!("request {:?} was sent with other rows", append.request));
        }
        let Some(stream) = self.streams.get(&append.stream) else { return Ok(AppendReply::StreamClosed) };
        let end = stream.rows.len() as i64;
        if append.offset < end {
            // Nothing says which of the two comes first where the stream is finalized too.
            let closed = stream.finalized && rng.random_bool(0.5);
            return Ok(if closed { AppendReply::StreamClosed } else { AppendReply::AlreadyExists });
        }
        if stream.finalized && !(self.weakness == Weakness::FenceLeaks && rng.random_bool(0.5)) {
            return Ok(AppendReply::StreamClosed);
        }
        if append.offset > end {
            return Err(format!("an append at {} of a stream of {end} rows", append.offset));
        }
        if faults {
            match rng.random_range(0..40) {
                0 => return Ok(AppendReply::Exhausted),
                1 => return Ok(AppendReply::SchemaLags),
                2 => return Ok(AppendReply::Refused("no reason".into())),
                3 => return Ok(AppendReply::Unknown),
                _ => {}
            }
        }
        let bad: Vec<BadRow> = append
            .rows
            .iter()
            .enumerate()
            .filter(|(_, key)| self.refused.contains(key))
            .map(|(index, _)| BadRow { index, rejection: Rejection::new(Reason::RowRejected, "refused") })
            .collect();
        if !bad.is_empty() {
            return Ok(AppendReply::BadRows(bad));
        }
        self.names_only(append)?;
        let stream = self.streams.get_mut(&append.stream).ok_or("the stream is there")?;
        stream.rows.extend(append.rows.iter().copied().zip(append.payloads.iter().copied()));
        self.check()?;
        Ok(AppendReply::Committed { offset: Some(append.offset) })
    }

    /// Claim equality: no key names this request whose event is not in it.
    fn names_only(&self, append: &Append) -> Result<(), String> {
        let stranger = self.ledger.iter().find(|(key, slot)| match slot {
            Some(Stored::Claimed { claim, .. }) => {
                claim.write_stream == append.stream && claim.base_offset == append.offset && !append.rows.contains(key)
            }
            _ => false,
        });
        match stranger {
            Some((key, _)) => Err(format!("{key} names a request that it is not in")),
            None => Ok(()),
        }
    }

    pub(crate) fn finalize(&mut self, stream: &str) -> i64 {
        let Some(stream) = self.streams.get_mut(stream) else { return 0 };
        stream.finalized = self.weakness != Weakness::SuspectsWithoutFence;
        match self.weakness {
            Weakness::FenceSaysNoRows => 0,
            Weakness::FenceSaysAllRows => i64::MAX,
            _ => stream.rows.len() as i64,
        }
    }

    pub(crate) fn claim(&mut self, now: Time, wants: &[Want], claim: &Claim) -> Vec<Claimed> {
        let claimed = wants.iter().map(|want| {
            let slot = self.ledger.entry(want.key).or_default();
            match (self.weakness, &want.instead_of) {
                (Weakness::SwapsDoNotCompare, Some(_)) => {
                    *slot = Some(Stored::Claimed { claim: claim.clone(), payload: want.payload, at: now });
                    Claimed::Won
                }
                (Weakness::PayloadsForgotten, _) => {
                    let want = Want { payload: PayloadHash::UNKNOWN, ..want.clone() };
                    rules::claim(slot, now, claim, &want)
                }
                _ => rules::claim(slot, now, claim, want),
            }
        });
        claimed.collect()
    }

    pub(crate) fn settle(
        &mut self,
        now: Time,
        claim: &Claim,
        rows: &[(EventKey, PayloadHash)],
        window: std::time::Duration,
    ) -> Vec<Settled> {
        let settled = rows.iter().map(|(key, payload)| {
            let slot = self.ledger.entry(*key).or_default();
            rules::settle(slot, now, claim, *payload, window)
        });
        settled.collect()
    }

    pub(crate) fn swap(&mut self, now: Time, key: EventKey, expected: &Expected, new: &NewState) -> Swapped {
        let new = match new {
            NewState::Rejecting { payload, rejection } if self.weakness == Weakness::NumbersForgotten => {
                &NewState::Rejecting { payload: payload.redriven(0), rejection: rejection.clone() }
            }
            new => new,
        };
        rules::swap(self.ledger.entry(key).or_default(), now, expected, new)
    }

    /// The newest writes of a ledger that failed over.
    pub(crate) fn forget_some(&mut self, rng: &mut StdRng) {
        for slot in self.ledger.values_mut() {
            if rng.random_bool(0.5) {
                *slot = None;
            }
        }
    }

    pub(crate) fn write_dead_letter(&mut self, key: EventKey, payload: PayloadHash) -> Result<(), String> {
        self.dead_letters.insert((key, payload.redrives(), payload.redriven(0)));
        self.check()
    }
}
