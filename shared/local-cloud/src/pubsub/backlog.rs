//! What one subscription has not acked yet: leases, back-off, order. Pure: the time is handed in, and what has to be
//! written or published comes back as effects.

mod lease;
mod state;
mod terms;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{clock::Micros, message::Message, ordering::Keys};
use state::{Entry, Load, State};
pub(super) use terms::{Answer, Counts, Delivery, Effect, Holder, Limits, Settings, Take};

/// The backlog of one subscription.
#[derive(Debug)]
pub(super) struct Backlog {
    settings: Settings,
    entries: BTreeMap<u64, Entry>,
    bytes: u64,
    ready: BTreeSet<u64>,
    reserved: HashMap<Holder, BTreeSet<u64>>,
    waiting: BTreeSet<(Micros, u64)>,
    leases: BTreeSet<(Micros, u64)>,
    keys: Keys,
    holders: HashMap<Holder, Load>,
    acked: BTreeMap<u64, Arc<Message>>,
    leased: u64,
    counts: Counts,
    /// Somebody who waits may find something to take.
    stirred: bool,
}

impl Backlog {
    /// An empty backlog. `leases` is where lease numbers start; they must not repeat those of an earlier process.
    pub(super) fn new(settings: Settings, leases: u64) -> Self {
        Self {
            settings,
            entries: BTreeMap::new(),
            bytes: 0,
            ready: BTreeSet::new(),
            reserved: HashMap::new(),
            waiting: BTreeSet::new(),
            leases: BTreeSet::new(),
            keys: Keys::default(),
            holders: HashMap::new(),
            acked: BTreeMap::new(),
            leased: leases,
            counts: Counts::default(),
            stirred: false,
        }
    }

    pub(super) fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// A new message, or one found again with its failures.
    pub(super) fn add(&mut self, message: Arc<Message>, failures: u32) {
        let sequence = message.sequence;
        let key = self.key_of(&message);
        self.bytes += u64::from(message.size);
        let state = if key.is_some() { State::Blocked } else { State::Ready };
        self.entries.insert(sequence, Entry { message, failures, state });
        match key {
            Some(key) => {
                self.keys.add(&key, sequence);
                self.promote(&key);
            }
            None => self.make_ready(sequence),
        }
    }

    /// An acked message that is kept, found again.
    pub(super) fn add_acked(&mut self, message: Arc<Message>) {
        self.acked.insert(message.sequence, message);
    }

    /// A new holder.
    pub(super) fn attach(&mut self, holder: Holder, limits: Limits) {
        self.holders.insert(holder, Load { limits, messages: 0, bytes: 0 });
    }

    /// The holder takes no more. Its leases last until they end.
    pub(super) fn detach(&mut self, holder: Holder) {
        self.holders.remove(&holder);
        for sequence in self.reserved.remove(&holder).unwrap_or_default() {
            self.set_state(sequence, State::Blocked);
        }
    }

    /// Ends what is over at `now`: leases, back-offs, the time that messages are kept.
    pub(super) fn advance(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        while let Some((deadline, sequence)) = self.leases.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.fail(now, sequence, effects);
            self.leases.remove(&(deadline, sequence));
        }
        while let Some((until, sequence)) = self.waiting.first().copied().filter(|(until, _)| *until <= now) {
            self.waiting.remove(&(until, sequence));
            self.come_back(sequence);
        }
        let oldest = now.saturating_sub(self.settings.retention);
        while let Some(entry) = self.entries.first_entry().filter(|entry| entry.get().message.published < oldest) {
            let (sequence, message) = (*entry.key(), entry.get().message.clone());
            self.remove(sequence);
            effects.push(Effect::Gone(message));
        }
        while let Some(entry) = self.acked.first_entry().filter(|entry| entry.get().published < oldest) {
            effects.push(Effect::Gone(entry.remove()));
        }
    }

    /// When [`Backlog::advance`] next has something to do.
    pub(super) fn next_due(&self) -> Option<Micros> {
        let expiry = |message: &Arc<Message>| message.published.saturating_add(self.settings.retention + 1);
        let lease = self.leases.first().map(|(deadline, _)| *deadline);
        let waiting = self.waiting.first().map(|(until, _)| *until);
        let oldest = self.entries.first_key_value().map(|(_, entry)| expiry(&entry.message));
        let acked = self.acked.first_key_value().map(|(_, message)| expiry(message));
        [lease, waiting, oldest, acked].into_iter().flatten().min()
    }

    /// Marks what was published before `time` as acked, and what is kept since then as unacked. `retained` are further
    /// messages that the topic keeps; those that this takes get another holder.
    pub(super) fn seek(&mut self, time: Micros, retained: &[Arc<Message>], effects: &mut Vec<Effect>) {
        let earlier: Vec<u64> =
            self.entries.values().filter(|e| e.message.published < time).map(|e| e.message.sequence).collect();
        for sequence in earlier {
            self.settle(sequence, effects);
        }
        let later: Vec<u64> =
            self.acked.values().filter(|message| message.published >= time).map(|m| m.sequence).collect();
        let restored: Vec<_> = later.iter().filter_map(|sequence| self.acked.remove(sequence)).collect();
        for message in restored {
            effects.push(Effect::Restored(message.clone()));
            self.add(message, 0);
        }
        for message in retained.iter().filter(|message| message.published >= time) {
            if !self.entries.contains_key(&message.sequence) {
                message.hold();
                effects.push(Effect::Restored(message.clone()));
                self.add(message.clone(), 0);
            }
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, effects: &mut Vec<Effect>) {
        let sequences: Vec<u64> = self.entries.keys().copied().collect();
        for sequence in sequences {
            if let Some(entry) = self.remove(sequence) {
                effects.push(Effect::Gone(entry.message));
            }
        }
        effects.extend(std::mem::take(&mut self.acked).into_values().map(Effect::Gone));
    }

    /// Whether somebody who waits should look again; asking resets it.
    pub(super) fn stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Unacked messages, their bytes, and when the oldest was published.
    pub(super) fn depth(&self) -> (u64, u64, Option<Micros>) {
        let oldest = self.entries.first_key_value().map(|(_, entry)| entry.message.published);
        (self.entries.len() as u64, self.bytes, oldest)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Acked: kept or gone.
    fn settle(&mut self, sequence: u64, effects: &mut Vec<Effect>) {
        let Some(entry) = self.remove(sequence) else { return };
        if self.settings.retain_acked {
            self.acked.insert(sequence, entry.message.clone());
            effects.push(Effect::Retained(entry.message));
        } else {
            effects.push(Effect::Gone(entry.message));
        }
    }

    fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let outstanding = matches!(self.entries.get(&sequence)?.state, State::Leased { .. });
        self.leave_state(sequence);
        let entry = self.entries.remove(&sequence)?;
        self.bytes -= u64::from(entry.message.size);
        if let Some(key) = self.key_of(&entry.message) {
            self.keys.remove(&key, sequence, outstanding);
            self.promote(&key);
        }
        Some(entry)
    }

    fn key_of(&self, message: &Message) -> Option<Arc<str>> {
        if self.settings.ordered { message.ordering_key.clone() } else { None }
    }
}
