//! Compressed requests, as some clients send them.

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use content_encoding::ContentEncoding;
use futures::StreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::{LARGEST_BODY, error::ApiError};

/// Hands on the request with its body as the client wrote it.
pub(super) async fn decoded(request: Request, next: Next) -> Response {
    match decode(request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn decode(request: Request) -> Result<Request, ApiError> {
    let encoding =
        ContentEncoding::of(request.headers()).map_err(|unsupported| ApiError::unsupported(unsupported.to_string()))?;
    if encoding == ContentEncoding::Identity {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let mut pieces = encoding.decode(body.into_data_stream());
    let mut read = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|error| ApiError::invalid(format!("The request's body could not be read: {error}")))?;
        if read.len() + piece.len() > LARGEST_BODY {
            let message = format!("The request's body holds more than {LARGEST_BODY} bytes, decompressed");
            return Err(ApiError::too_large(message));
        }
        read.extend_from_slice(&piece);
    }
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Request::from_parts(parts, Body::from(read.freeze())))
}
