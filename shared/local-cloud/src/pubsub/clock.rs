use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds: since 1970 for a moment, or of a duration.
pub(super) type Micros = i64;

/// A second.
pub(super) const SECOND: Micros = 1_000_000;

/// Wall time that never goes backwards: the wall's at the start, and a monotonic clock from there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    wall: Micros,
}

impl Clock {
    pub(super) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros);
        Self { started: Instant::now(), wall }
    }

    pub(super) fn now(&self) -> Micros {
        self.wall.saturating_add(micros(self.started.elapsed()))
    }

    /// The runtime's instant of a moment; a moment long ago is now.
    pub(super) fn instant(&self, moment: Micros) -> tokio::time::Instant {
        let ahead = moment.saturating_sub(self.now()).max(0);
        tokio::time::Instant::now() + Duration::from_micros(ahead.unsigned_abs())
    }
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// A moment as Pub/Sub writes it.
pub(super) fn timestamp(moment: Micros) -> prost_types::Timestamp {
    let nanos = i32::try_from(moment.rem_euclid(SECOND) * 1000).unwrap_or_default();
    prost_types::Timestamp { seconds: moment.div_euclid(SECOND), nanos }
}

/// The moment of a timestamp.
pub(super) fn moment(timestamp: &prost_types::Timestamp) -> Micros {
    timestamp.seconds.saturating_mul(SECOND).saturating_add(Micros::from(timestamp.nanos) / 1000)
}

/// A protobuf duration in microseconds.
pub(super) fn duration(duration: &prost_types::Duration) -> Micros {
    duration.seconds.saturating_mul(SECOND).saturating_add(Micros::from(duration.nanos) / 1000)
}

/// RFC 3339 in UTC with milliseconds, as push requests carry it.
pub(super) fn rfc3339(moment: Micros) -> String {
    jiff::Timestamp::from_microsecond(moment).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_survive_the_trip() {
        for at in [0, 1, 1_706_781_886_123_456, -1] {
            assert_eq!(moment(&timestamp(at)), at);
        }
        assert_eq!(rfc3339(1_706_781_886_123_456), "2024-02-01T10:04:46.123Z");
    }
}
