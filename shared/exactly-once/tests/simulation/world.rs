//! The loaders, the messages, and what goes wrong between them.

use std::{collections::BTreeMap, time::Duration};

use event::{Reason, Rejection};
use exactly_once::{
    Alarm, Answer, CallId, DeliveryId, EventKey, Input, Limits, NewState, Offer, Output, Owner, PayloadHash, Time,
    Verdict, Writer,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::services::{Append, Services};

/// What is taken away from the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weakness {
    None,
    /// Finalized streams sometimes take rows.
    FenceLeaks,
    /// Take-over without looking: nothing was committed.
    FenceSaysNoRows,
    /// Take-over without looking: everything was committed.
    FenceSaysAllRows,
    /// The length is read, but the stream is not finalized.
    SuspectsWithoutFence,
    /// Take-over without compare-and-set.
    SwapsDoNotCompare,
    /// The ledger loses keys and nobody notices.
    LedgerForgets,
    /// The ledger does not keep which of an event's dead letters stands.
    NumbersForgotten,
    /// A claim does not keep what its event says.
    PayloadsForgotten,
}

/// What a run saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    written: usize,
    duplicate: usize,
    dead_lettered: usize,
    conflict: usize,
    retried: usize,
    crashes: usize,
    stops: usize,
    zombies: usize,
    foreign_fences: usize,
    take_overs: usize,
    bad_rows: usize,
    redriven: usize,
    reopened: usize,
}

impl Seen {
    pub(crate) fn add(&mut self, run: &Self) {
        self.written += run.written;
        self.duplicate += run.duplicate;
        self.dead_lettered += run.dead_lettered;
        self.conflict += run.conflict;
        self.retried += run.retried;
        self.crashes += run.crashes;
        self.stops += run.stops;
        self.zombies += run.zombies;
        self.foreign_fences += run.foreign_fences;
        self.take_overs += run.take_overs;
        self.bad_rows += run.bad_rows;
        self.redriven += run.redriven;
        self.reopened += run.reopened;
    }

    pub(crate) fn has_everything(&self) -> bool {
        [
            self.written,
            self.duplicate,
            self.dead_lettered,
            self.conflict,
            self.retried,
            self.crashes,
            self.stops,
            self.zombies,
            self.foreign_fences,
            self.take_overs,
            self.bad_rows,
            self.redriven,
            self.reopened,
        ]
        .iter()
        .all(|count| *count > 0)
    }
}

struct Loader {
    writer: Writer,
    /// What the events in hand say.
    hand: BTreeMap<EventKey, PayloadHash>,
    incarnation: u64,
    stopping: bool,
}

struct Message {
    key: EventKey,
    payload: PayloadHash,
    /// How likely a delivery finds that the event cannot be a row: schemas differ between instances for a while.
    rejected: f64,
    acked: bool,
    /// The deliveries without an answer, and who has them.
    outstanding: Vec<(DeliveryId, u64)>,
}

/// A call on its way.
struct Call {
    incarnation: u64,
    output: Output,
    /// What the events of an append, or of a dead letter, say.
    payloads: Vec<PayloadHash>,
    /// The caller was told that nobody knows: what is left of the call may still arrive.
    zombie: bool,
}

pub(crate) struct World {
    rng: StdRng,
    now: Time,
    faults: bool,
    services: Services,
    loaders: Vec<Loader>,
    messages: Vec<Message>,
    calls: Vec<Call>,
    incarnations: u64,
    deliveries: u64,
    seen: Seen,
}

