//! The writer of one table: see [`Writer`].

mod batch;
mod deliveries;
mod entry;
mod fence;
mod found;
mod normal;
mod reject;
mod settle;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use batch::Batch;
use entry::{Entry, Phase};
use fence::Fence;
pub use normal::Numbers;
use settle::Settlement;

use crate::{Alarm, CallId, Claim, DeliveryId, EventKey, Input, Limits, Output, Owner, Retry, Time, Verdict};

/// The writer of one table, in one incarnation of a loader.
///
/// It owns the events between their offer and their end; a delivery may give up, its event does not leave a request that
/// was begun. One request is in flight at a time: while it is, further events gather, and the next request takes them all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Writer {
    limits: Limits,
    owner: Owner,
    generation: u64,
    /// The ledger refused our generation: nothing new is begun until it is known.
    suspended: bool,
    stopping: bool,
    /// The quota is exhausted: no delivery is admitted.
    exhausted: bool,
    stream: OwnStream,
    entries: BTreeMap<EventKey, Entry>,
    queue: VecDeque<EventKey>,
    batch: Option<Batch>,
    fences: BTreeMap<Arc<str>, Fence>,
    /// What fences said, the latest last.
    fenced: VecDeque<(Arc<str>, i64)>,
    next_fence: Time,
    unsettled: Vec<Settlement>,
    deliveries: BTreeMap<DeliveryId, EventKey>,
    deadlines: BTreeSet<(Time, DeliveryId)>,
    timers: BTreeSet<(Time, EventKey)>,
    calls: u64,
    out: Vec<Output>,
}

/// The write stream of this writer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum OwnStream {
    /// There is none; the next may be asked for at `retry_at`.
    None { retry_at: Time, failures: u32 },
    /// One was asked for.
    Creating { failures: u32 },
    /// It takes rows at offset `next`. `failures`: streams that were lost before this one took a row.
    Open { id: Arc<str>, next: i64, failures: u32 },
}

impl Writer {
    /// A writer without a stream. `owner` must be of this incarnation alone.
    pub fn new(owner: Owner, limits: Limits) -> Self {
        Self {
            limits,
            owner,
            generation: 0,
            suspended: false,
            stopping: false,
            exhausted: false,
            stream: OwnStream::None { retry_at: Time::START, failures: 0 },
            entries: BTreeMap::new(),
            queue: VecDeque::new(),
            batch: None,
            fences: BTreeMap::new(),
            fenced: VecDeque::new(),
            next_fence: Time::START,
            unsettled: Vec::new(),
            deliveries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            timers: BTreeSet::new(),
            calls: 0,
            out: Vec::new(),
        }
    }

    /// Whether the event is in hand: a further delivery of it joins those that wait, and its row is not needed.
    pub fn contains(&self, key: &EventKey) -> bool {
        self.entries.contains_key(key)
    }

    /// How many events are in hand.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event is in hand.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether [`Input::Stop`] came.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether everything that was begun before [`Input::Stop`] has come to its end.
    pub fn is_finished(&self) -> bool {
        self.stopping
            && self.entries.is_empty()
            && self.unsettled.is_empty()
            && self.fences.is_empty()
            && matches!(self.stream, OwnStream::None { .. })
    }

