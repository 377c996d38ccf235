//! multipart/related bodies (RFC 2387) of two parts: an object resource, and its bytes, which are streamed.

use axum::body::{Body, BodyDataStream};
use bytes::BytesMut;
use futures::StreamExt;

use super::{
    error::{ApiError, ApiResult},
    staging::{Staged, broken_body},
};

/// The largest object resource, and the largest header block.
const SMALL: usize = 1 << 20;

/// A multipart body, read part by part.
pub(crate) struct Multipart {
    body: BodyDataStream,
    buffer: BytesMut,
    /// `\r\n--boundary`
    delimiter: Vec<u8>,
    /// So much of the buffer was searched, and no delimiter begins there.
    searched: usize,
    ended: bool,
}

impl Multipart {
    /// The body whose boundary the content type names.
    pub(crate) fn new(content_type: &str, body: Body) -> ApiResult<Self> {
        let boundary = boundary(content_type)
            .ok_or_else(|| ApiError::invalid("A multipart upload needs a Content-Type with a boundary."))?;
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter may open the body without the line break that belongs to all others.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Ok(Self { body: body.into_data_stream(), buffer, delimiter, searched: 0, ended: false })
    }

    /// The next part's content type and content, at most 1 MiB.
    pub(crate) async fn small_part(&mut self) -> ApiResult<(Option<String>, Vec<u8>)> {
        let content_type = self.open_part().await?;
        let mut content = Vec::new();
        while let Some(bytes) = self.next_bytes().await? {
            content.extend_from_slice(&bytes);
            if content.len() > SMALL {
                return Err(ApiError::invalid("The object resource is too large."));
            }
        }
        Ok((content_type, content))
    }

    /// Streams the last part into `staged`; returns its content type.
    pub(crate) async fn last_part(&mut self, staged: &mut Staged) -> ApiResult<Option<String>> {
        let content_type = self.open_part().await?;
        while let Some(bytes) = self.next_bytes().await? {
            staged.write(&bytes).await?;
        }
        while self.buffer.len() < self.delimiter.len() + 2 {
            if !self.fill().await? {
                break;
            }
        }
        if self.buffer[self.delimiter.len()..].starts_with(b"--") {
            Ok(content_type)
        } else {
            Err(ApiError::invalid("A multipart upload has two parts."))
        }
    }

    /// Skips to the part that begins at the next delimiter, and past its headers.
    async fn open_part(&mut self) -> ApiResult<Option<String>> {
        while self.next_bytes().await?.is_some() {} // a preamble, as RFC 2046 allows
        let _ = self.buffer.split_to(self.delimiter.len());
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > SMALL || !self.fill().await? {
                return Err(malformed());
            }
        };
        let head = self.buffer.split_to(end + 4);
        let head = std::str::from_utf8(&head).map_err(|_| malformed())?;
        let is_content_type = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("content-type");
        let content_type = head.split("\r\n").filter_map(|line| line.split_once(':')).find(is_content_type);
        // The empty content of a part may follow at once: its delimiter owns the line break that ended the headers.
        if self.buffer.len() < self.delimiter.len() {
            while self.buffer.len() < self.delimiter.len() && self.fill().await? {}
        }
        if self.buffer.starts_with(&self.delimiter[2..]) {
            let mut with_break = BytesMut::from(&b"\r\n"[..]);
            with_break.extend_from_slice(&self.buffer);
            self.buffer = with_break;
        }
        Ok(content_type.map(|(_, value)| value.trim().to_owned()))
    }

    /// More bytes of the present part; `None`: the buffer stands at the delimiter that ends it.
    async fn next_bytes(&mut self) -> ApiResult<Option<BytesMut>> {
        loop {
            if let Some(at) = find(&self.buffer[self.searched..], &self.delimiter) {
                let at = self.searched + at;
                self.searched = 0;
                return Ok((at > 0).then(|| self.buffer.split_to(at)));
            }
            // All but what may be the head of a delimiter belongs to the part.
            self.searched = self.buffer.len().saturating_sub(self.delimiter.len());
            if self.searched >= 64 << 10 {
                return Ok(Some(self.buffer.split_to(std::mem::take(&mut self.searched))));
            }
            if !self.fill().await? {
                return Err(malformed());
            }
        }
    }

    async fn fill(&mut self) -> ApiResult<bool> {
        if self.ended {
            return Ok(false);
        }
        match self.body.next().await {
            Some(bytes) => self.buffer.extend_from_slice(&bytes.map_err(broken_body)?),
            None => self.ended = true,
        }
        Ok(!self.ended)
    }
}

fn malformed() -> ApiError {
    ApiError::invalid("The body is no well-formed multipart/related body.")
}

fn boundary(content_type: &str) -> Option<&str> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let value = parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find_map(|(name, value)| name.trim().eq_ignore_ascii_case("boundary").then_some(value.trim()))?;
    // Python's email-style boundaries are quoted, some with either quote.
    let value = value.trim_matches(['"', '\'']);
    (!value.is_empty() && value.len() <= 200).then_some(value)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|byte| *byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use futures::stream;

    use super::*;
    use crate::storage::store::Store;

    async fn parse(text: &[u8], step: usize) -> ApiResult<(Vec<u8>, Vec<u8>, Option<String>)> {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a store");
        let chunks: Vec<_> =
            text.chunks(step).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk))).collect();
        let mut parts =
            Multipart::new("multipart/related; boundary=\"==b==\"", Body::from_stream(stream::iter(chunks)))?;
        let (_, resource) = parts.small_part().await?;
        let mut staged = Staged::create(&store).await?;
        let content_type = parts.last_part(&mut staged).await?;
        staged.finish().await?;
        Ok((resource, std::fs::read(staged.path()).expect("the file"), content_type))
    }

    #[tokio::test]
    async fn two_parts_however_they_are_cut() {
        let media = b"\r\n--==b\r\n--==b=\x00\xff".to_vec();
        let mut long = media.clone();
        long.extend(std::iter::repeat_n(b'\r', 200_000));
        for (media, steps) in [(media, [1, 7, 4096]), (long, [4096, 70_000, 1 << 20]), (Vec::new(), [1, 7, 4096])] {
            let mut text =
                b"--==b==\r\ncontent-type: application/json\r\n\r\n{}\r\n--==b==\r\nContent-Type: a/b\r\n\r\n".to_vec();
            text.extend_from_slice(&media);
            text.extend_from_slice(b"\r\n--==b==--");
            for step in steps {
                let (resource, found, content_type) = parse(&text, step).await.expect("two parts");
                assert_eq!(resource, b"{}");
                assert!(found == media, "{} bytes, steps of {step}", found.len());
                assert_eq!(content_type.as_deref(), Some("a/b"));
            }
        }
    }

    #[tokio::test]
    async fn what_ends_early_is_refused() {
        let text = b"--==b==\r\n\r\n{}\r\n--==b==\r\n\r\nbytes\r\n--==b==--";
        for end in 0..text.len() {
            assert!(parse(&text[..end], 5).await.is_err(), "cut at {end}");
        }
        assert!(parse(text, 5).await.is_ok());
    }
}
