//! Deliveries: how they come, wait, give up and are answered.

use super::{
    Writer,
    entry::{Delivery, Entry, Landed, Phase},
};
use crate::{Answer, DeliveryId, EventKey, Offer, Output, PayloadHash, Retry, Time};

impl Writer {
    pub(super) fn offer(&mut self, now: Time, offer: Offer) {
        let Offer { delivery, key, payload, size, schema, verdict } = offer;
        let joins = self.entries.contains_key(&key);
        let refusal = match () {
            () if self.stopping => Some(Retry::Stopping),
            () if self.exhausted && !joins => Some(Retry::Exhausted),
            () => None,
        };
        if let Some(reason) = refusal {
            self.answer(delivery, Answer::Retry(reason));
            if !joins {
                self.out.push(Output::Forget { key });
            }
            return;
        }
        let until = now + self.limits.hold;
        self.deadlines.insert((until, delivery));
        self.deliveries.insert(delivery, key);
        let waiting = Delivery { id: delivery, payload, until };
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.deliveries.push(waiting);
            return;
        }
        let entry = Entry {
            payload,
            size,
            schema,
            most: self.limits.batch_rows,
            verdict,
            deliveries: vec![waiting],
            phase: Phase::Queued { instead_of: None },
            timer: None,
            polls: 0,
        };
        self.entries.insert(key, entry);
        self.begin(key, None);
    }

    /// The delivery's time is over. Its event goes on only where something of it may already stand.
    pub(super) fn expire_delivery(&mut self, delivery: DeliveryId) {
        let Some(key) = self.deliveries.get(&delivery).copied() else { return };
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(at) = entry.deliveries.iter().position(|waiting| waiting.id == delivery) {
            let waiting = entry.deliveries.remove(at);
            self.deadlines.remove(&(waiting.until, delivery));
            self.deliveries.remove(&delivery);
            self.answer(delivery, Answer::Retry(Retry::Expired));
        }
        self.drop_if_idle(key);
    }

    /// Sends back every delivery that waits for the event, and drops the event where nothing of it is in flight.
    pub(super) fn send_back(&mut self, key: EventKey, reason: Retry) {
        self.answer_all(key, |_| Answer::Retry(reason));
        self.drop_if_idle(key);
    }

    /// Sends everything back. What waits here was asked for by events that were refused in an older generation of the
    /// ledger; it may say otherwise now, and a new claim would make the dead letter of an event that became a row.
    pub(super) fn send_all_back(&mut self) {
        let keys: Vec<EventKey> = self.entries.keys().copied().collect();
        for key in keys {
            self.send_back(key, Retry::Undecided);
        }
    }

    fn drop_if_idle(&mut self, key: EventKey) {
        let Some(entry) = self.entries.get(&key) else { return };
        let idle = match &entry.phase {
            Phase::Queued { .. } | Phase::Held | Phase::Fencing { .. } => true,
            Phase::Batched | Phase::Marking { .. } | Phase::Reopening { .. } | Phase::Rejecting(_) => false,
        };
        if idle && entry.deliveries.is_empty() {
            self.forget(key);
        }
    }

    /// The event came to its end: answers every delivery and forgets it. `payload` is what stands.
    pub(super) fn finish(&mut self, key: EventKey, landed: Landed, payload: PayloadHash) {
        let mut first = true;
        self.answer_all(key, |delivery| {
            if !delivery.agrees(payload) {
                return Answer::Conflict;
            }
            let is_dead_letter = matches!(landed, Landed::DeadLettered | Landed::FoundDeadLetter);
            if is_dead_letter && payload.gives_way_to(delivery) {
                // The end of an earlier try: this one, which joined it, has its own still before it.
                return Answer::Retry(Retry::Undecided);
            }
            let first = std::mem::replace(&mut first, false);
            match landed {
                Landed::Written if first => Answer::Written,
                Landed::DeadLettered if first => Answer::DeadLettered,
                Landed::Written | Landed::DeadLettered | Landed::Found | Landed::FoundDeadLetter => Answer::Duplicate,
            }
        });
        self.forget(key);
    }

    /// Drops the event, whose deliveries are all answered.
    pub(super) fn forget(&mut self, key: EventKey) {
        self.set_timer(key, None);
        if self.entries.remove(&key).is_some() {
            self.out.push(Output::Forget { key });
        }
        // Names of events that left stay in the queue until it is their turn; not without bound.
        if self.queue.len() > 2 * self.entries.len() + 1024 {
            let entries = &self.entries;
            self.queue.retain(|key| matches!(entries.get(key), Some(Entry { phase: Phase::Queued { .. }, .. })));
        }
    }

    pub(super) fn set_timer(&mut self, key: EventKey, at: Option<Time>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(old) = std::mem::replace(&mut entry.timer, at) {
            self.timers.remove(&(old, key));
        }
        if let Some(at) = at {
            self.timers.insert((at, key));
        }
    }

    pub(super) fn answer_all(&mut self, key: EventKey, mut answer: impl FnMut(PayloadHash) -> Answer) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        for Delivery { id, payload, until } in std::mem::take(&mut entry.deliveries) {
            self.deadlines.remove(&(until, id));
            self.deliveries.remove(&id);
            self.answer(id, answer(payload));
        }
    }

    fn answer(&mut self, delivery: DeliveryId, answer: Answer) {
        self.out.push(Output::Answer { delivery, answer });
    }

    /// No more deliveries; those whose event was not begun go back at once.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        self.queue.clear();
        let idle: Vec<EventKey> = self
            .entries
            .iter()
            .filter(|(_, entry)| match &entry.phase {
                Phase::Queued { .. } | Phase::Held => true,
                Phase::Fencing { own, .. } => !own,
                Phase::Batched | Phase::Marking { .. } | Phase::Reopening { .. } | Phase::Rejecting(_) => false,
            })
            .map(|(key, _)| *key)
            .collect();
        for key in idle {
            self.send_back(key, Retry::Stopping);
        }
        self.drop_foreign_fences();
    }
}
