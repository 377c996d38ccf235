//! A request's body: read within bounds, and cut into events byte for byte.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use catalog::Malformed;
use content_encoding::ContentEncoding;
use futures::StreamExt;
use http::{HeaderMap, header};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::{BadEvent, LISTED, ReceiverError},
    headers::Form,
};

/// Events of one request at most: what bounds the attributes that are made of a body.
pub(crate) const MAX_EVENTS: usize = 20_000;

/// The body, decompressed, and the room that it takes; hold it until the body is answered.
pub(crate) async fn read(
    encoding: ContentEncoding,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    room: &Arc<Semaphore>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ReceiverError> {
    if encoding == ContentEncoding::Identity && says_more_than(limit, headers) {
        return Err(ReceiverError::LargeBody { limit });
    }
    let mut body = encoding.decode(body.into_data_stream());
    let mut read = BytesMut::new();
    let mut taken: Option<OwnedSemaphorePermit> = None;
    while let Some(data) = body.next().await {
        let data = data.map_err(|error| ReceiverError::Body { detail: innermost(&error) })?;
        if read.len() + data.len() > limit {
            return Err(ReceiverError::LargeBody { limit });
        }
        let bytes = u32::try_from(data.len()).map_err(|_| ReceiverError::LargeBody { limit })?;
        let more = Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| ReceiverError::Overloaded)?;
        match &mut taken {
            Some(taken) => taken.merge(more),
            None => taken = Some(more),
        }
        read.extend_from_slice(&data);
    }
    Ok((read.freeze(), taken))
}

/// Whether the request says itself that its body is longer.
fn says_more_than(limit: usize, headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.is_some_and(|length: u64| length > limit as u64)
}

/// The layers above say only that reading failed; the layer below says why.
fn innermost(error: &std::io::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// One event's bytes, and where they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) data: Bytes,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The bad events of a body: all are counted, the first [`LISTED`] are kept.
#[derive(Debug, Default)]
pub(crate) struct BadEvents {
    pub(crate) count: usize,
    pub(crate) listed: Vec<BadEvent>,
}

impl BadEvents {
    pub(crate) fn add(&mut self, bad: BadEvent) {
        self.count += 1;
        if self.listed.len() < LISTED {
            self.listed.push(bad);
        }
    }

    /// `Err` where there are some.
    pub(crate) fn none(self) -> Result<(), ReceiverError> {
        if self.count == 0 { Ok(()) } else { Err(self.into_error()) }
    }

    fn into_error(self) -> ReceiverError {
        ReceiverError::BadEvents { count: self.count, events: self.listed }
    }
}

/// Cuts a body into its events: one object, an array of objects, or an object on each line. Each slice is the producer's own
/// bytes, and is one JSON object.
pub(crate) fn slice(body: &Bytes, form: Form) -> Result<Vec<Slice>, ReceiverError> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let mut place = Place::new(body, start);
    match body[start..].iter().find(|byte| !is_blank(**byte)) {
        None => Err(ReceiverError::Empty),
        Some(b'[') if form == Form::Detect => array(body, start, &mut place),
        Some(_) if form == Form::Lines => lines(body, start, &mut place),
        Some(_) => match Layout::of(&body[start..]) {
            Layout::Lines => lines(body, start, &mut place),
            Layout::Objects => objects(body, start, &mut place),
            Layout::Unclear => match objects(body, start, &mut Place::new(body, start)) {
                Ok(slices) => Ok(slices),
                Err(_) => lines(body, start, &mut place),
            },
        },
    }
}

/// How a body that is no array is laid out, as its first two lines tell.
enum Layout {
    /// One event a line: the first line is a JSON value.
    Lines,
    /// Objects over several lines.
    Objects,
    /// The first line is no JSON value and the second begins an object: either the first event is broken, or the object
    /// is a member of the first.
    Unclear,
}

impl Layout {
    fn of(body: &[u8]) -> Self {
        let mut lines = body.split(|byte| *byte == b'\n').map(trim).filter(|line| !line.is_empty());
        let first_is_whole = lines.next().is_some_and(|first| serde_json::from_slice::<&RawValue>(first).is_ok());
        let second_begins = lines.next().is_some_and(|second| second.starts_with(b"{"));
        match (first_is_whole, second_begins) {
            (true, _) => Self::Lines,
            (false, true) => Self::Unclear,
            (false, false) => Self::Objects,
        }
    }
}

fn lines(body: &Bytes, start: usize, place: &mut Place<'_>) -> Result<Vec<Slice>, ReceiverError> {
    let mut slices = Vec::new();
    let mut bad = BadEvents::default();
    let mut index = 0;
    for line in body[start..].split(|byte| *byte == b'\n') {
        let line = trim(line);
        if line.is_empty() {
            continue;
        }
        enough(index)?;
        let data = body.slice_ref(line);
        match serde_json::from_slice::<&RawValue>(line) {
            Ok(_) => put(data, index, place, &mut slices, &mut bad),
            Err(error) => {
                let (line, column) = place.of(offset(body, &data));
                bad.add(BadEvent {
                    index: Some(index),
                    line,
                    column: column + error.column().saturating_sub(1),
                    detail: Malformed::from_parser(&error).detail,
                });
            }
        }
        index += 1;
    }
    if bad.count == 0 { Ok(slices) } else { Err(bad.into_error()) }
}

