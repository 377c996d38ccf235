//! A writer on the bench: inputs by hand, outputs looked at one by one.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use event::{Reason, Rejection};
use exactly_once::{
    Answer, AppendReply, BadRow, CallId, Claim, Claimed, DeliveryId, EventKey, Expected, Input, Limits, NewState,
    Offer, Output, Owner, PayloadHash, RequestId, State, Swapped, Time, Verdict, Want, Writer,
};

pub(crate) const ME: Owner = Owner::from_bytes([1; 16]);
pub(crate) const OTHER: Owner = Owner::from_bytes([2; 16]);

pub(crate) struct Bench {
    pub(crate) writer: Writer,
    pub(crate) now: Time,
    outputs: VecDeque<Output>,
    deliveries: u64,
}

pub(crate) struct Sent {
    pub(crate) call: CallId,
    pub(crate) request: RequestId,
    pub(crate) stream: Arc<str>,
    pub(crate) offset: i64,
    pub(crate) rows: Vec<EventKey>,
}

pub(crate) fn key(event: u8) -> EventKey {
    EventKey::from_bytes([event; 16])
}

pub(crate) fn payload(event: u8) -> PayloadHash {
    PayloadHash::from_bits(u64::from(event))
}

pub(crate) fn rejection() -> Rejection {
    Rejection::new(Reason::RowRejected, "no")
}

pub(crate) fn claim(owner: Owner, stream: &str, base_offset: i64) -> Claim {
    Claim { owner, write_stream: stream.into(), base_offset }
}

pub(crate) fn held(claim: Claim, age: u64) -> Claimed {
    held_with(claim, PayloadHash::UNKNOWN, age)
}

/// A claim that says what its event says.
pub(crate) fn held_with(claim: Claim, payload: PayloadHash, age: u64) -> Claimed {
    Claimed::Found(State::Claimed { claim, payload, age: Duration::from_secs(age) })
}

impl Bench {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { writer: Writer::new(ME, limits), now: Time::START, outputs: VecDeque::new(), deliveries: 0 }
    }

    /// A writer whose stream `s1` is open, with nothing in hand.
    pub(crate) fn open() -> Self {
        Self::open_with(Limits::default())
    }

    /// As [`Bench::open`], over a ledger that forgets nothing.
    pub(crate) fn open_lasting() -> Self {
        Self::open_with(Limits { reuse_refused_offset: true, ..Limits::default() })
    }

    pub(crate) fn open_with(limits: Limits) -> Self {
        let mut bench = Self::new(limits);
        bench.offer(255);
        bench.created("s1");
        let sent = bench.won();
        bench.reply(sent.call, AppendReply::Committed { offset: Some(0) });
        assert_eq!(bench.answer(), Answer::Written);
        bench.settled();
        bench
    }

    pub(crate) fn feed(&mut self, input: Input) {
        self.outputs.extend(self.writer.handle(self.now, input).into_iter().filter(|output| {
            // Forgetting is between the machine and the driver's memory.
            !matches!(output, Output::Forget { .. })
        }));
    }

    pub(crate) fn offer(&mut self, event: u8) -> DeliveryId {
        self.offer_with(event, payload(event), 0, Verdict::Row)
    }

    pub(crate) fn offer_all(&mut self, events: std::ops::RangeInclusive<u8>) {
        for event in events {
            self.offer(event);
        }
    }

    pub(crate) fn offer_with(&mut self, event: u8, payload: PayloadHash, schema: u32, verdict: Verdict) -> DeliveryId {
        self.deliveries += 1;
        let delivery = DeliveryId(self.deliveries);
        self.feed(Input::Offer(Offer { delivery, key: key(event), payload, size: 100, schema, verdict }));
        delivery
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.feed(Input::Tick);
    }

    /// Lets time pass until the writer wants to be woken.
    pub(crate) fn wake(&mut self) {
        self.now = self.writer.wake_at().expect("something to wait for").max(self.now);
        self.feed(Input::Tick);
    }

    pub(crate) fn next(&mut self) -> Output {
        self.outputs.pop_front().expect("an output")
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.outputs.is_empty()
    }

    pub(crate) fn nothing(&mut self) {
        assert_eq!(self.outputs.pop_front(), None);
    }

    pub(crate) fn created(&mut self, stream: &str) {
        assert_eq!(self.next(), Output::CreateStream);
        self.feed(Input::StreamCreated { stream: stream.into() });
    }

    pub(crate) fn asked(&mut self) -> (CallId, Vec<Want>, Claim) {
        match self.next() {
            Output::Claim { call, wants, claim, .. } => (call, wants, claim),
            other => panic!("expected a claim, found {other:?}"),
        }
    }

    pub(crate) fn claimed(&mut self, results: Vec<Claimed>) {
        let (call, ..) = self.asked();
        self.feed(Input::Claimed { call, results });
    }

    /// Everything that is claimed is won; what is sent then.
    pub(crate) fn won(&mut self) -> Sent {
        let (call, wants, _) = self.asked();
        self.feed(Input::Claimed { call, results: vec![Claimed::Won; wants.len()] });
        self.sent()
    }

    pub(crate) fn sent(&mut self) -> Sent {
        match self.next() {
            Output::Append { call, request, stream, offset, rows, .. } => Sent { call, request, stream, offset, rows },
            other => panic!("expected an append, found {other:?}"),
        }
    }

    pub(crate) fn reply(&mut self, call: CallId, reply: AppendReply) {
        self.feed(Input::Appended { call, reply });
    }

    pub(crate) fn bad(&mut self, call: CallId, rows: &[usize]) {
        let bad = rows.iter().map(|index| BadRow { index: *index, rejection: rejection() }).collect();
        self.reply(call, AppendReply::BadRows(bad));
    }

    pub(crate) fn answer(&mut self) -> Answer {
        match self.next() {
            Output::Answer { answer, .. } => answer,
            other => panic!("expected an answer, found {other:?}"),
        }
    }

    pub(crate) fn settled(&mut self) -> Vec<EventKey> {
        match self.next() {
            Output::Settle { call, rows, .. } => {
                let keys: Vec<EventKey> = rows.into_iter().map(|(key, _)| key).collect();
                self.feed(Input::Settled { call, results: vec![exactly_once::Settled::Done; keys.len()] });
                keys
            }
            other => panic!("expected a settle, found {other:?}"),
        }
    }

    pub(crate) fn swap(&mut self) -> (CallId, EventKey, Expected, NewState) {
        match self.next() {
            Output::Swap { call, key, expected, new, .. } => (call, key, expected, new),
            other => panic!("expected a swap, found {other:?}"),
        }
    }

    pub(crate) fn swapped(&mut self, result: Swapped) -> (Expected, NewState) {
        let (call, key, expected, new) = self.swap();
        self.feed(Input::Swapped { call, key, result });
        (expected, new)
    }

    pub(crate) fn fence(&mut self) -> (Arc<str>, bool) {
        match self.next() {
            Output::Fence { stream, own } => (stream, own),
            other => panic!("expected a fence, found {other:?}"),
        }
    }

    pub(crate) fn fenced(&mut self, rows: i64) -> bool {
        let (stream, own) = self.fence();
        self.feed(Input::Fenced { stream, rows });
        own
    }

    pub(crate) fn dead_letter(&mut self, written: bool) -> EventKey {
        match self.next() {
            Output::WriteDeadLetter { key, .. } => {
                self.feed(Input::DeadLettered { key, written });
                key
            }
            other => panic!("expected a dead letter, found {other:?}"),
        }
    }
}
