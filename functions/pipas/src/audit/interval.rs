//! A span of publish times.

use std::{fmt, time::Duration};

use anyhow::bail;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use crate::span::Span;

/// Publish times from one up to another, which is not in it. An open end has no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interval {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

impl Interval {
    /// From `from` up to, and without, `to`.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> anyhow::Result<Self> {
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            bail!("--from {from} is not before --to {to}");
        }
        Ok(Self { from, to })
    }

    pub(super) fn holds(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    /// This interval and `more` on either side: an event of it may have become a row by a copy that was published as much
    /// earlier or later.
    pub(super) fn widened(&self, more: Duration) -> Self {
        let more = SignedDuration::try_from(more).unwrap_or(SignedDuration::MAX);
        Self {
            from: self.from.map(|from| from.checked_sub(more).unwrap_or(Timestamp::MIN)),
            to: self.to.map(|to| to.checked_add(more).unwrap_or(Timestamp::MAX)),
        }
    }

    /// The condition on the column `published`, in GoogleSQL.
    pub(super) fn condition(&self, published: &str) -> String {
        let bound = |operator: &str, time: Option<Timestamp>| {
            time.map(|time| format!("{published} {operator} TIMESTAMP '{time:.6}'"))
        };
        let bounds: Vec<String> = [bound(">=", self.from), bound("<", self.to)].into_iter().flatten().collect();
        if bounds.is_empty() { "TRUE".to_owned() } else { bounds.join(" AND ") }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (None, None) => write!(f, "at any time"),
            (Some(from), None) => write!(f, "from {from}"),
            (None, Some(to)) => write!(f, "before {to}"),
            (Some(from), Some(to)) => write!(f, "from {from} and before {to}"),
        }
    }
}

/// Reads a time: RFC 3339, a date or civil time of UTC, or how long ago it was, as what runs by the clock says it.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let expected = || "expected a time such as 2024-02-01T10:00:00Z, a day such as 2024-02-01, or `26h ago`".to_owned();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Some(span) = text.strip_suffix(" ago") {
        let Span(span) = span.parse()?;
        return Timestamp::now().checked_sub(span).map_err(|_| expected());
    }
    let civil: DateTime = text.parse().map_err(|_| expected())?;
    civil.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        time(text).expect("a time")
    }

    #[test]
    fn times_are_utc_and_days_begin_at_midnight() {
        assert_eq!(at("2024-02-01"), at("2024-02-01T00:00:00Z"));
        assert_eq!(at("2024-02-01T10:30:00"), at("2024-02-01T11:30:00+01:00"));
        assert!(time("yesterday").is_err());
    }

    #[test]
    fn what_runs_by_the_clock_says_how_long_ago() {
        let said = at("26h ago");
        let ago = Timestamp::now().duration_since(said);
        assert!((93_600..93_660).contains(&ago.as_secs()), "{ago}");
        assert!(time("soon ago").is_err() && time("ago").is_err());
    }

    #[test]
    fn the_end_is_not_in_it() {
        let day = Interval::new(Some(at("2024-02-01")), Some(at("2024-02-02"))).expect("an interval");
        assert!(day.holds(at("2024-02-01")) && !day.holds(at("2024-02-02")));
        assert_eq!(
            day.widened(Duration::from_secs(3600)).condition("p"),
            "p >= TIMESTAMP '2024-01-31T23:00:00.000000Z' AND p < TIMESTAMP '2024-02-02T01:00:00.000000Z'"
        );
        assert_eq!(Interval::default().condition("p"), "TRUE");
        assert!(Interval::new(Some(at("2024-02-02")), Some(at("2024-02-02"))).is_err());
    }
}
