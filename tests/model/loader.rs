//! One loader: the real writer, and what its driver has in hand.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use exactly_once::{AppendReply, CallId, Input, Limits, Output, Owner, RequestId, Writer};

use crate::{
    recovery::Recovery,
    scenario::{Scenario, Weakness},
    state::{AGES_BEFORE_SUSPECT, HOLD, NOW, WINDOW},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loader {
    /// No two starts of a loader have the same.
    pub(crate) incarnation: u8,
    pub(crate) writer: Arc<Writer>,
    /// The writer's hash, so that states are compared without it.
    pub(crate) digest: u64,
    /// The generation that the writer was told.
    pub(crate) generation: u8,
    /// How many write streams it made.
    pub(crate) streams: u8,
    pub(crate) stopping: bool,
    pub(crate) recovery: Option<Recovery>,
}

impl Loader {
    /// A loader that starts, and reads the registry's generation.
    pub(crate) fn boot(scenario: &Scenario, incarnation: u8, generation: u8) -> Self {
        let wait = exactly_once::Backoff { first: std::time::Duration::ZERO, longest: std::time::Duration::ZERO };
        let limits = Limits {
            batch_rows: scenario.batch_rows,
            hold: HOLD,
            suspect_after: AGES_BEFORE_SUSPECT,
            append_limit: std::time::Duration::ZERO,
            fence_interval: std::time::Duration::ZERO,
            window: WINDOW,
            poll: wait,
            retry: wait,
            resend: wait,
            exhausted: wait,
            create: wait,
            reuse_refused_offset: !scenario.guarded() || scenario.weakness == Weakness::RefusedOffsetReused,
            ..Limits::default()
        };
        let mut writer = Writer::new(Owner::from_bytes([incarnation; 16]), limits);
        writer.handle(NOW, Input::Generation(u64::from(generation)));
        let digest = digest(&writer);
        Self { incarnation, writer: Arc::new(writer), digest, generation, streams: 0, stopping: false, recovery: None }
    }

    /// Whether anything came to it since it started.
    pub(crate) fn is_touched(&self) -> bool {
        self.streams > 0 || !self.writer.is_empty()
    }
}

impl Hash for Loader {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { incarnation, writer: _, digest, generation, streams, stopping, recovery } = self;
        (incarnation, digest, generation, streams, stopping, recovery).hash(hasher);
    }
}

pub(crate) fn digest(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The owner of a claim, as the loaders are numbered.
pub(crate) fn incarnation(owner: &Owner) -> u8 {
    owner.as_bytes()[0]
}

/// A call on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flight {
    /// A hash of all that is here but the call's and the request's number: tells flights apart by what they are, not by
    /// when they began.
    pub(crate) rank: u64,
    pub(crate) from: u8,
    /// Whether the caller waits. If not, the call may arrive all the same.
    pub(crate) awaited: bool,
    /// The generation that the caller knew.
    pub(crate) generation: u8,
    /// How far a new write stream is.
    pub(crate) stage: Stage,
    pub(crate) output: Output,
    /// The call has arrived, and this is on its way back; its call's number is that of the call.
    pub(crate) reply: Option<Input>,
}

/// How a write stream is made: created, registered under its maker's generation, and used if that is still the registry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Asked,
    Created { stream: u8 },
    Registered { stream: u8 },
}

impl Flight {
    pub(crate) fn new(from: u8, generation: u8, output: Output) -> Self {
        let mut flight = Self { rank: 0, from, awaited: true, generation, stage: Stage::Asked, output, reply: None };
        flight.rank();
        flight
    }

    /// The caller waits no more, and its call has no number any more.
    pub(crate) fn give_up(&mut self) {
        self.awaited = false;
        if let Some(call) = call_of(&mut self.output) {
            call.0 = 0;
        }
        self.rank();
    }

    /// Its maker sends nothing any more: nothing can be mistaken for this request.
    pub(crate) fn orphan(&mut self) {
        self.give_up();
        if let Some(request) = request_of(&mut self.output) {
            request.0 = 0;
        }
        self.rank();
    }

