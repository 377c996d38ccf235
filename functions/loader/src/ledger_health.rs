//! Whether the ledger answers.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// So long the ledger must have been silent before it counts as lost.
const SILENCE: Duration = Duration::from_secs(2);

/// Since when the ledger gives no answers.
#[derive(Debug, Default)]
pub(crate) struct LedgerHealth {
    silent_since: Mutex<Option<Instant>>,
}

impl LedgerHealth {
    /// A call was answered, or was not.
    pub(crate) fn saw(&self, is_answered: bool) {
        let mut silent_since = self.silent_since.lock();
        if is_answered {
            *silent_since = None;
        } else {
            silent_since.get_or_insert_with(Instant::now);
        }
    }

    /// Whether it has been silent for long.
    pub(crate) fn is_lost(&self) -> bool {
        self.silent_since.lock().is_some_and(|since| since.elapsed() >= SILENCE)
    }
}
