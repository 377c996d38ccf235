//! Where a message stands, and what moves it on: back-off, order, whoever takes it.

use std::sync::Arc;

use super::{
    Backlog,
    terms::{Holder, Limits},
};
use crate::pubsub::{clock::Micros, message::Message, ordering::Next};

#[derive(Debug)]
pub(super) struct Load {
    pub(super) limits: Limits,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Load {
    pub(super) fn is_full(&self) -> bool {
        self.messages >= self.limits.messages || self.bytes >= self.limits.bytes
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    pub(super) failures: u32,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
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

impl Backlog {
    /// The message may go out again, when its key allows.
    pub(super) fn come_back(&mut self, sequence: u64) {
        let Some(entry) = self.entries.get(&sequence) else { return };
        match self.key_of(&entry.message) {
            Some(key) => {
                self.set_state(sequence, State::Blocked);
                self.promote(&key);
            }
            None => self.make_ready(sequence),
        }
    }

    /// Lets the key's next message out, where the outstanding ones allow.
    pub(super) fn promote(&mut self, key: &Arc<str>) {
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

    pub(super) fn make_ready(&mut self, sequence: u64) {
        self.set_state(sequence, State::Ready);
        self.ready.insert(sequence);
        self.stirred = true;
    }

    pub(super) fn set_state(&mut self, sequence: u64, state: State) {
        self.leave_state(sequence);
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.state = state;
        }
    }

    /// Takes the message out of the set that its state stands for. The state itself must be set next.
    pub(super) fn leave_state(&mut self, sequence: u64) {
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
}
