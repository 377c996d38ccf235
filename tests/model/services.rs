//! What is outside the loaders, and what a call does there when it arrives.

use event::{Reason, Rejection};
use exactly_once::{
    AppendReply, BadRow, Claimed, EventKey, Input, NewState, Output, PayloadHash, State as KeyState, Swapped,
};

use crate::{
    ledger::{aged, strangers_claim},
    loader::{Flight, Stage, incarnation},
    recovery::Recovery,
    scenario::{Scenario, Slow, Weakness},
    state::{AGES_BEFORE_SUSPECT, NOW, State, index, key, name, stream_of},
};

/// How a call arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Manner {
    /// Claims that it finds are old.
    pub(crate) suspect: bool,
    /// Of a finalized stream that holds the offset, BigQuery says that the rows are there.
    pub(crate) already: bool,
    /// The old primary answers.
    pub(crate) stale: bool,
}

impl State {
    /// What a call does already when it is begun, where the protocol is weakened so.
    pub(crate) fn begin(&mut self, scenario: &Scenario, output: &Output) {
        if let Output::Swap { key, new: NewState::Rejecting { .. }, .. } = output
            && scenario.weakness == Weakness::DeadLetterFirst
        {
            self.dead_letters.insert(index(key) as u8);
        }
    }

    /// Whether the call waits at home: no stream is made while nobody knows the generation.
    pub(crate) fn is_held(&self, flight: &Flight) -> bool {
        let asked = flight.output == Output::CreateStream && flight.stage == Stage::Asked;
        asked && self.living(flight.from).is_some_and(|at| self.loaders[at].recovery.is_some())
    }

    /// The call arrives, or its reply does.
    pub(crate) fn arrive(&mut self, scenario: &Scenario, at: usize, manner: Manner) {
        let mut flight = self.flights.remove(at);
        if let Some(reply) = flight.take_reply() {
            self.reply(scenario, &flight, reply);
            return;
        }
        if flight.output == Output::CreateStream {
            self.create(scenario, flight);
            return;
        }
        let reply = self.carry_out(scenario, &mut flight, manner);
        let slow = match scenario.slow {
            Slow::None => false,
            Slow::Swaps => matches!(flight.output, Output::Swap { .. }),
            Slow::All => true,
        };
        if flight.awaited && slow {
            flight.replied(reply);
            self.flights.push(flight);
            self.sort_flights();
            return;
        }
        self.reply(scenario, &flight, reply);
    }

    /// The caller hears of its call, if it waits.
    fn reply(&mut self, scenario: &Scenario, flight: &Flight, reply: Input) {
        let Some(loader) = self.living(flight.from).filter(|_| flight.awaited) else { return };
        // A refusal in a generation that is over for the loader too tells it nothing.
        if matches!(reply, Input::EpochRefused { .. }) && self.loaders[loader].generation == flight.generation {
            self.loaders[loader].recovery.get_or_insert(Recovery::Survey);
        }
        self.feed(scenario, loader, NOW, reply);
    }