    /// Takes what happened at `now`, which never runs backwards, and says what is to be done.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.expire(now);
        match input {
            Input::Offer(offer) => self.offer(now, offer),
            Input::Tick => {}
            Input::StreamCreated { stream } => self.stream_created(now, stream),
            Input::CreateFailed => self.create_failed(now),
            Input::Claimed { call, results } => self.claimed(now, call, results),
            Input::ClaimUnknown { call } => self.claim_unknown(now, call),
            Input::EpochRefused { call } => self.epoch_refused(now, call),
            Input::Generation(generation) => self.generation_is(now, generation),
            Input::Appended { call, reply } => self.appended(now, call, reply),
            Input::Settled { call, results } => self.settled(call, results),
            Input::SettleFailed { call } => self.settle_failed(now, call),
            Input::Swapped { call, key, result } => self.swapped(now, call, key, result),
            Input::SwapUnknown { call, key } => self.swap_unknown(now, call, key),
            Input::Fenced { stream, rows } => self.stream_fenced(&stream, rows),
            Input::FenceFailed { stream } => self.fence_failed(now, &stream),
            Input::DeadLettered { key, written } => self.dead_lettered(key, written),
            Input::Stop => self.stop(),
        }
        self.go_on(now);
        std::mem::take(&mut self.out)
    }

    /// When the writer wants to be woken by [`Input::Tick`], if nothing happens before.
    pub fn wake_at(&self) -> Option<Time> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let timer = self.timers.first().map(|(at, _)| *at);
        let batch = self.batch.as_ref().and_then(Batch::retry_at);
        let create = match &self.stream {
            OwnStream::None { retry_at, .. } if self.wants_stream() => Some(*retry_at),
            OwnStream::None { .. } | OwnStream::Creating { .. } | OwnStream::Open { .. } => None,
        };
        let fences = self.fences.values().filter_map(Fence::retry_at).min();
        let settle = self.unsettled.iter().filter_map(Settlement::retry_at).min();
        [deadline, timer, batch, create, fences, settle].into_iter().flatten().min()
    }

    fn wants_stream(&self) -> bool {
        !self.suspended && !self.stopping && self.batch.is_none() && !self.queue.is_empty()
    }

    /// Everything that is due by the clock alone.
    fn expire(&mut self, now: Time) {
        while let Some(&(at, delivery)) = self.deadlines.first()
            && at <= now
        {
            self.expire_delivery(delivery);
        }
        while let Some(&(at, key)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            self.wake_entry(key);
        }
        self.retry_batch(now);
        self.retry_fences(now);
        self.retry_settlements(now);
    }

    /// Begins what can be begun: a stream where one is wanted, a request where none is in flight.
    fn go_on(&mut self, now: Time) {
        if self.stopping {
            let is_done = self.entries.is_empty() && self.batch.is_none();
            // What waits to be tried again has no time for it: the fence decides it.
            let waits = self.batch.as_ref().is_some_and(|batch| batch.retry_at().is_some());
            if (is_done || waits) && matches!(self.stream, OwnStream::Open { .. }) {
                self.rotate(now);
            }
            return;
        }
        while let Some(key) = self.queue.front() {
            match self.entries.get(key) {
                Some(Entry { phase: Phase::Queued { .. }, .. }) => break,
                Some(_) | None => self.queue.pop_front(),
            };
        }
        if !self.wants_stream() {
            return;
        }
        match self.stream {
            OwnStream::None { retry_at, failures } if retry_at <= now => {
                self.stream = OwnStream::Creating { failures };
                self.out.push(Output::CreateStream);
            }
            OwnStream::None { .. } | OwnStream::Creating { .. } => {}
            OwnStream::Open { .. } => self.seal(),
        }
    }

    fn stream_created(&mut self, now: Time, stream: Arc<str>) {
        match self.stream {
            OwnStream::Creating { failures } => self.stream = OwnStream::Open { id: stream, next: 0, failures },
            // Nobody asked any more: it must not stay open.
            OwnStream::None { .. } | OwnStream::Open { .. } => self.fence(now, stream, true),
        }
    }

    fn create_failed(&mut self, now: Time) {
        if let OwnStream::Creating { failures } = self.stream {
            let retry_at = now + self.limits.create.delay(failures);
            self.stream = OwnStream::None { retry_at, failures: failures.saturating_add(1) };
        }
    }

    /// The ledger is whole. A stream belongs to the generation that it was made under, and so does what a call found or did:
    /// the ledger may have forgotten it since.
    fn generation_is(&mut self, now: Time, generation: u64) {
        self.suspended = false;
        if std::mem::replace(&mut self.generation, generation) == generation {
            return;
        }
        self.rotate(now);
        if !self.limits.reject_rows {
            self.send_all_back();
        }
        self.swap_again();
    }

    /// The ledger is of another generation: our stream belongs to the old one. A call that nobody waits for any more says
    /// nothing: it may have been made in a generation that is over for us too, and then no news of the next one would follow.
    fn epoch_refused(&mut self, now: Time, call: CallId) {
        if self.batch.as_ref().is_some_and(|batch| batch.claims_by(call)) {
            self.suspended = true;
            self.rotate(now);
            return;
        }
        let key = self.entries.iter().find(|(_, entry)| entry.swaps_by(call)).map(|(key, _)| *key);
        if let Some(key) = key {
            self.suspended = true;
            self.swap_unknown(now, call, key);
        }
    }

    /// Gives up the stream: fences it, and lets the fence decide the request at hand.
    fn rotate(&mut self, now: Time) {
        let (stream, failures) = match &self.stream {
            OwnStream::Open { id, failures, .. } => (id.clone(), *failures),
            OwnStream::None { .. } | OwnStream::Creating { .. } => return,
        };
        // The first loss costs no time; a table that loses every stream is not hammered.
        let retry_at = if failures == 0 { now } else { now + self.limits.create.delay(failures - 1) };
        self.stream = OwnStream::None { retry_at, failures: failures.saturating_add(1) };
        self.exhausted = false;
        self.fence(now, stream, true);
        if let Some(batch) = self.batch.take() {
            self.abandon(batch);
        }
    }

    /// Puts the event on the way that its verdict asks for, from the start; where nobody waits for it, it is dropped.
    fn begin(&mut self, key: EventKey, instead_of: Option<Claim>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if self.stopping || entry.deliveries.is_empty() {
            entry.phase = Phase::Held;
            self.send_back(key, Retry::Stopping);
            return;
        }
        match entry.verdict.clone() {
            Verdict::Row => {
                entry.phase = Phase::Queued { instead_of };
                self.queue.push_back(key);
            }
            Verdict::Reject(rejection) => self.mark_rejecting(key, instead_of, rejection),
        }
    }

    fn call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.out.push(Output::Alarm(alarm));
    }
}
