use event::Rejection;

/// How many faults are told. A document of some megabytes may have millions.
const TOLD: usize = 100;

/// The parts of a document that are no events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// How many there are.
    pub count: u64,
    /// What is wrong with the first hundred of them, with their places in the document.
    pub told: Vec<Rejection>,
}

impl Faults {
    pub(crate) fn add(&mut self, rejection: impl FnOnce() -> Rejection) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(rejection());
        }
    }
}