    fn carry_out(&mut self, scenario: &Scenario, flight: &mut Flight, manner: Manner) -> Input {
        let weakness = scenario.weakness;
        let ledger = usize::from(manner.stale);
        let age = if manner.suspect { AGES_BEFORE_SUSPECT } else { std::time::Duration::ZERO };
        match &flight.output {
            Output::Claim { call, wants, claim, generation } => {
                if scenario.guarded() && !self.ledgers[ledger].is_of(*generation) {
                    return Input::EpochRefused { call: *call };
                }
                let found = self.ledgers[ledger].claim(weakness, wants, claim);
                let results = found.into_iter().map(|claimed| match claimed {
                    Claimed::Found(state) => Claimed::Found(aged(state, age)),
                    Claimed::Won => Claimed::Won,
                });
                Input::Claimed { call: *call, results: results.collect() }
            }
            Output::Append { call, .. } => {
                let call = *call;
                Input::Appended { call, reply: self.append(scenario, &flight.output, manner.already) }
            }
            Output::Settle { call, claim, rows, window } => {
                Input::Settled { call: *call, results: self.ledgers[ledger].settle(claim, rows, *window) }
            }
            Output::Swap { call, key, expected, new, generation } => {
                if scenario.guarded() && !self.ledgers[ledger].is_of(*generation) {
                    return Input::EpochRefused { call: *call };
                }
                let rejecting = matches!(new, NewState::Rejecting { .. });
                let result = match weakness {
                    Weakness::RefusedKeepsClaim if rejecting => Swapped::Yes,
                    _ => self.ledgers[ledger].swap(key, expected, new),
                };
                let result = match result {
                    Swapped::No(state) => Swapped::No(state.map(|state| aged(state, age))),
                    Swapped::Yes => Swapped::Yes,
                };
                Input::Swapped { call: *call, key: *key, result }
            }
            Output::Fence { stream, own } => {
                let rows = self.fence(scenario, stream_of(stream), *own);
                Input::Fenced { stream: stream.clone(), rows }
            }
            Output::WriteDeadLetter { key, .. } => {
                let fenced = flight.generation <= self.dead_letters_fenced && scenario.guarded();
                if !fenced {
                    self.dead_letters.insert(index(key) as u8);
                }
                Input::DeadLettered { key: *key, written: !fenced }
            }
            Output::CreateStream | Output::Answer { .. } | Output::Forget { .. } | Output::Alarm(_) => Input::Tick,
        }
    }

    fn append(&mut self, scenario: &Scenario, append: &Output, already: bool) -> AppendReply {
        let Output::Append { stream: id, offset, rows, .. } = append else { return AppendReply::OutOfRange };
        let Some(stream) = self.streams.get(&stream_of(id)) else { return AppendReply::StreamClosed };
        let unordered = scenario.weakness == Weakness::NoOffset;
        let overtaken = scenario.weakness == Weakness::FinalizeOvertaken && !stream.dropped;
        let end = stream.rows.len() as i64;
        let closed = stream.dropped || (stream.finalized && !overtaken);
        if *offset < end && !unordered && (already || !closed) {
            return AppendReply::AlreadyExists;
        }
        if closed {
            return AppendReply::StreamClosed;
        }
        if *offset > end && !unordered {
            return AppendReply::OutOfRange;
        }
        let bad: Vec<BadRow> = rows
            .iter()
            .enumerate()
            .filter(|(_, key)| self.refused.contains(&scenario.event_of(index(key) as u8)))
            .map(|(index, _)| BadRow { index, rejection: Rejection::new(Reason::RowRejected, "") })
            .collect();
        if !bad.is_empty() {
            return AppendReply::BadRows(bad);
        }
        if self.claims_name(id, *offset, rows) {
            self.blame(scenario, "a key names a request that its event is not in");
        }
        let stream = self.streams.entry(stream_of(id)).or_default();
        stream.rows.extend(rows.iter().map(|key| index(key) as u8));
        AppendReply::Committed { offset: (!unordered).then_some(*offset) }
    }

    /// Finalizes a stream, as the protocol does or as it is weakened, and says how many rows it has.
    fn fence(&mut self, scenario: &Scenario, stream: u8, own: bool) -> i64 {
        let stream = self.streams.entry(stream).or_default();
        let length = stream.rows.len() as i64;
        let (finalizes, rows) = match scenario.weakness {
            Weakness::FenceSaysNothing if !own => (false, 0),
            Weakness::FenceSaysEverything if !own => (false, i64::MAX),
            Weakness::FenceOnlyReads if !own => (false, length),
            Weakness::DroppedMeansNothing if stream.dropped => (true, 0),
            Weakness::DroppedMeansEverything if stream.dropped => (true, i64::MAX),
            // Where BigQuery does not know the stream any more, the table's rows are counted.
            _ => (true, length),
        };
        stream.finalized |= finalizes;
        rows
    }

