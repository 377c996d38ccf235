use super::{cursor::Cursor, when};
use crate::{ContentHash, JsonPointer};

/// Where a stream's ids come from.
#[derive(Debug, Clone)]
pub(super) enum EventIds {
    Pointer(JsonPointer),
    ContentHash(ContentHash),
}

/// Reads a stream's `event_id`. `None`: there is a problem.
pub(super) fn read(at: &Cursor<'_>) -> Option<EventIds> {
    if !at.is_map() {
        return when::pointer(at).map(EventIds::Pointer);
    }
    const EXPECTED: &str = "a list of JSON pointers, e.g. `[/trip_id, /stop_id]`, or `all`";
    let mut settings = at.settings("where the event's id comes from: a JSON pointer, or a map with `content_hash`")?;
    let hash = settings.required("content_hash", EXPECTED).and_then(|at| {
        if at.is_list() {
            when::pointers(&at).map(ContentHash::Of)
        } else {
            at.parse(EXPECTED, |text| (text == "all").then_some(ContentHash::All))
        }
    });
    settings.finish();
    hash.map(EventIds::ContentHash)
}
