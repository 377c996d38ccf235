//! A request's body as its producer wrote it, whatever `Content-Encoding` it came in.
//!
//! A gzip file may have several members and a zstd file several frames, as `cat a.gz b.gz` and log shippers make them
//! (RFC 1952, 2.2; RFC 8878, 3.1): all of them are the body. What follows the last one, and an end before it, are errors.

use std::{error::Error, fmt, io};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use http::{HeaderMap, header};
use tokio_util::io::{ReaderStream, StreamReader};

/// At most so much is decompressed at a time: what a reader that stops at a bound has in hand beyond it.
const CHUNK: usize = 64 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentEncoding {
    /// Not at all.
    #[default]
    Identity,
    /// By gzip (RFC 1952).
    Gzip,
    /// By zstd (RFC 8878).
    Zstd,
}

/// A `Content-Encoding` that is none of those.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the content encoding `{found}` is not supported; expected {}", ContentEncoding::EXPECTED)]
pub struct Unsupported {
    /// What the header says, shortened.
    pub found: String,
}

impl ContentEncoding {
    /// The encodings, as an error names them.
    pub const EXPECTED: &str = "gzip, zstd or none";

    /// What the headers say. Names are case-insensitive, `x-gzip` is gzip (RFC 9110, 8.4.1), and one encoding is undone.
    pub fn of(headers: &HeaderMap) -> Result<Self, Unsupported> {
        let mut encoding = Self::Identity;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
                let named = match name {
                    _ if name.is_empty() || is("identity") => continue,
                    _ if is("gzip") || is("x-gzip") => Self::Gzip,
                    _ if is("zstd") => Self::Zstd,
                    _ => return Err(unsupported(value.as_bytes())),
                };
                if encoding != Self::Identity {
                    return Err(unsupported(value.as_bytes()));
                }
                encoding = named;
            }
        }
        Ok(encoding)
    }

    /// The bytes of `body`, decompressed, in pieces. Nothing is read ahead of what is asked for.
    pub fn decode<S, E>(self, body: S) -> BoxStream<'static, io::Result<Bytes>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Error + Send + Sync + 'static,
    {
        let body = body.map_err(|error| io::Error::other(Unread(Box::new(error))));
        match self {
            Self::Identity => body.boxed(),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(StreamReader::new(body.boxed()));
                decoder.multiple_members(true);
                ReaderStream::with_capacity(decoder, CHUNK).map_err(|error| told("gzip", error)).boxed()
            }
            Self::Zstd => {
                let mut decoder = ZstdDecoder::new(StreamReader::new(body.boxed()));
                decoder.multiple_members(true);
                ReaderStream::with_capacity(decoder, CHUNK).map_err(|error| told("zstd", error)).boxed()
            }
        }
    }
}

fn unsupported(value: &[u8]) -> Unsupported {
    Unsupported { found: String::from_utf8_lossy(value).trim().chars().take(100).collect() }
}

/// The compressed body could not be read: the encoding is not at fault.
#[derive(Debug)]
struct Unread(Box<dyn Error + Send + Sync>);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Unread {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Says that the body is at fault, and not the way that it came.
fn told(encoding: &str, error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Unread>()) {
        return error;
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("the {encoding} data ends before it is whole"),
        _ => format!("expected {encoding} data and nothing after it: {error}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io::Write};

    use http::HeaderValue;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("finished")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).expect("encoded")
    }

    /// What is decoded of `body` when it comes in pieces of `size` bytes.
    async fn decoded(encoding: ContentEncoding, body: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let pieces: Vec<_> =
            body.chunks(size).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
        let mut stream = encoding.decode(futures::stream::iter(pieces));
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        Ok(all)
    }

    #[test]
    fn names_are_read_as_the_rfc_says() {
        use ContentEncoding::{Gzip, Identity, Zstd};
        let of = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::CONTENT_ENCODING, HeaderValue::from_static(value)));
            ContentEncoding::of(&values.collect())
        };
        for (value, expected) in [
            ("", Identity),
            ("Identity", Identity),
            ("gzip", Gzip),
            ("GZip", Gzip),
            ("X-GZIP", Gzip),
            (" identity, gzip ", Gzip),
            ("ZSTD", Zstd),
        ] {
            assert_eq!(of(&[value]), Ok(expected), "{value}");
        }
        assert_eq!(of(&[]), Ok(Identity));
        for value in ["br", "deflate", "gzip, gzip", "gzip, zstd", "gzip;q=1"] {
            assert_eq!(of(&[value]), Err(Unsupported { found: value.to_owned() }));
        }
    }

    #[tokio::test]
    async fn every_member_is_read_however_the_bytes_come() {
        let members: [&[u8]; 4] = [b"one\n", b"two\n", b"", b"three\n"];
        for (encoding, compressed) in
            [(ContentEncoding::Gzip, members.map(gzip).concat()), (ContentEncoding::Zstd, members.map(zstd).concat())]
        {
            for size in [1, 2, 7, compressed.len()] {
                let read = decoded(encoding, &compressed, size).await;
                assert_eq!(read.as_deref(), Ok(members.concat().as_slice()), "{encoding:?} by {size}");
            }
        }
        assert_eq!(decoded(ContentEncoding::Identity, b"as is", 2).await.as_deref(), Ok(b"as is".as_slice()));
    }

    #[tokio::test]
    async fn what_is_not_whole_is_an_error() {
        let text = b"some text that is long enough to be more than a header, and to be cut in two";
        for (encoding, one) in [(ContentEncoding::Gzip, gzip(text)), (ContentEncoding::Zstd, zstd(text))] {
            let with = |more: &[u8]| [one.as_slice(), more].concat();
            let mut broken = one.clone();
            let middle = broken.len() / 2;
            for byte in &mut broken[middle..middle + 8] {
                *byte ^= 0xff;
            }
            for bad in [
                b"plain".to_vec(),
                broken,
                one[..one.len() - 1].to_vec(),
                one[..one.len() / 2].to_vec(),
                one[..3].to_vec(),
                with(b"x"),
                with(b"trailing garbage"),
                with(&one[..1]),
                with(&one[..3]),
                with(&one[..one.len() - 2]),
            ] {
                for size in [1, 5, bad.len()] {
                    let read = decoded(encoding, &bad, size).await;
                    assert!(read.is_err(), "{encoding:?} of {bad:?} by {size}: {read:?}");
                }
            }
        }
    }
}
