//! One state of the world: two loaders, what is on its way, and the services. What happens in it is in `action` and `services`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use event::{Reason, Rejection};
use exactly_once::{
    Alarm, Answer, DeliveryId, EventKey, Input, Numbers, Offer, Output, PayloadHash, Time, Verdict, rules::Stored,
};

use crate::{
    ledger::Ledger,
    loader::{Flight, Loader, call_of, digest, request_of},
    recovery::Registry,
    scenario::{Faults, Scenario, Weakness},
};

/// Time stands still, but for what a step says: a limit that passes, a delivery whose time is over. Ages are the ledger's word.
pub(crate) const NOW: Time = Time::new(Duration::from_secs(1_000));
/// How long a delivery waits.
pub(crate) const HOLD: Duration = Duration::from_secs(100);
/// Enough for a resend's limit to pass, and for no delivery to end.
pub(crate) const MOMENT: Duration = Duration::from_secs(1);
/// The age from which on a claim is suspected. Claims are younger, or older, as the step says.
pub(crate) const AGES_BEFORE_SUSPECT: Duration = Duration::from_secs(10_000);
/// How long settled keys are kept: for ever, here.
pub(crate) const WINDOW: Duration = Duration::from_secs(1_000_000);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) loaders: [Loader; 2],
    pub(crate) flights: Vec<Flight>,
    pub(crate) streams: BTreeMap<u8, WriteStream>,
    /// The ledger, and the one before it where it still answers.
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) registry: Registry,
    pub(crate) dead_letters: BTreeSet<u8>,
    /// The streams of dead letters of this generation, and of those before it, are fenced.
    pub(crate) dead_letters_fenced: u8,
    /// The events that the table refuses.
    pub(crate) refused: BTreeSet<u8>,
    pub(crate) messages: Vec<Message>,
    /// The faults that may still happen.
    pub(crate) left: Faults,
    /// What happened that must not.
    pub(crate) fault: Option<&'static str>,
}

/// A message, and the deliveries of it that have no answer: who has them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Message {
    pub(crate) acked: bool,
    pub(crate) waiting: BTreeSet<(u8, DeliveryId)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct WriteStream {
    pub(crate) rows: Vec<u8>,
    pub(crate) finalized: bool,
    /// BigQuery dropped it; its rows stand.
    pub(crate) dropped: bool,
    /// The generation that it is registered under.
    pub(crate) registered: Option<u8>,
}

