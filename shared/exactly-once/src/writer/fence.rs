//! Fences: a stream that is finalized takes no rows any more, and its row count decides every claim that names it.

use std::sync::Arc;

use super::{Writer, entry::Phase, normal::move_time};
use crate::{Claim, EventKey, Expected, NewState, Output, PayloadHash, Time, is_reopening};

/// How many fences are remembered.
const REMEMBERED: usize = 1024;

/// A stream that is being fenced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fence {
    own: bool,
    failures: u32,
    retry_at: Option<Time>,
}

impl Fence {
    pub(super) fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    /// See [`Writer::normalize`].
    pub(super) fn normalize(&mut self, time: impl Fn(Time) -> Time) {
        self.failures = 0;
        move_time(&mut self.retry_at, time);
    }
}

impl Writer {
    /// Fences of other owners' streams are for deliveries that wait; there are none any more.
    pub(super) fn drop_foreign_fences(&mut self) {
        self.fences.retain(|_, fence| fence.own);
    }

    pub(super) fn fence(&mut self, now: Time, stream: Arc<str>, own: bool) {
        if !own {
            self.next_fence = now + self.limits.fence_interval;
        }
        self.fences.insert(stream.clone(), Fence { own, failures: 0, retry_at: None });
        self.out.push(Output::Fence { stream, own });
    }

    pub(super) fn retry_fences(&mut self, now: Time) {
        for (stream, fence) in &mut self.fences {
            if fence.retry_at.is_some_and(|at| at <= now) {
                fence.retry_at = None;
                self.out.push(Output::Fence { stream: stream.clone(), own: fence.own });
            }
        }
    }

    pub(super) fn fence_failed(&mut self, now: Time, stream: &Arc<str>) {
        let waited_for = self.entries.values().any(|entry| entry.awaits(stream));
        if let Some(fence) = self.fences.get_mut(stream) {
            if !fence.own && !waited_for {
                self.fences.remove(stream);
                return;
            }
            fence.retry_at = Some(now + self.limits.retry.delay(fence.failures));
            fence.failures = fence.failures.saturating_add(1);
        }
    }

    pub(super) fn stream_fenced(&mut self, stream: &Arc<str>, rows: i64) {
        if self.fences.remove(stream).is_none() {
            return;
        }
        if self.fenced.len() == REMEMBERED {
            self.fenced.pop_front();
        }
        self.fenced.push_back((stream.clone(), rows));
        let waiting: Vec<(EventKey, Claim, PayloadHash, bool)> = self
            .entries
            .iter()
            .filter_map(|(key, entry)| match &entry.phase {
                Phase::Fencing { claim, payload, own } if claim.write_stream == *stream => {
                    Some((*key, claim.clone(), *payload, *own))
                }
                _ => None,
            })
            .collect();
        let mut landed: Option<(Claim, Vec<EventKey>)> = None;
        for (key, claim, payload, own) in waiting {
            // All of our own that wait here were in one request: one is in flight a stream.
            if own && rows > claim.base_offset {
                landed.get_or_insert_with(|| (claim, Vec::new())).1.push(key);
            } else {
                self.decide(key, claim, payload, rows);
            }
        }
        if let Some((claim, members)) = landed {
            self.landed(claim, &members);
        }
    }

    /// What the fence said of this stream, where it is known.
    pub(super) fn fenced_rows(&self, stream: &str) -> Option<i64> {
        if is_reopening(stream) {
            return Some(0);
        }
        self.fenced.iter().rev().find(|(fenced, _)| **fenced == *stream).map(|(_, rows)| *rows)
    }

    /// `claim` was read from the event's key, and its stream holds `rows` rows for ever. Beyond the claim's offset: the
    /// event is a row that says what the claim said, which need not be what our deliveries say, and its key is told so by
    /// compare-and-set, for the owner may have refused the row meanwhile. Not beyond: the claim will never be a row, and may be
    /// taken over.
    pub(super) fn decide(&mut self, key: EventKey, claim: Claim, payload: PayloadHash, rows: i64) {
        if rows > claim.base_offset {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.phase = Phase::Marking { call: None, claim, payload, failures: 0 };
                self.send_mark(key);
            }
            return;
        }
        self.begin(key, Some(claim));
    }

    pub(super) fn send_mark(&mut self, key: EventKey) {
        let id = self.call();
        let window = self.limits.window;
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let Phase::Marking { call, claim, payload, .. } = &mut entry.phase else { return };
        *call = Some(id);
        let swap = Output::Swap {
            call: id,
            key,
            expected: Expected::Claimed(claim.clone()),
            new: NewState::Done { payload: *payload, window },
            generation: self.generation,
        };
        self.out.push(swap);
    }

    /// What an entry's timer means.
    pub(super) fn wake_entry(&mut self, key: EventKey) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.timer = None;
        match &entry.phase {
            Phase::Held => self.begin(key, None),
            Phase::Marking { .. } => self.send_mark(key),
            Phase::Reopening { .. } => self.send_reopening(key),
            Phase::Rejecting(_) => self.send_rejecting(key),
            Phase::Queued { .. } | Phase::Batched | Phase::Fencing { .. } => {}
        }
    }
}