impl World {
    pub(crate) fn new(seed: u64, weakness: Weakness) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut services = Services::new(weakness);
        let mut messages = Vec::new();
        for event in 0..rng.random_range(1..=5_u8) {
            let key = EventKey::from_bytes([event; 16]);
            let payload = PayloadHash::from_bits(u64::from(event) + 1);
            let rejected = if rng.random_bool(0.15) { rng.random_range(0.2..=1.0) } else { 0.0 };
            if rng.random_bool(0.15) {
                services.refused.insert(key);
            }
            for copy in 0..rng.random_range(1..=2_u64) {
                let conflicts = copy == 1 && rng.random_bool(0.2);
                let payload = if conflicts { PayloadHash::from_bits(u64::from(event) + 1001) } else { payload };
                messages.push(Message { key, payload, rejected, acked: false, outstanding: Vec::new() });
            }
        }
        let mut world = Self {
            rng,
            now: Time::START,
            faults: true,
            services,
            loaders: Vec::new(),
            messages,
            calls: Vec::new(),
            incarnations: 0,
            deliveries: 0,
            seen: Seen::default(),
        };
        for _ in 0..2 {
            let loader = world.boot();
            world.loaders.push(loader);
        }
        world
    }

    fn boot(&mut self) -> Loader {
        self.incarnations += 1;
        let limits = Limits {
            batch_rows: self.rng.random_range(1..=3),
            reuse_refused_offset: self.rng.random(),
            ..Limits::default()
        };
        let owner = Owner::from_bytes(u128::from(self.incarnations).to_be_bytes());
        Loader {
            writer: Writer::new(owner, limits),
            hand: BTreeMap::new(),
            incarnation: self.incarnations,
            stopping: false,
        }
    }

    /// Runs the world through its faults, then without any until every message is acked.
    pub(crate) fn run(mut self) -> Result<Seen, String> {
        let steps = self.rng.random_range(20..300);
        for _ in 0..steps {
            self.faulty_step()?;
        }
        self.faults = false;
        self.services.refused.clear();
        for _ in 0..20_000 {
            if self.messages.iter().all(|message| message.acked) {
                return self.finish();
            }
            self.calm_step()?;
        }
        Err("messages are never acked".into())
    }

    fn finish(mut self) -> Result<Seen, String> {
        // What is still on its way must change nothing any more.
        while let Some(call) = self.calls.pop() {
            self.carry_out(call)?;
        }
        for message in &self.messages {
            let rows = self.services.rows_of(&message.key);
            let open = self.services.open_dead_letters(&message.key);
            if rows + open != 1 {
                return Err(format!("{} was acked with {rows} rows and {open} open dead letters", message.key));
            }
        }
        Ok(self.seen)
    }

    fn faulty_step(&mut self) -> Result<(), String> {
        match self.rng.random_range(0..100) {
            0..25 => self.deliver(),
            25..80 => self.call_step(),
            80..94 => self.pass_time(),
            94 => self.crash(),
            96 => self.stop(),
            95 => {
                self.redrive();
                Ok(())
            }
            97 if self.services.weakness == Weakness::LedgerForgets => {
                self.services.forget_some(&mut self.rng);
                Ok(())
            }
            97 => {
                self.services.refused.pop_first();
                Ok(())
            }
            _ => self.pass_time(),
        }
    }

    fn calm_step(&mut self) -> Result<(), String> {
        if !self.calls.is_empty() {
            let at = self.rng.random_range(0..self.calls.len());
            let call = self.calls.swap_remove(at);
            return self.carry_out(call);
        }
        let open = self.messages.iter().any(|message| !message.acked && message.outstanding.is_empty());
        if open && self.rng.random_bool(0.5) {
            return self.deliver();
        }
        self.pass_time()
    }

    fn deliver(&mut self) -> Result<(), String> {
        let open: Vec<usize> = (0..self.messages.len())
            .filter(|at| {
                let message = &self.messages[*at];
                !message.acked && (message.outstanding.is_empty() || self.faults)
            })
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let message = open[self.rng.random_range(0..open.len())];
        let loader = self.rng.random_range(0..self.loaders.len());
        self.deliveries += 1;
        let delivery = DeliveryId(self.deliveries);
        let rejected = self.faults && self.rng.random_bool(self.messages[message].rejected);
        let verdict = match rejected {
            true => Verdict::Reject(Rejection::new(Reason::TypeMismatch, "no such row")),
            false => Verdict::Row,
        };
        let Message { key, payload, ref mut outstanding, .. } = self.messages[message];
        outstanding.push((delivery, self.loaders[loader].incarnation));
        if !self.loaders[loader].writer.contains(&key) {
            self.loaders[loader].hand.insert(key, payload);
        }
        self.feed(loader, Input::Offer(Offer { delivery, key, payload, size: 10, schema: 0, verdict }))
    }

    /// Publishes a dead letter again: the same event, whose next try may fail too.
    fn redrive(&mut self) {
        let Some((key, payload)) = self.services.redrive(&mut self.rng) else { return };
        let rejected = if self.rng.random_bool(0.5) { self.rng.random_range(0.2..=1.0) } else { 0.0 };
        self.messages.push(Message { key, payload, rejected, acked: false, outstanding: Vec::new() });
        self.seen.redriven += 1;
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let wake = self.loaders.iter().filter_map(|loader| loader.writer.wake_at()).min();
        let jump = match wake {
            Some(wake) if self.rng.random_bool(0.8) => wake.since(self.now),
            _ => Duration::from_millis(self.rng.random_range(1..30_000)),
        };
        self.now = self.now + jump;
        (0..self.loaders.len()).try_for_each(|loader| self.feed(loader, Input::Tick))
    }

    fn crash(&mut self) -> Result<(), String> {
        let at = self.rng.random_range(0..self.loaders.len());
        self.seen.crashes += 1;
        self.replace(at);
        Ok(())
    }

    fn replace(&mut self, at: usize) {
        let gone = self.loaders[at].incarnation;
        for message in &mut self.messages {
            message.outstanding.retain(|(_, incarnation)| *incarnation != gone);
        }
        for call in &mut self.calls {
            call.zombie |= call.incarnation == gone;
        }
        self.loaders[at] = self.boot();
    }

    fn stop(&mut self) -> Result<(), String> {
        let at = self.rng.random_range(0..self.loaders.len());
        if self.loaders[at].stopping {
            return Ok(());
        }
        self.loaders[at].stopping = true;
        self.seen.stops += 1;
        self.feed(at, Input::Stop)
    }

    fn call_step(&mut self) -> Result<(), String> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let at = self.rng.random_range(0..self.calls.len());
        match self.rng.random_range(0..10) {
            // Nobody knows, and the call may arrive later.
            0 => {
                if std::mem::replace(&mut self.calls[at].zombie, true) {
                    self.calls.swap_remove(at);
                    return Ok(());
                }
                self.seen.zombies += 1;
                let (incarnation, unknown) = (self.calls[at].incarnation, unknown(&self.calls[at].output));
                self.reply(incarnation, unknown)
            }
            // It arrived, and the reply was lost.
            1 => {
                let call = self.calls.swap_remove(at);
                let (incarnation, unknown) = (call.incarnation, unknown(&call.output));
                let zombie = call.zombie;
                self.carry_out(Call { zombie: true, ..call })?;
                if zombie { Ok(()) } else { self.reply(incarnation, unknown) }
            }
            _ => {
                let call = self.calls.swap_remove(at);
                self.carry_out(call)
            }
        }
    }

    /// The call arrives, and its reply too, unless the caller does not wait any more.
    fn carry_out(&mut self, call: Call) -> Result<(), String> {
        let Call { incarnation, output, payloads, zombie } = call;
        let reply = match output {
            Output::CreateStream => Input::StreamCreated { stream: self.services.create_stream() },
            Output::Claim { call, wants, claim, .. } => {
                self.seen.take_overs += wants.iter().filter(|want| want.instead_of.is_some()).count();
                Input::Claimed { call, results: self.services.claim(self.now, &wants, &claim) }
            }
            Output::Append { call, request, stream, offset, rows, .. } => {
                let append = Append { request: (incarnation, request), stream, offset, rows, payloads };
                let reply = self.services.append(&append, &mut self.rng, self.faults)?;
                self.seen.bad_rows += usize::from(matches!(reply, exactly_once::AppendReply::BadRows(_)));
                Input::Appended { call, reply }
            }
            Output::Settle { call, claim, rows, window } => {
                Input::Settled { call, results: self.services.settle(self.now, &claim, &rows, window) }
            }
            Output::Swap { call, key, expected, new, .. } => {
                self.seen.reopened += usize::from(matches!(new, NewState::Claimed(_)));
                Input::Swapped { call, key, result: self.services.swap(self.now, key, &expected, &new) }
            }
            Output::Fence { stream, own } => {
                self.seen.foreign_fences += usize::from(!own);
                let rows = self.services.finalize(&stream);
                Input::Fenced { stream, rows }
            }
            Output::WriteDeadLetter { key, .. } => {
                let payload = payloads.first().ok_or("a dead letter of an event that is in nobody's hands")?;
                self.services.write_dead_letter(key, *payload)?;
                Input::DeadLettered { key, written: true }
            }
            Output::Answer { .. } | Output::Forget { .. } | Output::Alarm(_) => return Ok(()),
        };
        if zombie { Ok(()) } else { self.reply(incarnation, reply) }
    }

    fn reply(&mut self, incarnation: u64, input: Input) -> Result<(), String> {
        match self.loaders.iter().position(|loader| loader.incarnation == incarnation) {
            Some(at) => self.feed(at, input),
            None => Ok(()),
        }
    }

    fn feed(&mut self, at: usize, input: Input) -> Result<(), String> {
        let incarnation = self.loaders[at].incarnation;
        for output in self.loaders[at].writer.handle(self.now, input) {
            match output {
                Output::Answer { delivery, answer } => self.answered(delivery, answer)?,
                Output::Forget { key } => drop(self.loaders[at].hand.remove(&key)),
                Output::Alarm(Alarm::Contradicted { key, found }) => {
                    return Err(format!("{key} is a row, and its key said {found:?}"));
                }
                Output::Alarm(alarm) => return Err(format!("{alarm:?}")),
                output => {
                    let events = match &output {
                        Output::WriteDeadLetter { key, .. } => std::slice::from_ref(key),
                        Output::Append { rows, .. } => rows,
                        _ => &[],
                    };
                    let payloads = events.iter().filter_map(|key| self.loaders[at].hand.get(key).copied()).collect();
                    self.calls.push(Call { incarnation, output, payloads, zombie: false });
                }
            }
        }
        if self.loaders[at].stopping && self.loaders[at].writer.is_finished() {
            if self.messages.iter().any(|message| message.outstanding.iter().any(|(_, who)| *who == incarnation)) {
                return Err("a stopped loader left deliveries without an answer".into());
            }
            self.replace(at);
        }
        Ok(())
    }

    fn answered(&mut self, delivery: DeliveryId, answer: Answer) -> Result<(), String> {
        let lost = self.faults && self.rng.random_bool(0.05);
        let message = self
            .messages
            .iter_mut()
            .find(|message| message.outstanding.iter().any(|(id, _)| *id == delivery))
            .ok_or("an answer to a delivery that does not wait")?;
        message.outstanding.retain(|(id, _)| *id != delivery);
        let counter = match answer {
            Answer::Written => &mut self.seen.written,
            Answer::Duplicate => &mut self.seen.duplicate,
            Answer::DeadLettered => &mut self.seen.dead_lettered,
            Answer::Conflict => &mut self.seen.conflict,
            Answer::Retry(_) => &mut self.seen.retried,
        };
        *counter += 1;
        if matches!(answer, Answer::Retry(_)) {
            return Ok(());
        }
        message.acked |= !lost;
        let rows = self.services.rows_of(&message.key);
        let dead = self.services.is_dead_letter(&message.key, message.payload.redrives());
        if answer != Answer::Conflict && !self.services.says(&message.key, message.payload) {
            return Err(format!("{} was answered {answer:?}, and nothing says what it said", message.key));
        }
        // A dead letter beside a row was redriven: that is looked after where either is written. An old copy may have become the
        // row then, and who is told late may have been redriven meanwhile.
        match (answer, rows, dead) {
            (Answer::Written | Answer::Duplicate, 1, _) => Ok(()),
            (Answer::DeadLettered, 0..=1, true) | (Answer::Duplicate, 0, true) => Ok(()),
            // The other event may be on its way to a dead letter.
            (Answer::Conflict, ..) => Ok(()),
            _ => Err(format!("{} was answered {answer:?} with {rows} rows, dead letter {dead}", message.key)),
        }
    }
}

fn unknown(output: &Output) -> Input {
    let append = |call: CallId| Input::Appended { call, reply: exactly_once::AppendReply::Unknown };
    match output {
        Output::CreateStream => Input::CreateFailed,
        Output::Claim { call, .. } => Input::ClaimUnknown { call: *call },
        Output::Append { call, .. } => append(*call),
        Output::Settle { call, .. } => Input::SettleFailed { call: *call },
        Output::Swap { call, key, .. } => Input::SwapUnknown { call: *call, key: *key },
        Output::Fence { stream, .. } => Input::FenceFailed { stream: stream.clone() },
        Output::WriteDeadLetter { key, .. } => Input::DeadLettered { key: *key, written: false },
        Output::Answer { .. } | Output::Forget { .. } | Output::Alarm(_) => Input::Tick,
    }
}
