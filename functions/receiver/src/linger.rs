//! Answers that come before a request was read whole reach its sender.
//!
//! A server that answers, reads no more and closes resets the connection, and the reset overtakes the answer: a client that
//! still writes sees a broken pipe, and not the 413. So what is left of a body is read away, within bounds, while the answer
//! is on its way.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::Request,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header;
use tokio::{runtime::Handle, time::timeout};

/// At most so many bytes are read away.
const MOST_BYTES: usize = 256 << 20;
/// For at most so long.
const LONGEST: Duration = Duration::from_secs(10);

/// The request with a body that is read on when nobody wants it any more.
pub(crate) async fn until_read(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let is_asked_first = request
        .headers()
        .get(header::EXPECT)
        .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    request.map(|body| Body::from_stream(Lingering { rest: Some(body.into_data_stream()), is_asked_first }))
}

struct Lingering {
    /// What is not read yet.
    rest: Option<BodyDataStream>,
    /// Whether the client waits to be asked for the body, and was not.
    is_asked_first: bool,
}

impl Stream for Lingering {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_asked_first = false;
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let next = rest.poll_next_unpin(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        next
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let (Some(rest), false, Ok(runtime)) = (self.rest.take(), self.is_asked_first, Handle::try_current()) {
            // It ends with the connection or its bounds, and nobody waits for it.
            runtime.spawn(timeout(LONGEST, read_away(rest)));
        }
    }
}

async fn read_away(mut rest: BodyDataStream) {
    let mut read = 0;
    while let Some(Ok(data)) = rest.next().await {
        read += data.len();
        if read > MOST_BYTES {
            return;
        }
    }
}
