//! The request at hand: sealed, claimed, sent, and sent again byte for byte until its outcome is known.

use std::collections::BTreeSet;

use event::{Reason, Rejection};

use super::{
    OwnStream, Writer,
    entry::{Landed, Phase},
    normal::{Numbers, move_time, number, renumber},
};
use crate::{
    Alarm, AppendReply, BadRow, CallId, Claim, Claimed, EventKey, Output, RequestId, Retry, State, Time, Verdict, Want,
};

/// One request, from its claim to its commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    claim: Claim,
    schema: u32,
    /// The events whose key names this request, or may: in the order of their rows.
    members: Vec<EventKey>,
    phase: BatchPhase,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum BatchPhase {
    Claiming {
        call: Option<CallId>,
        wants: Vec<Want>,
        failures: u32,
        retry_at: Option<Time>,
    },
    Appending(Appending),
    /// Rows were refused: their keys must have left this request before the rest is sent.
    Removing {
        waiting: BTreeSet<EventKey>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Appending {
    call: Option<CallId>,
    request: RequestId,
    first_sent: Time,
    failures: u32,
    /// A send ended without an answer: a copy may still be on its way.
    unclear: bool,
    retry_at: Option<Time>,
}

impl Batch {
    pub(super) fn retry_at(&self) -> Option<Time> {
        match &self.phase {
            BatchPhase::Claiming { retry_at, .. } => *retry_at,
            BatchPhase::Appending(appending) => appending.retry_at,
            BatchPhase::Removing { .. } => None,
        }
    }

    pub(super) fn claims_by(&self, by: CallId) -> bool {
        matches!(self.phase, BatchPhase::Claiming { call: Some(call), .. } if call == by)
    }

    /// See [`Writer::normalize`].
    pub(super) fn normalize(&mut self, numbers: &mut Numbers, time: impl Fn(Time) -> Time) {
        match &mut self.phase {
            BatchPhase::Claiming { call, failures, retry_at, .. } => {
                *failures = 0;
                renumber(numbers, call);
                move_time(retry_at, time);
            }
            BatchPhase::Appending(Appending { call, request, first_sent, failures, retry_at, .. }) => {
                *failures = 0;
                renumber(numbers, call);
                request.0 = number(numbers, request.0);
                *first_sent = time(*first_sent);
                move_time(retry_at, time);
            }
            BatchPhase::Removing { .. } => {}
        }
    }
}

impl Writer {
    /// Makes the next request of what waits, and claims it.
    pub(super) fn seal(&mut self) {
        let OwnStream::Open { id, next, .. } = &self.stream else { return };
        let claim = Claim { owner: self.owner, write_stream: id.clone(), base_offset: *next };
        let (mut wants, mut bytes, mut alike) = (Vec::new(), 0, (0, 0));
        while let Some(key) = self.queue.front().copied() {
            let queued = self.entries.get_mut(&key).and_then(|entry| match &mut entry.phase {
                Phase::Queued { instead_of } => Some((instead_of.take(), entry)),
                Phase::Batched
                | Phase::Held
                | Phase::Fencing { .. }
                | Phase::Marking { .. }
                | Phase::Reopening { .. }
                | Phase::Rejecting(_) => None,
            });
            let Some((instead_of, entry)) = queued else {
                self.queue.pop_front();
                continue;
            };
            let full = wants.len() >= entry.most || bytes + entry.size > self.limits.batch_bytes;
            // Those among which there is a row at fault go apart from the others, which need not suffer with them.
            if !wants.is_empty() && (full || (entry.schema, entry.most) != alike) {
                entry.phase = Phase::Queued { instead_of };
                break;
            }
            (bytes, alike) = (bytes + entry.size, (entry.schema, entry.most));
            entry.phase = Phase::Batched;
            wants.push(Want { key, payload: entry.payload, instead_of });
            self.queue.pop_front();
        }
        if wants.is_empty() {
            return;
        }
        let members = wants.iter().map(|want| want.key).collect();
        let phase = BatchPhase::Claiming { call: None, wants, failures: 0, retry_at: None };
        self.batch = Some(Batch { claim, schema: alike.0, members, phase });
        self.send_claim();
    }

    fn send_claim(&mut self) {
        let id = self.call();
        let Some(Batch { claim, phase: BatchPhase::Claiming { call, wants, retry_at, .. }, .. }) = &mut self.batch
        else {
            return;
        };
        (*call, *retry_at) = (Some(id), None);
        let (wants, claim) = (wants.clone(), claim.clone());
        self.out.push(Output::Claim { call: id, wants, claim, generation: self.generation });
    }

    /// Unknown claims are asked for again until they are known: until then some key may name this request, so nothing
    /// may be sent in its place. Waiting costs nothing but time: another owner's fence takes the events over.
    pub(super) fn claim_unknown(&mut self, now: Time, by: CallId) {
        let Some(Batch { phase: BatchPhase::Claiming { call, failures, retry_at, .. }, .. }) = &mut self.batch else {
            return;
        };
        if *call == Some(by) {
            *call = None;
            *retry_at = Some(now + self.limits.retry.delay(*failures));
            *failures = failures.saturating_add(1);
        }
    }

    pub(super) fn claimed(&mut self, now: Time, by: CallId, results: Vec<Claimed>) {
        let Some(batch) = &mut self.batch else { return };
        let BatchPhase::Claiming { call: Some(call), wants, .. } = &batch.phase else { return };
        if *call != by {
            return;
        }
        if results.len() != wants.len() {
            self.claim_unknown(now, by);
            return;
        }
        let mut losers: Vec<(EventKey, State)> = Vec::new();
        batch.members.clear();
        for (want, result) in wants.iter().zip(results) {
            match result {
                Claimed::Won => batch.members.push(want.key),
                Claimed::Found(state) => losers.push((want.key, state)),
            }
        }
        self.send_first(now);
        for (key, state) in losers {
            self.found(now, key, Some(state));
        }
    }

    /// Sends the request's members, whose keys all name it, as new bytes; an empty request dissolves.
    fn send_first(&mut self, now: Time) {
        let request = RequestId(self.call().0);
        let Some(batch) = &mut self.batch else { return };
        if batch.members.is_empty() {
            self.batch = None;
            // Nothing is left that would be sent again, and only that shows how the quota stands.
            self.exhausted = false;
            return;
        }
        batch.phase = BatchPhase::Appending(Appending {
            call: None,
            request,
            first_sent: now,
            failures: 0,
            unclear: false,
            retry_at: None,
        });
        self.send();
    }

    fn send(&mut self) {
        let id = self.call();
        let Some(Batch { claim, schema, members, phase: BatchPhase::Appending(appending) }) = &mut self.batch else {
            return;
        };
        (appending.call, appending.retry_at) = (Some(id), None);
        let append = Output::Append {
            call: id,
            request: appending.request,
            stream: claim.write_stream.clone(),
            offset: claim.base_offset,
            schema: *schema,
            rows: members.clone(),
        };
        self.out.push(append);
    }

    pub(super) fn retry_batch(&mut self, now: Time) {
        let Some(batch) = &self.batch else { return };
        if batch.retry_at().is_some_and(|at| at <= now) {
            match &batch.phase {
                BatchPhase::Claiming { .. } => self.send_claim(),
                BatchPhase::Appending(_) => self.send(),
                BatchPhase::Removing { .. } => {}
            }
        }
    }

    pub(super) fn appended(&mut self, now: Time, by: CallId, reply: AppendReply) {
        let Some(Batch { claim, phase: BatchPhase::Appending(appending), .. }) = &mut self.batch else { return };
        if appending.call != Some(by) {
            return;
        }
        appending.call = None;
        let (stream, named) = (claim.write_stream.clone(), claim.base_offset);
        match reply {
            AppendReply::Committed { offset: Some(acknowledged) } if acknowledged != named => {
                self.alarm(Alarm::OffsetMismatch { stream, named, acknowledged });
                self.rotate(now);
            }
            AppendReply::Committed { .. } | AppendReply::AlreadyExists => self.commit(),
            AppendReply::Unknown => {
                appending.unclear = true;
                self.resend_later(now);
            }
            AppendReply::SchemaLags => self.resend_later(now),
            AppendReply::Exhausted => {
                appending.retry_at = Some(now + self.limits.exhausted.delay(appending.failures));
                appending.failures = appending.failures.saturating_add(1);
                self.exhausted = true;
            }
            AppendReply::BadRows(rows) => self.bad_rows(now, rows),
            AppendReply::Refused(detail) => self.refused(now, &detail),
            AppendReply::StreamClosed => self.rotate(now),
            AppendReply::OutOfRange => {
                self.alarm(Alarm::OffsetOutOfRange { stream, offset: named });
                self.rotate(now);
            }
        }
    }

    /// The same bytes again at the same offset, which is harmless; after the limit the fence decides.
    fn resend_later(&mut self, now: Time) {
        let Some(Batch { phase: BatchPhase::Appending(appending), .. }) = &mut self.batch else { return };
        let retry_at = now + self.limits.resend.delay(appending.failures);
        appending.failures = appending.failures.saturating_add(1);
        if retry_at.since(appending.first_sent) > self.limits.append_limit {
            self.rotate(now);
        } else {
            appending.retry_at = Some(retry_at);
        }
    }

    fn commit(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        if let OwnStream::Open { next, failures, .. } = &mut self.stream {
            *next = batch.claim.base_offset + batch.members.len() as i64;
            *failures = 0;
        }
        self.exhausted = false;
        self.landed(batch.claim, &batch.members);
    }

    /// The rows of a request of ours stand: answers, then tells the ledger.
    pub(super) fn landed(&mut self, claim: Claim, members: &[EventKey]) {
        let mut rows = Vec::with_capacity(members.len());
        for key in members {
            if let Some(entry) = self.entries.get(key) {
                let payload = entry.payload;
                rows.push((*key, payload));
                self.finish(*key, Landed::Written, payload);
            }
        }
        self.settle(claim, rows);
    }

    /// Nothing was written. Where no copy can be on its way and the ledger forgets nothing, the bad rows leave and the rest is
    /// sent at the same offset; else the fence decides, and the bad rows keep their verdict.
    fn bad_rows(&mut self, now: Time, rows: Vec<BadRow>) {
        let Some(batch) = &mut self.batch else { return };
        let BatchPhase::Appending(Appending { unclear, .. }) = batch.phase else { return };
        let bad: Vec<(EventKey, Rejection)> = rows
            .into_iter()
            .filter_map(|BadRow { index, rejection }| Some((*batch.members.get(index)?, rejection)))
            .collect();
        if bad.is_empty() {
            self.refused(now, "rows were refused, none of them in the request");
            return;
        }
        if !self.limits.reject_rows {
            self.rotate(now);
            bad.into_iter().for_each(|(key, _)| self.send_back(key, Retry::Refused));
            return;
        }
        for (key, rejection) in &bad {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.verdict = Verdict::Reject(rejection.clone());
            }
        }
        if unclear || !self.limits.reuse_refused_offset {
            // It was no fault of the stream: the next one is not to be waited for.
            if let OwnStream::Open { failures, .. } = &mut self.stream {
                *failures = 0;
            }
            self.rotate(now);
            return;
        }
        let waiting: BTreeSet<EventKey> = bad.iter().map(|(key, _)| *key).collect();
        batch.members.retain(|key| !waiting.contains(key));
        batch.phase = BatchPhase::Removing { waiting };
        let claim = batch.claim.clone();
        for (key, rejection) in bad {
            self.mark_rejecting(key, Some(claim.clone()), rejection);
        }
    }

    /// The key of a refused row has left the request, or is known to have left it before.
    pub(super) fn removed(&mut self, now: Time, key: EventKey) {
        let Some(Batch { phase: BatchPhase::Removing { waiting }, .. }) = &mut self.batch else { return };
        if waiting.remove(&key) && waiting.is_empty() {
            self.send_first(now);
        }
    }

    /// The request as a whole was refused: smaller ones find the row at fault.
    fn refused(&mut self, now: Time, detail: &str) {
        let Some(batch) = &self.batch else { return };
        if batch.members.len() == 1 && self.limits.reject_rows {
            let rejection = Rejection::new(Reason::RowRejected, detail);
            self.bad_rows(now, vec![BadRow { index: 0, rejection }]);
            return;
        }
        let half = (batch.members.len() / 2).max(1);
        for key in &batch.members {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.most = half;
            }
        }
        let lone = (batch.members.len() == 1).then(|| batch.members[0]);
        self.rotate(now);
        if let Some(key) = lone {
            self.send_back(key, Retry::Refused);
        }
    }

    /// The stream was given up: what was sent waits for the fence, what was only being claimed starts again.
    pub(super) fn abandon(&mut self, batch: Batch) {
        let sent = !matches!(batch.phase, BatchPhase::Claiming { .. });
        for key in batch.members {
            if !sent {
                self.begin(key, None);
            } else if let Some(entry) = self.entries.get_mut(&key) {
                entry.phase = Phase::Fencing { claim: batch.claim.clone(), payload: entry.payload, own: true };
            }
        }
    }
}
