//! The row of a raw table: the event as it is, when it was published, and its type.

use catalog::Table;
use event::{Reason, Rejection};

use super::{
    RawEvent,
    json_text::{self, JsonTextFault, MAX_NESTING},
    plan::{Kind, Plan},
    protobuf::{put_bytes, put_int64},
};

/// Appends the columns of a raw table to `out`; `json` is the event's, masked where its stream masks.
pub(super) fn write(plan: &Plan, json: &[u8], event: &RawEvent<'_>, out: &mut Vec<u8>) -> Result<(), Rejection> {
    let text = std::str::from_utf8(json).map_err(|error| Rejection::new(Reason::MalformedJson, error.to_string()))?;
    json_text::check(text).map_err(|fault| match fault {
        JsonTextFault::TooDeep => {
            Rejection::new(Reason::OutOfRange, format!("JSON holds no more than {MAX_NESTING} levels"))
        }
        JsonTextFault::LoneSurrogate => {
            Rejection::new(Reason::TypeMismatch, "expected JSON, found a \\u escape that stands for half a character")
        }
    })?;
    let lacks = |name: &str, what: &str| {
        Rejection::new(Reason::RowRejected, format!("the raw table has no {what} column `{name}`"))
    };
    match plan.own(Table::PAYLOAD) {
        Some(column) if matches!(column.kind, Kind::Json) && !column.is_repeated => put_bytes(out, column.tag, json),
        _ => return Err(lacks(Table::PAYLOAD, "JSON")),
    }
    match plan.own(Table::PUBLISHED_AT) {
        Some(column) if matches!(column.kind, Kind::Timestamp) && !column.is_repeated => {
            put_int64(out, column.tag, event.published_at.as_microsecond());
        }
        _ => return Err(lacks(Table::PUBLISHED_AT, "TIMESTAMP")),
    }
    // A raw table that is older than this column has none.
    if let (Some(event_type), Some(column)) = (event.event_type, plan.own(Table::EVENT_TYPE))
        && matches!(column.kind, Kind::String { .. })
        && !column.is_repeated
    {
        put_bytes(out, column.tag, event_type.as_bytes());
    }
    Ok(())
}
