//! How fast one core reads an archive object: its checksum, its blocks, its messages. `cargo bench -p archive --bench read`

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use archive::{ObjectWriter, Records};
use catalog::Codec;
use event::{Message, Timestamp};

const MESSAGES: u64 = 100_000;
const RUNS: usize = 5;

/// What a receiver publishes: an order of about a kilobyte, with the CloudEvents attributes.
fn message(number: u64) -> Message {
    let items: Vec<String> = (0..8)
        .map(|item| {
            let sku = number.wrapping_mul(2_654_435_761).wrapping_add(item * 97) % 1_000_000;
            format!(
                r#"{{"sku":"SKU-{sku:06}","quantity":{},"price":"{}.{:02}","name":"item {sku}"}}"#,
                item + 1,
                sku % 90,
                item
            )
        })
        .collect();
    let data = format!(
        r#"{{"event_id":"order-{number}","timestamp":"2024-02-01T10:00:00.{:06}Z","data":{{"customer":"c-{}","items":[{}]}},"metadata":{{"source":"shop","version":"1.2"}}}}"#,
        number % 1_000_000,
        number % 5_003,
        items.join(",")
    );
    let attributes = [
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", format!("order-{number}")),
        ("ce-source", "shop".to_owned()),
        ("ce-type", "orders".to_owned()),
        ("ce-pipasreceived", format!("2024-02-01T10:00:01.{:06}Z", number % 1_000_000)),
        ("content-type", "application/json".to_owned()),
    ];
    Message {
        message_id: (10_000_000_000 + number).to_string(),
        publish_time: Timestamp::from_microsecond(1_706_781_600_000_000 + number as i64 * 50).expect("a time"),
        ordering_key: String::new(),
        attributes: BTreeMap::from(attributes.map(|(name, value)| (name.to_owned(), value))),
        data: data.into(),
    }
}

fn main() {
    for codec in [Codec::Zstd, Codec::Snappy, Codec::Deflate, Codec::Null] {
        let mut writer = ObjectWriter::new("projects/p/subscriptions/s-archive", codec).expect("a writer");
        let mut object = Vec::new();
        let mut bytes = 0;
        for message in (0..MESSAGES).map(message) {
            bytes += message.size();
            writer.append(&message).expect("a record");
            object.extend(writer.take());
        }
        object.extend(writer.finish().expect("an end").expect("messages").0);
        let best = (0..RUNS).map(|_| read(&object)).min().expect("runs").as_secs_f64();
        println!(
            "{codec:?}: {:.0} events/s, {:.0} MB/s of messages of {} bytes, from {:.1} MB",
            MESSAGES as f64 / best,
            bytes as f64 / best / 1e6,
            bytes as u64 / MESSAGES,
            object.len() as f64 / 1e6
        );
    }
}

/// Reads the object once, as a replay does.
fn read(object: &[u8]) -> Duration {
    let begun = Instant::now();
    black_box(crc32c::crc32c(object));
    let mut messages = 0;
    for message in Records::new(object).expect("a header") {
        black_box(message.expect("a message"));
        messages += 1;
    }
    assert_eq!(messages, MESSAGES);
    begun.elapsed()
}
