use exactly_once::Time;

/// What a ledger knows of itself. Times are the ledger's own, since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The history of writes that the server stands for. It is another after a restart, a promotion, or a loss of the journal.
    pub identity: String,
    /// What the ledger was adopted for; `None` where any part of it was not, or parts of it differently.
    pub adopted: Option<Adopted>,
    /// The last [`crate::Ledger::beat`] that survived: of what was written before, nothing is lost. `None`: nothing is known
    /// to have survived.
    pub beat: Option<Time>,
    /// The time of the survey.
    pub now: Time,
    /// What the server does when it is full, where it says so; anything but `noeviction` silently deletes claims.
    pub policy: Option<String>,
}

impl Survey {
    /// Whether guarded calls of this generation are taken.
    pub fn holds(&self, generation: u64) -> bool {
        self.adopted
            .as_ref()
            .is_some_and(|adopted| adopted.identity == self.identity && adopted.generation == generation)
    }
}

/// A declaration that a server's data is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The server's.
    pub identity: String,
    /// The generation of write streams whose claims are all there.
    pub generation: u64,
}

impl Adopted {
    /// Whether the server of `identity` may be adopted for `generation` after this: not for one that is over, nor for one whose
    /// claims another server took.
    pub(crate) fn gives_way_to(&self, identity: &str, generation: u64) -> bool {
        self.generation < generation || (self.generation == generation && self.identity == identity)
    }
}