    /// A further step of a new write stream.
    fn create(&mut self, scenario: &Scenario, mut flight: Flight) {
        let Some(at) = self.living(flight.from) else { return };
        let registered = scenario.guarded() && scenario.weakness != Weakness::NoRegistry;
        let unread = scenario.weakness == Weakness::RegisteredUnread;
        let created = match flight.stage {
            Stage::Asked => {
                let loader = &mut self.loaders[at];
                flight.generation = loader.generation;
                let stream = loader.incarnation * 8 + loader.streams;
                loader.streams += 1;
                self.streams.insert(stream, Default::default());
                flight.stage = Stage::Created { stream };
                (!registered).then(|| Input::StreamCreated { stream: name(stream) })
            }
            Stage::Created { stream } => {
                self.streams.entry(stream).or_default().registered = Some(flight.generation);
                flight.stage = Stage::Registered { stream };
                None
            }
            Stage::Registered { stream } if self.registry.number == flight.generation || unread => {
                Some(Input::StreamCreated { stream: name(stream) })
            }
            Stage::Registered { .. } => {
                self.loaders[at].recovery.get_or_insert(Recovery::Survey);
                Some(Input::CreateFailed)
            }
        };
        match created {
            Some(input) => self.feed(scenario, at, NOW, input),
            None => {
                flight.rank();
                self.flights.push(flight);
                self.sort_flights();
            }
        }
    }

    /// The caller hears nothing, and the call may arrive later.
    pub(crate) fn lose(&mut self, scenario: &Scenario, at: usize, late: bool) {
        let Some(loader) = self.living(self.flights[at].from) else { return };
        let flight = &mut self.flights[at];
        let mut reply = crate::loader::unknown(&flight.output);
        match (scenario.weakness, &mut flight.output, &mut reply) {
            (Weakness::AmbiguousReused, Output::Append { .. }, Input::Appended { reply, .. }) => {
                let rejection = Rejection::new(Reason::RowRejected, "");
                *reply = AppendReply::BadRows(vec![BadRow { index: 0, rejection }]);
            }
            // The driver sends a copy and says nothing.
            (Weakness::RefusedWhileCopyFlies, Output::Append { .. }, _) => {
                let copy = flight.clone();
                flight.give_up();
                self.flights.push(copy);
                self.sort_flights();
                return;
            }
            (Weakness::UnknownClaimLeftOut, Output::Claim { call, wants, claim, .. }, reply) if wants.len() > 1 => {
                let rest = wants.split_off(1);
                let mut results = self.ledgers[0].claim(scenario.weakness, wants, claim);
                let (payload, age) = (PayloadHash::UNKNOWN, std::time::Duration::ZERO);
                let stranger = KeyState::Claimed { claim: strangers_claim(), payload, age };
                results.resize(rest.len() + 1, Claimed::Found(stranger));
                *reply = Input::Claimed { call: *call, results };
                *wants = rest;
            }
            _ => {}
        }
        match self.flights[at].reply {
            Some(_) => drop(self.flights.remove(at)),
            None => self.flights[at].give_up(),
        }
        let now = if late { NOW + crate::state::MOMENT } else { NOW };
        self.feed(scenario, loader, now, reply);
    }

    /// Whether a claim that this call would find may be looked at as an old one, and whether its owner lives.
    pub(crate) fn finds_claim_of(&self, flight: &Flight, ledger: usize) -> Option<u8> {
        let (keys, own): (Vec<&EventKey>, _) = match &flight.output {
            Output::Claim { wants, claim, .. } => (wants.iter().map(|want| &want.key).collect(), Some(claim)),
            Output::Swap { key, .. } => (vec![key], None),
            _ => return None,
        };
        let ledger = self.ledgers.get(ledger)?;
        ledger
            .claims()
            .filter(|(at, claim)| keys.contains(&&key(*at as u8)) && Some(*claim) != own)
            .map(|(_, claim)| incarnation(&claim.owner))
            .find(|owner| *owner != flight.from)
    }
}