fn array(body: &Bytes, start: usize, place: &mut Place<'_>) -> Result<Vec<Slice>, ReceiverError> {
    let elements: Vec<&RawValue> = serde_json::from_slice(&body[start..]).map_err(|error| syntax(&error, None))?;
    let (mut slices, mut bad) = (Vec::with_capacity(elements.len()), BadEvents::default());
    for (index, element) in elements.iter().enumerate() {
        enough(index)?;
        put(body.slice_ref(element.get().as_bytes()), index, place, &mut slices, &mut bad);
    }
    match (bad.count, slices.is_empty()) {
        (0, true) => Err(ReceiverError::Empty),
        (0, false) => Ok(slices),
        (_, _) => Err(bad.into_error()),
    }
}

/// Objects one after another, however they are laid out.
fn objects(body: &Bytes, start: usize, place: &mut Place<'_>) -> Result<Vec<Slice>, ReceiverError> {
    let (mut slices, mut bad) = (Vec::new(), BadEvents::default());
    for (index, element) in serde_json::Deserializer::from_slice(&body[start..]).into_iter::<&RawValue>().enumerate() {
        enough(index)?;
        let element = element.map_err(|error| syntax(&error, Some(index)))?;
        put(body.slice_ref(element.get().as_bytes()), index, place, &mut slices, &mut bad);
    }
    if bad.count == 0 { Ok(slices) } else { Err(bad.into_error()) }
}

/// Puts a JSON value among the events, or among the bad where it is no object.
fn put(data: Bytes, index: usize, place: &mut Place<'_>, slices: &mut Vec<Slice>, bad: &mut BadEvents) {
    let (line, column) = place.of(offset(place.body, &data));
    let found = match data.first() {
        Some(b'{') => {
            slices.push(Slice { data, line, column });
            return;
        }
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    bad.add(BadEvent { index: Some(index), line, column, detail: format!("expected a JSON object, found {found}") });
}

fn enough(index: usize) -> Result<(), ReceiverError> {
    if index < MAX_EVENTS { Ok(()) } else { Err(ReceiverError::ManyEvents { limit: MAX_EVENTS }) }
}

fn syntax(error: &serde_json::Error, index: Option<usize>) -> ReceiverError {
    let bad = BadEvent {
        index,
        line: error.line(),
        column: error.column().max(1),
        detail: Malformed::from_parser(error).detail,
    };
    ReceiverError::BadEvents { count: 1, events: vec![bad] }
}

/// Where `part`, a slice of `body`, begins in it.
fn offset(body: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize)
}

/// White space, and the record separator of JSON text sequences (RFC 7464).
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1e)
}

fn trim(mut line: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = line
        && is_blank(*first)
    {
        line = rest;
    }
    while let [rest @ .., last] = line
        && is_blank(*last)
    {
        line = rest;
    }
    line
}

/// Counts lines once, for offsets that only grow.
struct Place<'a> {
    body: &'a [u8],
    seen: usize,
    line: usize,
    line_start: usize,
}

impl<'a> Place<'a> {
    fn new(body: &'a [u8], start: usize) -> Self {
        Self { body, seen: start, line: 1, line_start: start }
    }

