//! Messages into Avro objects, in bytes of messages for each second on a core, beside Python's fastavro doing the same in the same run.
//!
//! ```sh
//! PIPAS_TEST_PYTHON=…/bin/python cargo bench -p archive --bench write
//! ```
//! The Python is one with `fastavro[codecs]`; without it only our own rates are told.

use std::{collections::BTreeMap, process::Command};

use archive::{ObjectWriter, Records};
use catalog::Codec;
use event::{Message, Timestamp};

const MESSAGES: usize = 100_000;
const TURNS: usize = 5;
const CODECS: [(&str, Codec); 4] =
    [("zstandard", Codec::Zstd), ("snappy", Codec::Snappy), ("deflate", Codec::Deflate), ("null", Codec::Null)];
const WORDS: [&str; 32] = [
    "courier",
    "order",
    "address",
    "minutes",
    "door",
    "bell",
    "please",
    "leave",
    "package",
    "thanks",
    "where",
    "arrive",
    "street",
    "left",
    "right",
    "floor",
    "waiting",
    "customer",
    "payment",
    "cash",
    "change",
    "cold",
    "pizza",
    "restaurant",
    "delayed",
    "sorry",
    "traffic",
    "soon",
    "five",
    "ten",
    "call",
    "phone",
];

/// Words, ids and numbers as chats have them: zstd makes some two fifths of it.
fn messages(size: usize) -> Vec<Message> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let start: Timestamp = Timestamp::from_second(1_706_781_600).unwrap_or_default();
    (0..MESSAGES)
        .map(|at| {
            let mut data = format!(
                "{{\"orderId\":{},\"customerId\":\"{:016x}\",\"messageSentTime\":\"2024-02-01T10:04:46Z\",\"text\":\"",
                random() % 100_000_000,
                random()
            );
            while data.len() < size - 2 {
                data.push_str(WORDS[(random() % 32) as usize]);
                data.push_str(if random() % 7 == 0 { ", " } else { " " });
            }
            data.push_str("\"}");
            Message {
                message_id: (7_312_000_000_000_000 + at).to_string(),
                publish_time: start + std::time::Duration::from_micros(at as u64 * 37),
                ordering_key: String::new(),
                attributes: BTreeMap::from([
                    ("ce-id".to_owned(), format!("{:032x}", u128::from(random()) << 64 | u128::from(random()))),
                    ("ce-type".to_owned(), "courier-chat".to_owned()),
                    ("ce-source".to_owned(), "chat-service".to_owned()),
                    ("content-type".to_owned(), "application/json".to_owned()),
                ]),
                data: data.into(),
            }
        })
        .collect()
}

/// Seconds that this thread has been on a core: a busy machine makes them no more.
fn seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux's account of a thread");
    status.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}

/// The best seconds of some turns, and the file's size.
fn write(messages: &[Message], codec: Codec) -> (f64, usize) {
    let turn = || {
        let begun = seconds();
        let mut writer = ObjectWriter::new("projects/p/subscriptions/courier-chat-archive", codec).expect("a writer");
        let mut bytes = 0;
        for message in messages {
            writer.append(message).expect("a record");
            bytes += writer.take().len();
        }
        let (rest, _) = writer.finish().expect("an end").expect("messages");
        (seconds() - begun, bytes + rest.len())
    };
    (0..TURNS).map(|_| turn()).min_by(|a, b| a.0.total_cmp(&b.0)).expect("turns")
}

/// What fastavro takes, by codec; `None` where there is no Python.
fn fastavro(messages: &[Message]) -> Option<BTreeMap<String, f64>> {
    let python = std::env::var_os("PIPAS_TEST_PYTHON")?;
    let mut writer = ObjectWriter::new("projects/p/subscriptions/courier-chat-archive", Codec::Null).expect("a writer");
    messages.iter().for_each(|message| writer.append(message).expect("a record"));
    let (file, _) = writer.finish().expect("an end").expect("messages");
    assert_eq!(Records::new(file.as_slice()).expect("a file").count(), messages.len());
    let path = std::env::temp_dir().join(format!("pipas-bench-{}.avro", std::process::id()));
    std::fs::write(&path, file).expect("a file");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fastavro_write.py");
    let output = Command::new(python).arg(script).arg(&path).output().expect("python");
    std::fs::remove_file(&path).expect("removed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("json"))
}

fn main() {
    for size in [300, 1000, 4000] {
        let messages = messages(size);
        let bytes: usize = messages.iter().map(Message::size).sum();
        let theirs = fastavro(&messages).unwrap_or_default();
        println!("{MESSAGES} messages of some {size} bytes of JSON, {} MB with their attributes", bytes / 1_000_000);
        for (name, codec) in CODECS {
            let (seconds, size) = write(&messages, codec);
            let rate = |seconds: f64| bytes as f64 / seconds / 1e6;
            let share = size as f64 / bytes as f64;
            match theirs.get(name) {
                Some(theirs) => println!(
                    "{name:>10}: {:6.0} MB/s to {share:.2} of the size; fastavro {:6.0} MB/s, {:.1} times",
                    rate(seconds),
                    rate(*theirs),
                    theirs / seconds
                ),
                None => println!("{name:>10}: {:6.0} MB/s to {share:.2} of the size", rate(seconds)),
            }
        }
    }
}
