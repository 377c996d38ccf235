//! Leases: from being taken to an acknowledgement, a failure, or the dead letters.

use super::{
    Backlog,
    state::{Entry, State},
    terms::{Answer, Delivery, Effect, Take},
};
use crate::pubsub::clock::Micros;

impl Backlog {
    /// Leases as many messages as the holder may have, oldest first.
    pub(in crate::pubsub) fn take(&mut self, now: Micros, take: Take, effects: &mut Vec<Effect>) -> Vec<Delivery> {
        self.advance(now, effects);
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        while deliveries.len() < take.max_messages && self.holders.get(&take.holder).is_some_and(|load| !load.is_full())
        {
            let reserved = self.reserved.get(&take.holder).and_then(|reserved| reserved.first());
            let Some(sequence) = self.ready.first().into_iter().chain(reserved).min().copied() else { break };
            let Some(entry) = self.entries.get(&sequence) else { break };
            let size = u64::from(entry.message.size);
            if !deliveries.is_empty() && bytes + size > take.max_bytes {
                break;
            }
            bytes += size;
            deliveries.extend(self.lease(sequence, now.saturating_add(take.lease), take));
        }
        deliveries
    }

    fn lease(&mut self, sequence: u64, deadline: Micros, take: Take) -> Option<Delivery> {
        self.leave_state(sequence);
        self.leased += 1;
        let lease = self.leased;
        let entry = self.entries.get_mut(&sequence)?;
        entry.state = State::Leased { lease, deadline, holder: take.holder };
        let delivery = Delivery { message: entry.message.clone(), lease, attempt: entry.failures.saturating_add(1) };
        self.leases.insert((deadline, sequence));
        self.counts.delivered += 1;
        if let Some(load) = self.holders.get_mut(&take.holder) {
            load.messages += 1;
            load.bytes += u64::from(delivery.message.size);
        }
        if let Some(key) = self.key_of(&delivery.message) {
            self.keys.went_out(&key, sequence, (!take.one_of_a_key).then_some(take.holder));
            self.promote(&key);
        }
        Some(delivery)
    }

    /// The message is done. Without exactly-once delivery a late acknowledgement counts too.
    pub(in crate::pubsub) fn ack(
        &mut self,
        now: Micros,
        sequence: u64,
        lease: u64,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let Some(entry) = self.entries.get(&sequence) else { return Answer::Done };
        if self.settings.exactly_once && !is_current(entry, lease, now) {
            return Answer::Expired;
        }
        self.counts.acked += 1;
        self.settle(sequence, effects);
        Answer::Done
    }

    /// The lease lasts until `now + extension`; 0 gives the message back.
    pub(in crate::pubsub) fn modify(
        &mut self,
        now: Micros,
        sequence: u64,
        lease: u64,
        extension: Micros,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let Some(entry) = self.entries.get_mut(&sequence).filter(|entry| is_current(entry, lease, now)) else {
            return if self.settings.exactly_once { Answer::Expired } else { Answer::Done };
        };
        if extension == 0 {
            self.fail(now, sequence, effects);
        } else if let State::Leased { lease, deadline, holder } = entry.state {
            let until = now.saturating_add(extension);
            entry.state = State::Leased { lease, deadline: until, holder };
            self.leases.remove(&(deadline, sequence));
            self.leases.insert((until, sequence));
        }
        Answer::Done
    }

    /// The dead-letter topic took the message, or did not.
    pub(in crate::pubsub) fn forwarded(&mut self, now: Micros, sequence: u64, taken: bool, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get(&sequence).filter(|entry| entry.state == State::Forwarding) else { return };
        if taken {
            self.counts.dead_lettered += 1;
            let message = entry.message.clone();
            self.remove(sequence);
            effects.push(Effect::Gone(message));
        } else {
            let delay = self.settings.retry.delay(entry.failures);
            self.back_off(now, sequence, delay);
        }
    }

    /// The outstanding message failed: it backs off, or goes to the dead letters; later ones of its key come again.
    pub(super) fn fail(&mut self, now: Micros, sequence: u64, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get_mut(&sequence) else { return };
        entry.failures = entry.failures.saturating_add(1);
        let (failures, message) = (entry.failures, entry.message.clone());
        self.counts.nacked += 1;
        let key = self.key_of(&message);
        for later in key.iter().flat_map(|key| self.keys.came_back(key, sequence)).collect::<Vec<_>>() {
            self.set_state(later, State::Blocked);
        }
        if self.settings.max_delivery_attempts.is_some_and(|most| failures >= most) {
            self.set_state(sequence, State::Forwarding);
            effects.push(Effect::DeadLetter(message, failures));
        } else {
            effects.push(Effect::Failed(message, failures));
            self.back_off(now, sequence, self.settings.retry.delay(failures));
        }
    }

    fn back_off(&mut self, now: Micros, sequence: u64, delay: Micros) {
        if delay == 0 {
            self.come_back(sequence);
        } else {
            let until = now.saturating_add(delay);
            self.set_state(sequence, State::Waiting(until));
            self.waiting.insert((until, sequence));
        }
    }
}

fn is_current(entry: &Entry, lease: u64, now: Micros) -> bool {
    matches!(entry.state, State::Leased { lease: current, deadline, .. } if current == lease && deadline > now)
}
