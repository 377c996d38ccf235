//! How often, and how long after one another, requests are tried again.

use std::time::Duration;

use uuid::Uuid;

use crate::StoreError;

/// Tries after the first.
const RETRIES: u32 = 6;
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Retries with a truncated exponential back-off and full jitter.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    done: u32,
}

impl Retries {
    /// Waits and returns, where `error` may pass and there are retries left; otherwise gives it back.
    pub(crate) async fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !error.is_transient() || self.done >= RETRIES {
            return Err(error);
        }
        let limit = FIRST.saturating_mul(1 << self.done).min(LONGEST);
        self.done += 1;
        tracing::debug!(%error, retry = self.done, "trying again");
        let random = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        tokio::time::sleep(limit.mul_f64(random)).await;
        Ok(())
    }

    /// Something moved: the next failure is the first again.
    pub(crate) fn reset(&mut self) {
        self.done = 0;
    }
}
