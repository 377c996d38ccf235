//! Ordering keys of one subscription: which message of a key may go out next, and to whom.
//!
//! The outstanding messages of a key are always the first ones of its queue, all with one holder. A pull stream gets the
//! following messages of a key while it holds earlier ones; a push has one message of a key on the way.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use super::backlog::Holder;

/// The messages of one key that are not acked.
#[derive(Debug, Default)]
struct Queue {
    sequences: BTreeSet<u64>,
    outstanding: usize,
    last_outstanding: Option<u64>,
    /// Who may have the following ones before the outstanding ones are acked.
    holder: Option<Holder>,
}

/// Who may take the first message of a key that is not outstanding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Anyone: nothing of the key is outstanding.
    Anyone(u64),
    /// The holder of the earlier ones.
    Only(Holder, u64),
    /// Nobody: there is none, or it has to wait for the outstanding ones.
    None,
}

/// The queues of a subscription's keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    queues: HashMap<Arc<str>, Queue>,
}

impl Keys {
    pub(super) fn add(&mut self, key: &Arc<str>, sequence: u64) {
        self.queues.entry(key.clone()).or_default().sequences.insert(sequence);
    }

    /// The message is acked or gone. `outstanding`: it was on the way.
    pub(super) fn remove(&mut self, key: &Arc<str>, sequence: u64, outstanding: bool) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.sequences.remove(&sequence);
        if outstanding {
            queue.outstanding = queue.outstanding.saturating_sub(1);
        }
        if queue.sequences.is_empty() {
            self.queues.remove(key);
        }
    }

    /// The message went out; `holder` may have the following ones too, where it is given.
    pub(super) fn went_out(&mut self, key: &Arc<str>, sequence: u64, holder: Option<Holder>) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.outstanding += 1;
        queue.last_outstanding = Some(sequence);
        queue.holder = holder;
    }

    /// The outstanding message failed: it and the later outstanding ones of the key are no longer out. Returns the
    /// later ones.
    pub(super) fn came_back(&mut self, key: &Arc<str>, sequence: u64) -> Vec<u64> {
        let Some(queue) = self.queues.get_mut(key) else { return Vec::new() };
        let last = queue.last_outstanding.unwrap_or(sequence).max(sequence);
        let later: Vec<u64> =
            queue.sequences.range((Bound::Excluded(sequence), Bound::Included(last))).copied().collect();
        queue.outstanding = queue.outstanding.saturating_sub(later.len() + 1);
        queue.last_outstanding = queue.sequences.range(..sequence).next_back().copied();
        later
    }

    /// The first message of the key that is not out, and who may have it.
    pub(super) fn next(&mut self, key: &Arc<str>) -> Next {
        let Some(queue) = self.queues.get_mut(key) else { return Next::None };
        if queue.outstanding == 0 {
            queue.holder = None;
            queue.last_outstanding = None;
            return queue.sequences.first().map_or(Next::None, |first| Next::Anyone(*first));
        }
        let (Some(holder), Some(last)) = (queue.holder, queue.last_outstanding) else { return Next::None };
        queue.sequences.range(last + 1..).next().map_or(Next::None, |next| Next::Only(holder, *next))
    }
}
