//! What can happen in a state, and the checker's view of it all.

use stateright::{Model, Property};

use crate::{
    scenario::{Scenario, Weakness},
    services::Manner,
    state::{HOLD, NOW, State},
};
use exactly_once::{Input, Output};

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A loader gets a message.
    Deliver { message: usize, loader: usize },
    /// A call arrives, and so does its reply.
    Arrive { flight: usize, manner: Manner },
    /// A caller hears nothing. `late`: it has tried for long enough.
    Lose { flight: usize, late: bool },
    /// A loader goes on by itself.
    Tick { loader: usize },
    /// The deliveries that wait in a loader have waited for too long.
    TimeOut { loader: usize },
    /// A loader dies.
    Crash { loader: usize },
    /// A loader gets SIGTERM.
    Stop { loader: usize },
    /// A further step of a recovery.
    Recover { loader: usize, stale: bool },
    /// BigQuery drops a dead loader's stream.
    Drop { stream: u8 },
    /// The table takes an event that it refused.
    Lift { event: u8 },
    /// The ledger fails over, and its newest writes are lost.
    FailOver { forgotten: usize },
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.fault.is_none() {
            self.deliveries(state, actions);
            self.calls(state, actions);
            self.loaders(state, actions);
            self.outside(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.step(self, action);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_TWO_ROWS, |scenario: &Self, state: &State| {
                (0..scenario.events() as u8).all(|event| state.rows_of(scenario, event) <= 1)
            }),
            Property::always(NEVER_BOTH, |scenario: &Self, state: &State| {
                let both = |event| state.rows_of(scenario, event) > 0 && state.is_dead_letter(scenario, event);
                !(0..scenario.events() as u8).any(both)
            }),
            Property::always(ACKED_IS_SOMEWHERE, |scenario: &Self, state: &State| {
                state.messages.iter().zip(scenario.messages).all(|(message, event)| {
                    !message.acked || state.rows_of(scenario, *event) > 0 || state.is_dead_letter(scenario, *event)
                })
            }),
            Property::always(NEVER_AT_FAULT, |_: &Self, state: &State| state.fault.is_none()),
            Property::sometimes(DONE, |scenario: &Self, state: &State| {
                let recovered = !scenario.guarded() || state.ledgers[0].adopted.1 > 1;
                recovered && state.flights.is_empty() && state.messages.iter().all(|message| message.acked)
            }),
            Property::always(NEVER_STUCK, |scenario: &Self, state: &State| {
                !crate::healing::is_sampled(scenario, state) || crate::healing::heals(scenario, state)
            }),
        ]
    }
}

pub(crate) const NEVER_TWO_ROWS: &str = "no event is two rows";
pub(crate) const NEVER_BOTH: &str = "no event is a row and a dead letter";
pub(crate) const ACKED_IS_SOMEWHERE: &str = "what is acked is a row or a dead letter";
pub(crate) const NEVER_AT_FAULT: &str = "bytes are frozen, claims name what they are in, answers are true, no alarm";
pub(crate) const DONE: &str = "all is acked, after a recovery where the ledger can fail over";
pub(crate) const NEVER_STUCK: &str = "what is delivered often enough is acked";

impl Scenario {
    fn deliveries(&self, state: &State, actions: &mut Vec<Action>) {
        let begun = state.loaders.iter().any(|loader| loader.is_touched() || loader.incarnation > 2);
        for (message, stands) in state.messages.iter().enumerate() {
            let again = stands.acked || !stands.waiting.is_empty();
            if again && (state.left.redeliveries == 0 || stands.waiting.len() > 1) {
                continue;
            }
            for (loader, receives) in state.loaders.iter().enumerate() {
                // Until something happened one loader is like the other.
                if !receives.stopping && (begun || loader == 0) {
                    actions.push(Action::Deliver { message, loader });
                }
            }
        }
    }

    fn calls(&self, state: &State, actions: &mut Vec<Action>) {
        for (flight, call) in state.flights.iter().enumerate() {
            let twin = flight > 0 && state.flights[flight - 1] == *call;
            if twin || state.is_held(call) {
                continue;
            }
            if call.reply.is_some() {
                actions.push(Action::Arrive { flight, manner: Manner::default() });
                if state.left.lost > 0 {
                    actions.push(Action::Lose { flight, late: false });
                }
                continue;
            }
            for stale in [false, true] {
                let asks_ledger =
                    matches!(call.output, Output::Claim { .. } | Output::Swap { .. } | Output::Settle { .. });
                if stale && !(asks_ledger && state.may_be_stale()) {
                    continue;
                }
                let owner = state.finds_claim_of(call, usize::from(stale)).filter(|_| call.awaited);
                let lives = owner.is_some_and(|owner| state.living(owner).is_some());
                // A dead owner's claim is young for a while, in which nothing else becomes of it.
                if owner.is_none() || lives {
                    actions.push(Action::Arrive { flight, manner: Manner { stale, ..Manner::default() } });
                }
                if owner.is_some() && (!lives || state.left.suspicions > 0) {
                    let manner = Manner { suspect: true, stale, ..Manner::default() };
                    actions.push(Action::Arrive { flight, manner });
                }
            }
            if let Output::Append { stream, offset, .. } = &call.output {
                let stream = state.streams.get(&crate::state::stream_of(stream));
                if stream.is_some_and(|stream| stream.finalized && *offset < stream.rows.len() as i64) {
                    let manner = Manner { already: true, ..Manner::default() };
                    actions.push(Action::Arrive { flight, manner });
                }
                if call.awaited && state.left.lost > 0 {
                    actions.push(Action::Lose { flight, late: true });
                }
            }
            if call.awaited && state.left.lost > 0 && call.output != Output::CreateStream {
                actions.push(Action::Lose { flight, late: false });
            }
        }
    }

