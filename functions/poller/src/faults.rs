/// How many faults are told. A feed of some megabytes may have millions.
const TOLD: usize = 20;

/// The parts of a feed that are no events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// How many there are.
    pub(crate) count: u64,
    /// What is wrong with the first of them.
    pub(crate) told: Vec<String>,
}

impl Faults {
    pub(crate) fn add(&mut self, detail: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(detail());
        }
    }

    /// Takes over those of a document.
    pub(crate) fn take(&mut self, of_document: shape::Faults) {
        self.count += of_document.count;
        let room = TOLD.saturating_sub(self.told.len());
        self.told.extend(of_document.told.iter().take(room).map(ToString::to_string));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_faults_the_first_are_told() {
        let mut faults = Faults::default();
        (0..100).for_each(|at| faults.add(|| at.to_string()));
        assert_eq!((faults.count, faults.told.len(), faults.told[0].as_str()), (100, TOLD, "0"));
    }
}