impl State {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let generation = u8::from(scenario.guarded());
        let keys = scenario.messages.len().max(scenario.events());
        Self {
            loaders: [1, 2].map(|incarnation| Loader::boot(scenario, incarnation, generation)),
            flights: Vec::new(),
            streams: BTreeMap::new(),
            ledgers: vec![Ledger::new(keys)],
            registry: Registry { number: generation, identity: 0, open: true },
            dead_letters: BTreeSet::new(),
            dead_letters_fenced: 0,
            refused: scenario.refused.iter().copied().filter(|_| scenario.refused_by.is_none()).collect(),
            messages: vec![Message::default(); scenario.messages.len()],
            left: scenario.faults,
            fault: None,
        }
    }

    pub(crate) fn rows_of(&self, scenario: &Scenario, event: u8) -> usize {
        let rows = self.streams.values().flat_map(|stream| &stream.rows);
        rows.filter(|key| scenario.event_of(**key) == event).count()
    }

    pub(crate) fn is_dead_letter(&self, scenario: &Scenario, event: u8) -> bool {
        self.dead_letters.iter().any(|key| scenario.event_of(*key) == event)
    }

    /// The loader of this incarnation, if it lives.
    pub(crate) fn living(&self, incarnation: u8) -> Option<usize> {
        self.loaders.iter().position(|loader| loader.incarnation == incarnation)
    }

    pub(crate) fn deliver(&mut self, scenario: &Scenario, message: usize, at: usize) {
        let incarnation = self.loaders[at].incarnation;
        let waiting = &mut self.messages[message].waiting;
        let number = (0..).map(|copy| DeliveryId(message as u64 * 8 + copy));
        let Some(delivery) = number.into_iter().find(|number| !waiting.contains(&(incarnation, *number))) else {
            return;
        };
        waiting.insert((incarnation, delivery));
        if scenario.weakness == Weakness::AckFirst {
            self.messages[message].acked = true;
        }
        let event = scenario.key_of(message);
        let payload = payload(scenario.event_of(event));
        let refuses = scenario.refused_by == Some(at) && scenario.refused.contains(&scenario.event_of(event));
        let verdict = match refuses {
            true => Verdict::Reject(Rejection::new(Reason::TypeMismatch, "")),
            false => Verdict::Row,
        };
        let offer = Offer { delivery, key: key(event), payload, size: 10, schema: 0, verdict };
        self.feed(scenario, at, NOW, Input::Offer(offer));
    }

    /// Gives a loader's writer an input, and takes what it says.
    pub(crate) fn feed(&mut self, scenario: &Scenario, at: usize, now: Time, input: Input) {
        let (incarnation, generation) = (self.loaders[at].incarnation, self.loaders[at].generation);
        for output in Arc::make_mut(&mut self.loaders[at].writer).handle(now, input) {
            match output {
                Output::Answer { delivery, answer } => self.answered(scenario, incarnation, delivery, answer),
                Output::Forget { .. } => {}
                // A settled row's key may still have the claim that a failover brought back.
                Output::Alarm(Alarm::Contradicted { .. }) if scenario.faults.losses > 0 => {}
                Output::Alarm(_) => self.blame(scenario, "an alarm went off"),
                output => {
                    if let Output::Append { .. } = output {
                        self.check_freeze(scenario, &output);
                    }
                    self.begin(scenario, &output);
                    self.flights.push(Flight::new(incarnation, generation, output));
                }
            }
        }
        let loader = &self.loaders[at];
        if loader.stopping && loader.writer.is_finished() {
            if self.messages.iter().any(|message| message.waiting.iter().any(|(who, _)| *who == incarnation)) {
                self.blame(scenario, "a loader that stopped left a delivery without an answer");
            }
            self.replace(scenario, at);
        }
        self.normalize(at, now);
    }

    fn answered(&mut self, scenario: &Scenario, incarnation: u8, delivery: DeliveryId, answer: Answer) {
        let found = self.messages.iter().position(|message| message.waiting.contains(&(incarnation, delivery)));
        let Some(at) = found else {
            self.blame(scenario, "an answer to a delivery that does not wait");
            return;
        };
        self.messages[at].waiting.remove(&(incarnation, delivery));
        if matches!(answer, Answer::Retry(_)) {
            return;
        }
        self.messages[at].acked = true;
        let event = scenario.messages[at];
        let (rows, dead) = (self.rows_of(scenario, event), self.is_dead_letter(scenario, event));
        let holds = match answer {
            Answer::Written => (rows, dead) == (1, false),
            Answer::DeadLettered => (rows, dead) == (0, true),
            Answer::Duplicate => (rows, dead) == (1, false) || (rows, dead) == (0, true),
            Answer::Conflict | Answer::Retry(_) => false,
        };
        if !holds {
            self.blame(scenario, "an answer that is not true");
        }
    }

    /// The loader is gone, and another starts in its place.
    pub(crate) fn replace(&mut self, scenario: &Scenario, at: usize) {
        let gone = self.loaders[at].incarnation;
        for message in &mut self.messages {
            message.waiting.retain(|(who, _)| *who != gone);
        }
        let ends = |flight: &Flight| flight.output == Output::CreateStream || flight.reply.is_some();
        self.flights.retain(|flight| flight.from != gone || !ends(flight));
        self.flights.iter_mut().filter(|flight| flight.from == gone).for_each(Flight::orphan);
        self.sort_flights();
        self.loaders[at] = Loader::boot(scenario, gone + 2, self.registry.number);
    }

    /// At most one byte string at an offset, unless each earlier copy was refused for certain.
    fn check_freeze(&mut self, scenario: &Scenario, output: &Output) {
        let Output::Append { request, stream, offset, rows, .. } = output else { return };
        let other = self.flights.iter().any(|flight| match &flight.output {
            Output::Append { request: earlier, stream: same, offset: at, rows: others, .. } => {
                (same, at) == (stream, offset) && (earlier, others) != (request, rows)
            }
            _ => false,
        });
        if other {
            self.blame(scenario, "two byte strings at one offset");
        }
    }

    /// Something that must never happen; a weakened protocol is only blamed for the harm that comes of it.
    pub(crate) fn blame(&mut self, scenario: &Scenario, fault: &'static str) {
        if scenario.weakness == Weakness::None {
            self.fault.get_or_insert(fault);
        }
    }

    pub(crate) fn sort_flights(&mut self) {
        self.flights.sort_by_key(Flight::order);
    }

    /// Makes states equal that differ only by how many calls were made, and in which order.
    fn normalize(&mut self, at: usize, now: Time) {
        if self.left.losses == 0 {
            self.ledgers.iter_mut().for_each(Ledger::forget_tail);
        }
        self.sort_flights();
        let loader = &mut self.loaders[at];
        let mut numbers = Numbers::new();
        let own = |flight: &&mut Flight| flight.from == loader.incarnation;
        for flight in self.flights.iter_mut().filter(own) {
            let awaited = flight.awaited;
            if let Some(call) = call_of(&mut flight.output).filter(|_| awaited) {
                call.0 = number(&mut numbers, call.0);
            }
            if let Some(request) = request_of(&mut flight.output) {
                request.0 = number(&mut numbers, request.0);
            }
        }
        let time = |time| if time <= now { NOW } else { NOW + HOLD };
        Arc::make_mut(&mut loader.writer).normalize(&mut numbers, time);
        loader.digest = digest(&loader.writer);
    }

    /// Whether a key names this request whose event is not in it.
    pub(crate) fn claims_name(&self, stream: &str, offset: i64, rows: &[EventKey]) -> bool {
        self.ledgers[0].slots.iter().enumerate().any(|(at, slot)| match slot {
            Some(Stored::Claimed { claim, .. }) => {
                *claim.write_stream == *stream && claim.base_offset == offset && !rows.contains(&key(at as u8))
            }
            _ => false,
        })
    }
}

fn number(numbers: &mut Numbers, old: u64) -> u64 {
    let next = numbers.len() as u64 + 1;
    *numbers.entry(old).or_insert(next)
}

/// The event's key.
pub(crate) fn key(event: u8) -> EventKey {
    EventKey::from_bytes([event; 16])
}

/// The event of a key.
pub(crate) fn index(key: &EventKey) -> usize {
    usize::from(key.as_bytes()[0])
}

pub(crate) fn payload(event: u8) -> PayloadHash {
    PayloadHash::from_bits(u64::from(event) + 1)
}

/// The short id of a write stream.
pub(crate) fn name(stream: u8) -> Arc<str> {
    static NAMES: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| (0..=255).map(|at| format!("s{at}").into()).collect());
    NAMES[usize::from(stream)].clone()
}

/// The number of a write stream.
pub(crate) fn stream_of(name: &str) -> u8 {
    name.trim_start_matches('s').parse().expect("a stream's number")
}