    fn loaders(&self, state: &State, actions: &mut Vec<Action>) {
        for (loader, stands) in state.loaders.iter().enumerate() {
            if stands.writer.wake_at().is_some_and(|at| at <= NOW) {
                actions.push(Action::Tick { loader });
            }
            let waits =
                |message: &crate::state::Message| message.waiting.iter().any(|(who, _)| *who == stands.incarnation);
            if state.left.expiries > 0 && state.messages.iter().any(waits) {
                actions.push(Action::TimeOut { loader });
            }
            if state.left.crashes > 0 && stands.is_touched() {
                actions.push(Action::Crash { loader });
            }
            if state.left.stops > 0 && stands.is_touched() && !stands.stopping {
                actions.push(Action::Stop { loader });
            }
            if let Some(recovery) = stands.recovery.as_ref().filter(|recovery| state.can_recover(recovery)) {
                actions.push(Action::Recover { loader, stale: false });
                if state.may_be_stale() && recovery.asks_ledger(self.weakness) {
                    actions.push(Action::Recover { loader, stale: true });
                }
            }
        }
    }

    fn outside(&self, state: &State, actions: &mut Vec<Action>) {
        if state.left.dropped_streams > 0 {
            let orphans = state
                .streams
                .iter()
                .filter(|(id, stream)| !stream.finalized && !stream.dropped && state.living(**id / 8).is_none());
            actions.extend(orphans.map(|(id, _)| Action::Drop { stream: *id }));
        }
        if state.left.lifts > 0 {
            actions.extend(state.refused.iter().map(|event| Action::Lift { event: *event }));
        }
        if state.left.losses > 0 && !state.streams.is_empty() {
            actions.extend((0..=state.ledgers[0].forgettable()).map(|forgotten| Action::FailOver { forgotten }));
        }
    }
}

impl State {
    fn may_be_stale(&self) -> bool {
        self.ledgers.len() > 1 && self.left.stale_answers > 0
    }

    pub(crate) fn step(&mut self, scenario: &Scenario, action: Action) {
        match action {
            Action::Deliver { message, loader } => {
                if self.messages[message].acked || !self.messages[message].waiting.is_empty() {
                    self.left.redeliveries -= 1;
                }
                self.deliver(scenario, message, loader);
            }
            Action::Arrive { flight, manner } => {
                self.left.stale_answers -= u8::from(manner.stale);
                if manner.suspect {
                    let owner = self.finds_claim_of(&self.flights[flight], usize::from(manner.stale));
                    let lives = owner.is_some_and(|owner| self.living(owner).is_some());
                    self.left.suspicions -= u8::from(lives);
                }
                self.arrive(scenario, flight, manner);
            }
            Action::Lose { flight, late } => {
                self.left.lost -= 1;
                self.lose(scenario, flight, late);
            }
            Action::Tick { loader } => self.feed(scenario, loader, NOW, Input::Tick),
            Action::TimeOut { loader } => {
                self.left.expiries -= 1;
                self.feed(scenario, loader, NOW + HOLD, Input::Tick);
            }
            Action::Crash { loader } => {
                self.left.crashes -= 1;
                self.replace(scenario, loader);
            }
            Action::Stop { loader } => {
                self.left.stops -= 1;
                self.loaders[loader].stopping = true;
                self.feed(scenario, loader, NOW, Input::Stop);
            }
            Action::Recover { loader, stale } => {
                self.left.stale_answers -= u8::from(stale);
                self.recover(scenario, loader, stale);
            }
            Action::Drop { stream } => {
                self.left.dropped_streams -= 1;
                self.streams.entry(stream).or_default().dropped = true;
            }
            Action::Lift { event } => {
                self.left.lifts -= 1;
                self.refused.remove(&event);
            }
            Action::FailOver { forgotten } => {
                self.left.losses -= 1;
                let old = self.ledgers[0].clone();
                self.ledgers[0].fail_over(forgotten, scenario.weakness != Weakness::LossUndetected);
                if scenario.faults.stale_answers > 0 {
                    self.ledgers.truncate(1);
                    self.ledgers.push(old);
                }
            }
        }
        if self.left.losses == 0 {
            self.ledgers.iter_mut().for_each(crate::ledger::Ledger::forget_tail);
        }
    }
}