    /// The call has arrived, and its reply is on its way.
    pub(crate) fn replied(&mut self, mut reply: Input) {
        if let Some(call) = call_in(&mut reply) {
            call.0 = 0;
        }
        self.reply = Some(reply);
        self.rank();
    }

    /// The reply, as the caller gets it.
    pub(crate) fn take_reply(&mut self) -> Option<Input> {
        let mut reply = self.reply.take()?;
        if let (Some(to), Some(call)) = (call_in(&mut reply), call_of(&mut self.output)) {
            *to = *call;
        }
        Some(reply)
    }

    pub(crate) fn rank(&mut self) {
        let (mut call, mut request) = (0, 0);
        self.swap_ids(&mut call, &mut request);
        self.rank = digest((self.from, self.awaited, self.generation, self.stage, &self.output, &self.reply));
        self.swap_ids(&mut call, &mut request);
    }

    /// By what it is; where two are alike, by when they began.
    pub(crate) fn order(&self) -> (u64, u64, u64) {
        let (call, request) = match &self.output {
            Output::Append { call, request, .. } => (call.0, request.0),
            Output::Claim { call, .. } | Output::Settle { call, .. } | Output::Swap { call, .. } => (call.0, 0),
            _ => (0, 0),
        };
        (self.rank, call, request)
    }

    fn swap_ids(&mut self, call: &mut u64, request: &mut u64) {
        if let Some(id) = call_of(&mut self.output) {
            std::mem::swap(&mut id.0, call);
        }
        if let Some(id) = request_of(&mut self.output) {
            std::mem::swap(&mut id.0, request);
        }
    }
}

impl Hash for Flight {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.order().hash(hasher);
    }
}

pub(crate) fn call_of(output: &mut Output) -> Option<&mut CallId> {
    match output {
        Output::Claim { call, .. }
        | Output::Append { call, .. }
        | Output::Settle { call, .. }
        | Output::Swap { call, .. } => Some(call),
        Output::CreateStream
        | Output::Fence { .. }
        | Output::WriteDeadLetter { .. }
        | Output::Answer { .. }
        | Output::Forget { .. }
        | Output::Alarm(_) => None,
    }
}

fn call_in(reply: &mut Input) -> Option<&mut CallId> {
    match reply {
        Input::Claimed { call, .. }
        | Input::ClaimUnknown { call }
        | Input::EpochRefused { call }
        | Input::Appended { call, .. }
        | Input::Settled { call, .. }
        | Input::SettleFailed { call }
        | Input::Swapped { call, .. }
        | Input::SwapUnknown { call, .. } => Some(call),
        Input::Offer(_)
        | Input::Tick
        | Input::StreamCreated { .. }
        | Input::CreateFailed
        | Input::Generation(_)
        | Input::Fenced { .. }
        | Input::FenceFailed { .. }
        | Input::DeadLettered { .. }
        | Input::Stop => None,
    }
}

pub(crate) fn request_of(output: &mut Output) -> Option<&mut RequestId> {
    match output {
        Output::Append { request, .. } => Some(request),
        _ => None,
    }
}

/// What a caller is told that heard nothing.
pub(crate) fn unknown(output: &Output) -> Input {
    match output {
        Output::CreateStream => Input::CreateFailed,
        Output::Claim { call, .. } => Input::ClaimUnknown { call: *call },
        Output::Append { call, .. } => Input::Appended { call: *call, reply: AppendReply::Unknown },
        Output::Settle { call, .. } => Input::SettleFailed { call: *call },
        Output::Swap { call, key, .. } => Input::SwapUnknown { call: *call, key: *key },
        Output::Fence { stream, .. } => Input::FenceFailed { stream: stream.clone() },
        Output::WriteDeadLetter { key, .. } => Input::DeadLettered { key: *key, written: false },
        Output::Answer { .. } | Output::Forget { .. } | Output::Alarm(_) => Input::Tick,
    }
}
