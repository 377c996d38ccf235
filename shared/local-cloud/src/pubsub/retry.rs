use googleapis::google::pubsub::v1 as pb;

use super::clock::{Micros, SECOND, duration};

/// When a message comes again after a nack or an expired lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// At once: a pull subscription without a retry policy.
    AtOnce,
    /// After `min`, then twice as long with each failure, at most `max`.
    BackOff { min: Micros, max: Micros },
}

impl Retry {
    /// What a subscription's settings mean. A push subscription without a policy backs off from 100 ms to 60 s, as the
    /// service does; here it is per message, so that one that always fails does not hold up the others.
    pub(super) fn of(policy: Option<&pb::RetryPolicy>, push: bool) -> Self {
        match policy {
            Some(policy) => Self::BackOff {
                min: policy.minimum_backoff.as_ref().map_or(10 * SECOND, duration),
                max: policy.maximum_backoff.as_ref().map_or(600 * SECOND, duration),
            },
            None if push => Self::BackOff { min: SECOND / 10, max: 60 * SECOND },
            None => Self::AtOnce,
        }
    }

    /// How long after the `failures`-th failure (from 1) the message stays away.
    pub(super) fn delay(self, failures: u32) -> Micros {
        match self {
            Self::AtOnce => 0,
            Self::BackOff { min, max } => {
                let doublings = failures.saturating_sub(1).min(40);
                min.saturating_mul(1 << doublings).min(max)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound() {
        let push = Retry::of(None, true);
        let delays: Vec<_> = [1, 2, 3, 10, 11, 99].map(|failures| push.delay(failures) / 1000).into();
        assert_eq!(delays, [100, 200, 400, 51_200, 60_000, 60_000]);
        assert_eq!(Retry::of(None, false).delay(5), 0);
        let policy = pb::RetryPolicy::default();
        assert_eq!(Retry::of(Some(&policy), false).delay(1), 10 * SECOND);
    }
}
