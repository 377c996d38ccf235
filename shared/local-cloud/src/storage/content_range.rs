//! Byte ranges: `Content-Range` of an upload's chunk, `Range` of a download.

use http::{HeaderMap, header};

use super::{
    error::{ApiError, ApiResult},
    upload::header_text,
};

/// Which bytes a request of a resumable upload carries. Ends are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// None: it asks how far the upload is, and ends it where all `total` bytes are there.
    Query { total: Option<u64> },
    /// These; without an end: to the end of the object.
    Bytes { start: u64, end: Option<u64>, total: Option<u64> },
}

impl ContentRange {
    /// From the header; a request without one carries the whole object.
    pub(crate) fn of(headers: &HeaderMap) -> ApiResult<Self> {
        match header_text(headers, header::CONTENT_RANGE.as_str()) {
            None => Ok(Self::Bytes { start: 0, end: None, total: None }),
            Some(text) => Self::parse(text)
                .ok_or_else(|| ApiError::invalid(format!("Failed to parse Content-Range header: {text}"))),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
        let total = star_or(total)?;
        if range == "*" {
            return Some(Self::Query { total });
        }
        let (start, last) = range.split_once('-')?;
        let (start, last): (u64, Option<u64>) = (start.parse().ok()?, star_or(last)?);
        let end = match last {
            Some(last) => Some(last.checked_add(1)?),
            None => None,
        };
        let is_sound = end.is_none_or(|end| end > start) && total.is_none_or(|total| end.unwrap_or(start) <= total);
        is_sound.then_some(Self::Bytes { start, end, total })
    }
}

fn star_or(text: &str) -> Option<Option<u64>> {
    if text == "*" { Some(None) } else { text.parse().ok().map(Some) }
}

/// The bytes of an object that a `Range` header asks for, as first and end (exclusive); `None`: all of it, as for a
/// header that RFC 9110 lets a server ignore.
pub(crate) fn requested(headers: &HeaderMap, size: u64) -> ApiResult<Option<(u64, u64)>> {
    let Some((first, last)) = header_text(headers, header::RANGE.as_str())
        .and_then(|text| text.strip_prefix("bytes="))
        .filter(|ranges| !ranges.contains(','))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Ok(None);
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, size.min(last.saturating_add(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, size),
        (Err(_), Ok(count)) if first.is_empty() => (size.saturating_sub(count), size),
        _ => return Ok(None),
    };
    if range.0 >= range.1 { Err(ApiError::range()) } else { Ok(Some(range)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_of_every_form() {
        let bytes = |start, end, total| Some(ContentRange::Bytes { start, end, total });
        for (text, expected) in [
            ("bytes */*", Some(ContentRange::Query { total: None })),
            ("bytes */0", Some(ContentRange::Query { total: Some(0) })),
            ("bytes 0-9/10", bytes(0, Some(10), Some(10))),
            ("bytes 0-9/*", bytes(0, Some(10), None)),
            ("bytes 5-*/*", bytes(5, None, None)),
            ("bytes 5-*/10", bytes(5, None, Some(10))),
            ("bytes 9-0/10", None),
            ("bytes 0-10/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("items 0-9/10", None),
            ("bytes x-9/10", None),
            ("bytes", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn requested_ranges_of_every_form() {
        for (text, expected) in [
            ("bytes=0-3", Some(Some((0, 4)))),
            ("bytes=8-99", Some(Some((8, 10)))),
            ("bytes=4-", Some(Some((4, 10)))),
            ("bytes=-3", Some(Some((7, 10)))),
            ("bytes=-30", Some(Some((0, 10)))),
            ("bytes=10-", None),
            ("bytes=-0", None),
            ("bytes=3-1", Some(None)),
            ("bytes=0-1,3-4", Some(None)),
            ("pages=1-2", Some(None)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, text.parse().expect("a header"));
            assert_eq!(requested(&headers, 10).ok(), expected, "{text}");
        }
    }
}
