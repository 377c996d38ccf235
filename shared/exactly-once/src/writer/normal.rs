//! Writers that will act alike, made equal: see [`Writer::normalize`].

use std::collections::BTreeMap;

use super::{
    OwnStream, Writer,
    entry::{Phase, Step},
};
use crate::{CallId, Time};

/// The new numbers of calls and requests, by their old ones. Who is not named yet gets the next.
pub type Numbers = BTreeMap<u64, u64>;

impl Writer {
    /// Makes writers equal that will act alike: for models, which explore by comparing states, and would never meet one
    /// again while each call has a number of its own and time goes on.
    ///
    /// `numbers` has the new numbers of those calls and requests that the caller has in hand, from 1 on without a gap, and
    /// gets those that only the writer has; the next call continues them. `time` moves each point in time. Counts of tries
    /// are set to zero where only waits follow from them, so the limits' waits must be constant.
    pub fn normalize(&mut self, numbers: &mut Numbers, time: impl Fn(Time) -> Time) {
        if let Some(batch) = &mut self.batch {
            batch.normalize(numbers, &time);
        }
        for (key, entry) in &mut self.entries {
            entry.polls = 0;
            if let Some(timer) = &mut entry.timer {
                self.timers.remove(&(*timer, *key));
                *timer = time(*timer);
                self.timers.insert((*timer, *key));
            }
            for delivery in &mut entry.deliveries {
                self.deadlines.remove(&(delivery.until, delivery.id));
                delivery.until = time(delivery.until);
                self.deadlines.insert((delivery.until, delivery.id));
            }
            entry.deliveries.sort_by_key(|delivery| delivery.id);
            match &mut entry.phase {
                Phase::Marking { call, failures, .. }
                | Phase::Reopening { call, failures, .. }
                | Phase::Rejecting(Step::Marking { call, failures, .. }) => {
                    *failures = 0;
                    renumber(numbers, call);
                }
                Phase::Rejecting(Step::Closing { call, .. }) => renumber(numbers, call),
                Phase::Rejecting(Step::Writing)
                | Phase::Queued { .. }
                | Phase::Batched
                | Phase::Held
                | Phase::Fencing { .. } => {}
            }
        }
        self.unsettled.sort_by(|one, other| one.order().cmp(&other.order()));
        self.unsettled.iter_mut().for_each(|settlement| settlement.normalize(numbers, &time));
        self.fences.values_mut().for_each(|fence| fence.normalize(&time));
        self.fenced = self.fenced.drain(..).collect::<BTreeMap<_, _>>().into_iter().collect();
        self.next_fence = time(self.next_fence);
        match &mut self.stream {
            OwnStream::None { retry_at, failures } => (*retry_at, *failures) = (time(*retry_at), 0),
            OwnStream::Creating { failures } | OwnStream::Open { failures, .. } => *failures = 0,
        }
        self.calls = numbers.len() as u64;
    }
}

/// The new number of a call or a request.
pub(super) fn number(numbers: &mut Numbers, old: u64) -> u64 {
    let next = numbers.len() as u64 + 1;
    *numbers.entry(old).or_insert(next)
}

pub(super) fn renumber(numbers: &mut Numbers, call: &mut Option<CallId>) {
    if let Some(call) = call {
        call.0 = number(numbers, call.0);
    }
}

pub(super) fn move_time(at: &mut Option<Time>, time: impl Fn(Time) -> Time) {
    *at = at.map(time);
}
