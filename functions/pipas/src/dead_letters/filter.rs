//! Which dead letters are meant.

use catalog::{dead_letters_table, redrives_table};
use clap::Args;
use event::{Reason, Timestamp};
use jiff::SignedDuration;

use crate::{audit, span::Span};

/// What every command of dead letters filters by.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Filter {
    /// Of this stream
    #[arg(long, value_name = "STREAM", value_parser = stream)]
    pub(super) stream: Option<String>,
    /// Of this reason, e.g. type_mismatch
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(super) reason: Option<Reason>,
    /// Refused since this time, e.g. 2024-02-01 or 2024-02-01T10:00:00Z (UTC), or so long ago, e.g. 24h
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(super) since: Option<Timestamp>,
}

impl Filter {
    /// The condition on columns of the dead letters, in GoogleSQL. Each value was checked when it was read, so none of them can
    /// say more than a value says.
    pub(super) fn condition(&self) -> String {
        let stream = self.stream.as_ref().map(|stream| format!("letters.stream = '{stream}'"));
        let reason = self.reason.map(|reason| format!("letters.reason = '{reason}'"));
        let since = self.since.map(|since| format!("letters.rejected_at >= TIMESTAMP '{since:.6}'"));
        let conditions: Vec<String> = [stream, reason, since].into_iter().flatten().collect();
        if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") }
    }
}

/// The dead letters as `letters`, each with when it was last published again as `redriven.redriven_at`.
pub(super) fn letters() -> String {
    format!(
        "`{}` AS letters LEFT JOIN (SELECT dead_letter_id AS redriven_id, MAX(redriven_at) AS redriven_at FROM `{}` \
         GROUP BY 1) AS redriven ON redriven.redriven_id = letters.dead_letter_id",
        dead_letters_table().name,
        redrives_table().name,
    )
}

fn stream(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    is_name.then(|| text.to_owned()).ok_or_else(|| "expected lower-case letters, digits and hyphens".to_owned())
}

fn reason(text: &str) -> Result<Reason, String> {
    let codes = || Reason::ALL.map(Reason::code).join(", ");
    Reason::from_code(text).ok_or_else(|| format!("expected one of {}", codes()))
}

fn since(text: &str) -> Result<Timestamp, String> {
    match text.parse::<Span>() {
        Ok(span) => {
            let ago = SignedDuration::try_from(span.0).map_err(|error| error.to_string())?;
            Timestamp::now().checked_sub(ago).map_err(|error| error.to_string())
        }
        Err(_) => audit::moment(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_values_and_nothing_else() {
        let filter = Filter {
            stream: Some("orders".into()),
            reason: Some(Reason::NoRoute),
            since: Some(since("2024-02-01").expect("a time")),
        };
        let expected = "letters.stream = 'orders' AND letters.reason = 'no_route' \
                        AND letters.rejected_at >= TIMESTAMP '2024-02-01T00:00:00.000000Z'";
        assert_eq!(filter.condition(), expected);
        assert_eq!(Filter::default().condition(), "TRUE");
        assert!(stream("x' OR 'a'='a").is_err() && reason("no-route").is_err() && since("yesterday").is_err());
        assert!(since("24h").is_ok_and(|time| time < Timestamp::now()));
    }
}
