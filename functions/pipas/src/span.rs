//! Times on the command line.

use std::{str::FromStr, time::Duration};

use jiff::SignedDuration;

/// A time as people write it: `90s`, `1m 30s`, `24h`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span: Option<SignedDuration> = text.parse().ok();
        let span = span.and_then(|span| Duration::try_from(span).ok());
        span.map(Self).ok_or_else(|| "expected a time such as 90s, 24h or 500ms".to_owned())
    }
}
