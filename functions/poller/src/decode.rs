//! A feed's bytes into its documents.

use bytes::Bytes;
use catalog::FeedFormat;
use serde_json::value::RawValue;

use crate::faults::Faults;

/// A feed's documents, each one JSON object, and what else it holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Documents {
    pub(crate) documents: Vec<Bytes>,
    /// The parts that are none.
    pub(crate) faults: Faults,
}

/// Why bytes are no feed of their format.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the feed is no JSON")]
    Json(#[source] serde_json::Error),
    #[error("the feed is no JSON object, and no array of objects")]
    Shape,
    #[error("no line of the feed is a JSON object; the first: {0}")]
    Lines(String),
    #[error("the feed is empty")]
    Empty,
    #[error(transparent)]
    GtfsRealtime(#[from] gtfs_realtime::DecodeError),
}

/// The documents of `body`.
pub(crate) fn documents(format: FeedFormat, body: &Bytes) -> Result<Documents, DecodeError> {
    match format {
        FeedFormat::Json => json(body),
        FeedFormat::Ndjson => lines(body),
        FeedFormat::GtfsRealtime => {
            let json = gtfs_realtime::to_json(body)?;
            Ok(Documents { documents: vec![json.into()], ..Documents::default() })
        }
    }
}

fn json(body: &Bytes) -> Result<Documents, DecodeError> {
    let text = without_mark(body);
    if text.trim_ascii().is_empty() {
        return Err(DecodeError::Empty);
    }
    let whole: &RawValue = serde_json::from_slice(text).map_err(DecodeError::Json)?;
    let mut found = Documents::default();
    match whole.get().as_bytes().first() {
        Some(b'{') => found.documents.push(body.slice_ref(whole.get().as_bytes())),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(whole.get()).map_err(DecodeError::Json)?;
            for (index, element) in elements.into_iter().enumerate() {
                put(body, element, || format!("element {index}"), &mut found);
            }
        }
        _ => return Err(DecodeError::Shape),
    }
    Ok(found)
}

fn lines(body: &Bytes) -> Result<Documents, DecodeError> {
    let mut found = Documents::default();
    for (number, line) in without_mark(body).split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let place = || format!("line {}", number + 1);
        match serde_json::from_slice::<&RawValue>(line) {
            Ok(element) => put(body, element, place, &mut found),
            Err(error) => found.faults.add(|| format!("{}: {error}", place())),
        }
    }
    match (found.documents.is_empty(), found.faults.told.first()) {
        (true, Some(first)) => Err(DecodeError::Lines(first.clone())),
        (true, None) => Err(DecodeError::Empty),
        (false, _) => Ok(found),
    }
}

fn put(body: &Bytes, element: &RawValue, place: impl Fn() -> String, found: &mut Documents) {
    if element.get().starts_with('{') {
        found.documents.push(body.slice_ref(element.get().as_bytes()));
    } else {
        found.faults.add(|| format!("{}: expected a JSON object", place()));
    }
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(format: FeedFormat, body: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let found = documents(format, &Bytes::copy_from_slice(body.as_bytes())).map_err(|error| error.to_string())?;
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        Ok((found.documents.into_iter().map(text).collect(), found.faults.told))
    }

    #[test]
    fn documents_are_cut_byte_for_byte() {
        use FeedFormat::{Json, Ndjson};
        let one = |text: &str| Ok((vec![text.to_owned()], Vec::new()));
        assert_eq!(read(Json, "\u{feff} {\"a\" : 1.0} "), one("{\"a\" : 1.0}"));
        assert_eq!(
            read(Json, "[{\"a\":1}, 7, { }]"),
            Ok((vec!["{\"a\":1}".into(), "{ }".into()], vec!["element 1: expected a JSON object".into()]))
        );
        let (documents, bad) = read(Ndjson, "{\"a\":1}\r\n\n{\"b\":\n[1]\n{}").expect("some lines");
        assert_eq!(documents, ["{\"a\":1}", "{}"]);
        assert_eq!(bad, ["line 3: EOF while parsing a value at line 1 column 5", "line 4: expected a JSON object"]);
    }

    #[test]
    fn of_many_faults_the_first_are_told() {
        let body = Bytes::from(format!("{{}}\n{}", "7\n".repeat(100_000)));
        let found = documents(FeedFormat::Ndjson, &body).expect("a document");
        assert_eq!((found.documents.len(), found.faults.count, found.faults.told.len()), (1, 100_000, 20));
        assert_eq!(found.faults.told[0], "line 2: expected a JSON object");
    }

    #[test]
    fn garbage_is_no_feed() {
        for format in [FeedFormat::Json, FeedFormat::Ndjson, FeedFormat::GtfsRealtime] {
            for body in ["", " \n", "<html></html>", "\u{0}\u{1}", "7x"] {
                assert!(read(format, body).is_err(), "{format:?} {body:?}");
            }
        }
        assert_eq!(read(FeedFormat::Json, "7"), Err("the feed is no JSON object, and no array of objects".into()));
        assert_eq!(read(FeedFormat::Json, "[]"), Ok((Vec::new(), Vec::new())), "an empty list is a good answer");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in [FeedFormat::Json, FeedFormat::Ndjson, FeedFormat::GtfsRealtime] {
                let _ = documents(format, &Bytes::from(body.clone()));
            }
        }
    }
}
