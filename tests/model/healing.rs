//! Liveness: from a state on, without further faults, what is delivered again and again is acked.

use exactly_once::Input;

use crate::{
    loader::digest,
    scenario::{Scenario, Weakness},
    services::Manner,
    state::{HOLD, NOW, State},
};

/// How many rounds are enough.
const ROUNDS: usize = 100;
/// How often the deliveries that wait run out of time: an odd number, so that the other loader has the next.
const HOLD_ROUNDS: usize = 11;

/// Whether this state is one of those that are healed.
pub(crate) fn is_sampled(scenario: &Scenario, state: &State) -> bool {
    if scenario.heal_one_in < 2 {
        return scenario.heal_one_in == 1;
    }
    digest(state).is_multiple_of(scenario.heal_one_in)
}

/// Runs a fair schedule without faults: all that is on its way arrives, recoveries go on, timers fire, what is not acked is
/// delivered, and only the dead are suspected.
pub(crate) fn heals(scenario: &Scenario, state: &State) -> bool {
    heal(scenario, &mut state.clone(), |_, _| {})
}

/// The same; `seen` sees the world after each round.
pub(crate) fn heal(scenario: &Scenario, state: &mut State, mut seen: impl FnMut(usize, &State)) -> bool {
    state.ledgers.truncate(1);
    state.left.recoveries = u8::MAX;
    for round in 1..=ROUNDS {
        seen(round, state);
        state.heal_calls(scenario);
        for loader in 0..2 {
            while state.loaders[loader].recovery.is_some() {
                state.recover(scenario, loader, false);
            }
            if state.loaders[loader].writer.wake_at().is_some_and(|at| at <= NOW) {
                state.feed(scenario, loader, NOW, Input::Tick);
            }
        }
        if state.fault.is_some() {
            return false;
        }
        if state.messages.iter().all(|message| message.acked) && state.flights.is_empty() {
            return true;
        }
        for message in 0..state.messages.len() {
            let loader = (round + message) % 2;
            let open = !state.messages[message].acked && state.messages[message].waiting.is_empty();
            if open && !state.loaders[loader].stopping {
                state.deliver(scenario, message, loader);
            }
        }
        if round % HOLD_ROUNDS == 0 {
            (0..2).for_each(|loader| state.feed(scenario, loader, NOW + HOLD, Input::Tick));
        }
    }
    false
}

impl State {
    /// Everything that is on its way arrives once.
    fn heal_calls(&mut self, scenario: &Scenario) {
        for flight in self.flights.clone() {
            let Some(at) = self.flights.iter().position(|other| other.rank == flight.rank) else { continue };
            if self.is_held(&flight) {
                continue;
            }
            let owner = self.finds_claim_of(&flight, 0);
            let dead = owner.is_some_and(|owner| self.living(owner).is_none());
            let suspect = dead && scenario.weakness != Weakness::NeverSuspects;
            self.arrive(scenario, at, Manner { suspect, ..Manner::default() });
        }
    }
}