    /// The line and column of `offset`, from 1.
    fn of(&mut self, offset: usize) -> (usize, usize) {
        for at in self.seen..offset.min(self.body.len()) {
            if self.body[at] == b'\n' {
                self.line += 1;
                self.line_start = at + 1;
            }
        }
        self.seen = self.seen.max(offset);
        (self.line, offset.saturating_sub(self.line_start) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sliced(body: &str, form: Form) -> Result<Vec<(String, usize, usize)>, ReceiverError> {
        let slices = slice(&Bytes::copy_from_slice(body.as_bytes()), form)?;
        Ok(slices.into_iter().map(|s| (String::from_utf8_lossy(&s.data).into_owned(), s.line, s.column)).collect())
    }

    fn good(body: &str) -> Vec<(String, usize, usize)> {
        sliced(body, Form::Detect).expect("good events")
    }

    /// Each bad event as `index line:column detail`.
    fn bad(body: &str, form: Form) -> Vec<String> {
        match sliced(body, form) {
            Err(ReceiverError::BadEvents { events, .. }) => events
                .into_iter()
                .map(|e| {
                    format!(
                        "{} {}:{} {}",
                        e.index.map_or("-".to_owned(), |index| index.to_string()),
                        e.line,
                        e.column,
                        e.detail
                    )
                })
                .collect(),
            other => panic!("expected bad events of {body:?}, found {other:?}"),
        }
    }

    fn at(text: &str, line: usize, column: usize) -> (String, usize, usize) {
        (text.to_owned(), line, column)
    }

    const VALUE: &str = "expected a value: an object, an array, a string, a number, `true`, `false` or `null`";

    #[test]
    fn events_are_cut_byte_for_byte() {
        assert_eq!(good(r#" {"a" : 1.0e2 } "#), [at(r#"{"a" : 1.0e2 }"#, 1, 2)]);
        assert_eq!(good("[{\"a\": 1},\n  {\"a\" :2}]"), [at(r#"{"a": 1}"#, 1, 2), at(r#"{"a" :2}"#, 2, 3)]);
        assert_eq!(good("{\"a\":1}\r\n\n{\"b\":2}\n"), [at(r#"{"a":1}"#, 1, 1), at(r#"{"b":2}"#, 3, 1)]);
        assert_eq!(good("{\n  \"a\": {\n  }\n}\n{}"), [at("{\n  \"a\": {\n  }\n}", 1, 1), at("{}", 5, 1)]);
        let member = "{\"data\":\n{\"x\":1},\"event_id\":\"e\"}";
        assert_eq!(good(member), [at(member, 1, 1)]);
        assert_eq!(good(&format!("{member}\n{member}\n")), [at(member, 1, 1), at(member, 3, 1)]);
        assert_eq!(good("\u{feff}{}"), [at("{}", 1, 1)]);
        assert_eq!(good("\u{1e}{\"a\":1}\n\u{1e}{\"b\":2}\n").len(), 2);
        assert_eq!(sliced("{\"a\":1}\n{\"b\":2}", Form::Lines).expect("two").len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        assert_eq!(bad(r#"{"a": 1 "b": 2}"#, Form::Detect), ["0 1:9 expected `,` or `}`"]);
        assert_eq!(bad("{\n  \"a\": oops\n}", Form::Detect), [format!("0 2:8 {VALUE}")]);
        assert_eq!(
            bad("[{}, 7, \"x\"]", Form::Detect),
            ["1 1:6 expected a JSON object, found a number", "2 1:9 expected a JSON object, found a string"]
        );
        assert_eq!(bad("[{}, {\"a\"}]", Form::Detect), ["- 1:10 expected `:`"]);
        assert_eq!(
            bad("{}\n{\"a\":}\n[]\n{}\nnull\n", Form::Detect),
            [
                format!("1 2:6 {VALUE}"),
                "2 3:1 expected a JSON object, found an array".to_owned(),
                "4 5:1 expected a JSON object, found null".to_owned()
            ]
        );
        assert_eq!(bad("oops\n{}\n", Form::Lines), [format!("0 1:1 {VALUE}")]);
        assert_eq!(
            bad("{\"a\":1\n{}\n", Form::Detect),
            ["0 1:6 expected `,` or `}`, found the end of the data inside an object"]
        );
        assert_eq!(bad("oops", Form::Detect), [format!("0 1:1 {VALUE}")]);
        assert_eq!(bad("[", Form::Detect), ["- 1:1 expected `,` or `]`, found the end of the data inside an array"]);
    }

    #[test]
    fn bodies_without_events_and_with_too_many_are_refused() {
        for empty in ["", " \n\t", "[]", "\u{feff}"] {
            assert!(matches!(sliced(empty, Form::Detect), Err(ReceiverError::Empty)), "{empty:?}");
        }
        let many = "{}\n".repeat(MAX_EVENTS + 1);
        assert!(matches!(sliced(&many, Form::Lines), Err(ReceiverError::ManyEvents { .. })));
        assert_eq!(sliced(&many[3..], Form::Lines).expect("the most that there may be").len(), MAX_EVENTS);
        match sliced(&"x\n".repeat(250), Form::Lines) {
            Err(ReceiverError::BadEvents { count: 250, events }) => assert_eq!(events.len(), LISTED),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), lines: bool) {
            let form = if lines { Form::Lines } else { Form::Detect };
            if let Ok(slices) = slice(&Bytes::from(body), form) {
                for slice in slices {
                    prop_assert!(serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&slice.data).is_ok());
                }
            }
        }

        #[test]
        fn jsonish_bytes_never_panic(body in r#"[\[\]{}":, \na1-]{0,40}"#) {
            let _ = slice(&Bytes::from(body), Form::Detect);
        }

        #[test]
        fn lines_come_out_as_they_went_in(values in proptest::collection::vec(("[a-z]{0,8}", any::<i64>()), 1..20)) {
            let objects: Vec<String> = values.iter().map(|(k, v)| format!("{{\"{k}\" :  {v}}}")).collect();
            for body in [objects.join("\n"), format!("[{}]", objects.join(" ,\n"))] {
                let cut: Vec<String> = good(&body).into_iter().map(|(text, ..)| text).collect();
                prop_assert_eq!(&cut, &objects);
            }
        }
    }
}
