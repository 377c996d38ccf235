//! What is explored: the messages, which faults how often, and what is taken away from the protocol.

/// One bounded world. Every order of events within the bounds is explored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// The event of each message: two messages of one event are a publisher's duplicate.
    pub(crate) messages: &'static [u8],
    /// The most rows of one request.
    pub(crate) batch_rows: usize,
    /// The events whose row the table refuses.
    pub(crate) refused: &'static [u8],
    /// The loader that alone refuses those events, which the table would take: it knows another schema.
    pub(crate) refused_by: Option<usize>,
    /// The faults that may happen.
    pub(crate) faults: Faults,
    /// What is taken away from the protocol.
    pub(crate) weakness: Weakness,
    /// Which replies travel as long as they like.
    pub(crate) slow: Slow,
    /// Of how many states one is healed, to see that nothing is stuck.
    pub(crate) heal_one_in: u64,
}

/// Which replies travel as long as they like. The others come when their call arrives: the caller's next call may take its
/// time all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slow {
    None,
    /// Those of swaps.
    Swaps,
    All,
}

/// How often each fault may happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A loader dies; what it sent still arrives, or never does.
    pub(crate) crashes: u8,
    /// A loader gets SIGTERM.
    pub(crate) stops: u8,
    /// A caller hears nothing, and its call arrives later, or never.
    pub(crate) lost: u8,
    /// A message is delivered although it waits for an answer, or was acked.
    pub(crate) redeliveries: u8,
    /// A loader that lives is taken for dead.
    pub(crate) suspicions: u8,
    /// Every delivery that waits in one loader runs out of time.
    pub(crate) expiries: u8,
    /// The write stream of a dead loader is dropped by BigQuery.
    pub(crate) dropped_streams: u8,
    /// The table takes the rows that it refused.
    pub(crate) lifts: u8,
    /// The ledger fails over, and forgets the newest of its writes.
    pub(crate) losses: u8,
    /// A primary that the ledger failed over from answers a call all the same.
    pub(crate) stale_answers: u8,
    /// How often the registry's generation may be bumped.
    pub(crate) recoveries: u8,
}

impl Scenario {
    pub(crate) const NOTHING: Self = Self {
        messages: &[0],
        batch_rows: 2,
        refused: &[],
        refused_by: None,
        faults: Faults {
            crashes: 0,
            stops: 0,
            lost: 0,
            redeliveries: 0,
            suspicions: 0,
            expiries: 0,
            dropped_streams: 0,
            lifts: 0,
            losses: 0,
            stale_answers: 0,
            recoveries: 0,
        },
        weakness: Weakness::None,
        slow: Slow::None,
        heal_one_in: 0,
    };

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.messages.iter().map(|event| usize::from(*event) + 1).max().unwrap_or(0)
    }

    /// The number by which the ledger and the table know a message's event.
    pub(crate) fn key_of(&self, message: usize) -> u8 {
        match self.weakness {
            Weakness::KeysByMessageId => message as u8,
            _ => self.messages[message],
        }
    }

    /// The event that a key stands for.
    pub(crate) fn event_of(&self, key: u8) -> u8 {
        match self.weakness {
            Weakness::KeysByMessageId => self.messages[usize::from(key)],
            _ => key,
        }
    }

    /// Whether the ledger guards its generation, and write streams are registered.
    pub(crate) fn guarded(&self) -> bool {
        self.faults.losses > 0 && self.weakness != Weakness::LossUndetected
    }
}

/// What is taken away from the protocol. Each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weakness {
    None,
    /// A fence looks at nothing, and says that nothing was written.
    FenceSaysNothing,
    /// A fence looks at nothing, and says that everything was written.
    FenceSaysEverything,
    /// A fence reads the stream's length, and does not finalize it.
    FenceOnlyReads,
    /// No claim before the append: the ledger is read, and told afterwards.
    NoClaim,
    /// A claim is taken over whatever stands there.
    TakeOverWithoutCompare,
    /// A claim names its row's predicted offset, and losers leave the request.
    OffsetsOfRows,
    /// A refused row leaves its request, and its claim stays.
    RefusedKeepsClaim,
    /// The rest of a refused request goes to its offset although the ledger may forget that a key left it.
    RefusedOffsetReused,
    /// A request whose outcome is unknown gives its offset to other rows.
    AmbiguousReused,
    /// A refused request is changed while a copy of it is on its way.
    RefusedWhileCopyFlies,
    /// Appends name no offset.
    NoOffset,
    /// A delivery is answered when it comes.
    AckFirst,
    /// A dropped stream is taken for empty.
    DroppedMeansNothing,
    /// A dropped stream is taken for full.
    DroppedMeansEverything,
    /// A finalized stream takes an append that was on its way (A3 is false).
    FinalizeOvertaken,
    /// The message is the key, not the event.
    KeysByMessageId,
    /// The dead letter is written before the key says so.
    DeadLetterFirst,
    /// Recovery does not fence the streams of dead letters.
    DeadLettersUnfenced,
    /// An event whose claim is unknown leaves the request, which is sent.
    UnknownClaimLeftOut,
    /// A dead owner is never suspected.
    NeverSuspects,
    /// The ledger fails over, and nobody notices.
    LossUndetected,
    /// It is noticed, and the ledger is filled again, but no stream is fenced.
    LossUnfenced,
    /// It is noticed, and the streams are fenced, but the ledger is not filled again.
    LossNotRestored,
    /// It is noticed, but streams are in no registry: only those that the ledger still names are fenced.
    NoRegistry,
    /// What is told to the ledger in a recovery may reach another primary than the one that is adopted.
    RestoreUnguarded,
    /// A stream is registered, but the generation is not read again afterwards.
    RegisteredUnread,
}
