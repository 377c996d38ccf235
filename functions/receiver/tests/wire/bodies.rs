//! Bodies as clients send them: compressed in parts, broken, and far too large.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("finished")
}

#[tokio::test]
async fn every_member_of_a_compressed_body_is_read() {
    let world = World::start().await;
    let parts = ["{\"n\":1}\n{\"n\"", ": 2}\n", "{\"n\":3}\n"];
    let gzipped = parts.map(|part| gzip(part.as_bytes())).concat();
    let zstd = parts.map(|part| zstd::encode_all(part.as_bytes(), 1).expect("encoded")).concat();
    for (encoding, body) in
        [("gzip", &gzipped), ("GZIP", &gzipped), ("x-gzip", &gzipped), ("zstd", &zstd), ("Zstd", &zstd)]
    {
        world.peer.state().messages.clear();
        let (status, answer) = answer(world.post("chat", body.clone()).header("content-encoding", encoding)).await;
        assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(3)), "{encoding}: {answer}");
        assert_eq!(world.data(), ["{\"n\":1}", "{\"n\": 2}", "{\"n\":3}"], "{encoding}");
    }
}

#[tokio::test]
async fn a_compressed_body_that_is_not_whole_is_400_and_publishes_nothing() {
    let world = World::start().await;
    let whole = gzip(b"{\"n\":1}\n");
    let cut = |size: usize| [whole.as_slice(), &whole[..size]].concat();
    for (encoding, body) in [
        ("gzip", whole[..whole.len() - 3].to_vec()),
        ("gzip", cut(1)),
        ("gzip", cut(whole.len() - 3)),
        ("gzip", [whole.as_slice(), b"and more"].concat()),
        ("zstd", whole.clone()),
    ] {
        let (status, problem) = answer(world.post("chat", body).header("content-encoding", encoding)).await;
        assert_eq!((status, &problem["title"]), (StatusCode::BAD_REQUEST, &json!("Unreadable body")), "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("the body could not be read: ") && detail.contains(encoding), "{detail}");
    }
    let (status, problem) = answer(world.post("chat", whole).header("content-encoding", "gzip, deflate")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{problem}");
    assert_eq!(world.peer.state().requests, 0);
}

#[tokio::test]
async fn an_object_in_an_object_may_begin_the_second_line() {
    let world = World::start().await;
    let body = "{\"data\":\n{\"x\":1},\"event_id\":\"e\"}";
    let (status, answer) = answer(world.post("envelopes", body)).await;
    assert_eq!((status, &answer["event_ids"]), (StatusCode::OK, &json!(["e"])), "{answer}");
    assert_eq!(world.data(), [body], "byte for byte");
}

/// Writes the head and as much of `length` bytes as the server takes, as a client does that reads nothing before it has sent
/// everything; then what the server answered.
async fn write_then_read(world: &World, stream: &str, length: usize) -> std::io::Result<String> {
    let address = world.base.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await?;
    let head = format!(
        "POST /v1/streams/{stream}/events HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let piece = vec![b' '; 1 << 20];
    let mut left = length;
    while left > 0 {
        let size = left.min(piece.len());
        socket.write_all(&piece[..size]).await?;
        left -= size;
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_client_that_writes_far_too_much_sees_the_answer() {
    let world = World::start_with(&[("PIPAS_MAX_BODY_BYTES", "1000000")]).await;
    for (stream, status) in [("chat", "413 "), ("chats", "404 ")] {
        let answer = write_then_read(&world, stream, 48 << 20).await.expect("no reset");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_413_before_the_body_comes() {
    let world = World::start_with(&[("PIPAS_MAX_BODY_BYTES", "1000000")]).await;
    let address = world.base.trim_start_matches("http://");
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        let head = format!(
            "POST /v1/streams/chat/events HTTP/1.1\r\nhost: {address}\r\n{expect}content-length: 1000001\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.expect("written");
        let mut answer = [0; 13];
        let read = tokio::time::timeout(Duration::from_secs(5), socket.read_exact(&mut answer)).await;
        read.expect("an answer before the body").expect("no reset");
        assert_eq!(&answer, b"HTTP/1.1 413 ", "{expect:?}");
    }
}
