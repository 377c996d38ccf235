/// What became of a delivery. Each delivery ends in exactly one, and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The event is a row now.
    Written,
    /// The event was a row already; the delivery was acked.
    Duplicate,
    /// The event is a dead letter now.
    DeadLettered,
    /// A passing fault: the delivery was nacked and will come again.
    Retried,
}

impl Outcome {
    /// Every outcome, in the order in which accounts list them.
    pub const ALL: [Self; 4] = [Self::Written, Self::Duplicate, Self::DeadLettered, Self::Retried];

    /// The stable name, as metrics and logs spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Duplicate => "duplicate",
            Self::DeadLettered => "dead_lettered",
            Self::Retried => "retried",
        }
    }
}
