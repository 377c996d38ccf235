//! What one subscription has not acked yet: leases, back-off, order. Pure: the time is handed in, and what has to be
//! written or published comes back as effects.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    clock::Micros,
    message::Message,
    ordering::{Keys, Next},
    retry::Retry,
};

/// Who holds leases: a streaming pull, a pull, a subscription's pusher.
pub(super) type Holder = u64;

/// The subscription's settings that matter here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) ordered: bool,
    pub(super) exactly_once: bool,
    pub(super) retry: Retry,
    pub(super) max_delivery_attempts: Option<u32>,
    /// Messages older than this are gone.
    pub(super) retention: Micros,
    /// Acked messages are kept until they are too old, for a seek.
    pub(super) retain_acked: bool,
}

/// What has to happen beside.
#[derive(Debug)]
pub(super) enum Effect {
    /// The message left the subscription for good.
    Gone(Arc<Message>),
    /// The message is acked, and kept.
    Retained(Arc<Message>),
    /// A kept message is unacked again.
    Restored(Arc<Message>),
    /// The message failed so often by now.
    Failed(Arc<Message>, u32),
    /// The message used up its deliveries. It stays until [`Backlog::forwarded`].
    DeadLetter(Arc<Message>, u32),
}

/// How much a holder takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Take {
    pub(super) holder: Holder,
    pub(super) max_messages: usize,
    /// One message is taken whatever its size.
    pub(super) max_bytes: u64,
    /// How long the leases last.
    pub(super) lease: Micros,
    /// Whether one message of a key, or each that follows it, may be taken.
    pub(super) one_of_a_key: bool,
}

/// A leased message.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) lease: u64,
    /// From 1.
    pub(super) attempt: u32,
}

/// What an acknowledgement or an extension met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// Exactly-once delivery: the lease is over.
    Expired,
}

/// What a holder may have out at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Load {
    limits: Limits,
    messages: u64,
    bytes: u64,
}

impl Load {
    fn is_full(&self) -> bool {
        self.messages >= self.limits.messages || self.bytes >= self.limits.bytes
    }
}

#[derive(Debug)]
struct Entry {
    message: Arc<Message>,
    failures: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Anyone may take it.
    Ready,
    /// The holder of its key's earlier messages may take it.
    Reserved(Holder),
    /// Earlier messages of its key come first.
    Blocked,
    /// It backs off.
    Waiting(Micros),
    Leased {
        lease: u64,
        deadline: Micros,
        holder: Holder,
    },
    /// It is on its way to the dead-letter topic.
    Forwarding,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) acked: u64,
    pub(super) nacked: u64,
    pub(super) dead_lettered: u64,
}

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

    /// Leases as many messages as the holder may have, oldest first.
    pub(super) fn take(&mut self, now: Micros, take: Take, effects: &mut Vec<Effect>) -> Vec<Delivery> {
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
    pub(super) fn ack(&mut self, now: Micros, sequence: u64, lease: u64, effects: &mut Vec<Effect>) -> Answer {
        let Some(entry) = self.entries.get(&sequence) else { return Answer::Done };
        if self.settings.exactly_once && !is_current(entry, lease, now) {
            return Answer::Expired;
        }
        self.counts.acked += 1;
        self.settle(sequence, effects);
        Answer::Done
    }

    /// The lease lasts until `now + extension`; 0 gives the message back.
    pub(super) fn modify(
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
    pub(super) fn forwarded(&mut self, now: Micros, sequence: u64, taken: bool, effects: &mut Vec<Effect>) {
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

    /// The outstanding message failed: it backs off, or goes to the dead letters; later ones of its key come again.
    fn fail(&mut self, now: Micros, sequence: u64, effects: &mut Vec<Effect>) {
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

    /// The message may go out again, when its key allows.
    fn come_back(&mut self, sequence: u64) {
        let Some(entry) = self.entries.get(&sequence) else { return };
        match self.key_of(&entry.message) {
            Some(key) => {
                self.set_state(sequence, State::Blocked);
                self.promote(&key);
            }
            None => self.make_ready(sequence),
        }
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

    /// Lets the key's next message out, where the outstanding ones allow.
    fn promote(&mut self, key: &Arc<str>) {
        match self.keys.next(key) {
            Next::Anyone(sequence) => {
                if self.entries.get(&sequence).is_some_and(|e| matches!(e.state, State::Blocked | State::Reserved(_))) {
                    self.make_ready(sequence);
                }
            }
            Next::Only(holder, sequence) => {
                let blocked = self.entries.get(&sequence).is_some_and(|entry| entry.state == State::Blocked);
                if blocked && self.holders.contains_key(&holder) {
                    self.set_state(sequence, State::Reserved(holder));
                    self.reserved.entry(holder).or_default().insert(sequence);
                    self.stirred = true;
                }
            }
            Next::None => {}
        }
    }

    fn make_ready(&mut self, sequence: u64) {
        self.set_state(sequence, State::Ready);
        self.ready.insert(sequence);
        self.stirred = true;
    }

    fn set_state(&mut self, sequence: u64, state: State) {
        self.leave_state(sequence);
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.state = state;
        }
    }

    /// Takes the message out of the set that its state stands for. The state itself must be set next.
    fn leave_state(&mut self, sequence: u64) {
        let Some(entry) = self.entries.get(&sequence) else { return };
        match entry.state {
            State::Ready => {
                self.ready.remove(&sequence);
            }
            State::Reserved(holder) => {
                if let Some(reserved) = self.reserved.get_mut(&holder) {
                    reserved.remove(&sequence);
                    if reserved.is_empty() {
                        self.reserved.remove(&holder);
                    }
                }
            }
            State::Waiting(until) => {
                self.waiting.remove(&(until, sequence));
            }
            State::Leased { deadline, holder, .. } => {
                self.leases.remove(&(deadline, sequence));
                if let Some(load) = self.holders.get_mut(&holder) {
                    self.stirred |= load.is_full();
                    load.messages = load.messages.saturating_sub(1);
                    load.bytes = load.bytes.saturating_sub(u64::from(entry.message.size));
                }
            }
            State::Blocked | State::Forwarding => {}
        }
    }

    fn key_of(&self, message: &Message) -> Option<Arc<str>> {
        if self.settings.ordered { message.ordering_key.clone() } else { None }
    }
}

fn is_current(entry: &Entry, lease: u64, now: Micros) -> bool {
    matches!(entry.state, State::Leased { lease: current, deadline, .. } if current == lease && deadline > now)
}

#[cfg(test)]
mod tests;
