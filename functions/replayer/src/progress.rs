//! How far a run is: counters that everybody adds to and anybody reads.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What a run has read and done so far. Cheap to read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    /// Records that the run will read; known when the objects are listed.
    pub(crate) expected: AtomicU64,
    pub(crate) objects: AtomicU64,
    pub(crate) objects_done: AtomicU64,
    pub(crate) read: AtomicU64,
    pub(crate) earlier: AtomicU64,
    pub(crate) outside: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) held_back: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) unpublishable: AtomicU64,
    pub(crate) taken: AtomicU64,
    pub(crate) staged: AtomicU64,
    pub(crate) inserted: AtomicU64,
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Records that will be read in all.
    #[serde(skip)]
    pub expected: u64,
    /// Objects that will be read in all.
    pub objects: u64,
    /// Objects that were read to their end.
    pub objects_done: u64,
    /// Records that were read.
    pub read: u64,
    /// Of them: those that an interrupted run of this replay had done.
    pub earlier: u64,
    /// Of them: those that were not asked for.
    pub outside: u64,
    /// Of them: messages that the archive has in two objects, beyond the first.
    pub repeated: u64,
    /// Of them: those that this mode cannot replay without a risk of second rows; the other mode can.
    pub held_back: u64,
    /// Of them: those that are dead letters and would be again.
    pub dead_letters: u64,
    /// Of them: those that Pub/Sub would not take.
    pub unpublishable: u64,
    /// Of them: those that were published, or staged, or would be in a dry run.
    pub taken: u64,
    /// Rows in staging tables, those of interrupted runs too.
    pub staged: u64,
    /// Rows that the tables lacked and have now.
    pub inserted: u64,
}

impl Progress {
    pub(crate) fn add(&self, which: impl FnOnce(&Self) -> &AtomicU64, count: u64) {
        which(self).fetch_add(count, Ordering::Relaxed);
    }

    /// The counts by now.
    pub fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            expected: count(&self.expected),
            objects: count(&self.objects),
            objects_done: count(&self.objects_done),
            read: count(&self.read),
            earlier: count(&self.earlier),
            outside: count(&self.outside),
            repeated: count(&self.repeated),
            held_back: count(&self.held_back),
            dead_letters: count(&self.dead_letters),
            unpublishable: count(&self.unpublishable),
            taken: count(&self.taken),
            staged: count(&self.staged),
            inserted: count(&self.inserted),
        }
    }
}
