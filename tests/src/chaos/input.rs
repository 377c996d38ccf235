use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;

/// Events that are sent twice by their producer.
const TWICE: f64 = 0.05;
/// Events that are no rows of the table.
const BAD: f64 = 0.01;
/// Events whose id is used once more, for something else.
const CONFLICT: f64 = 0.02;

/// The bodies of the requests, each of up to a hundred lines, in the order in which they are sent.
pub(super) fn batches(random: &mut StdRng, seed: u64, events: usize) -> Vec<String> {
    let mut lines = Vec::with_capacity(events + events / 10);
    for index in 0..events {
        let is_bad = random.random_bool(BAD);
        let line = |word: u32| {
            let timestamp = if is_bad { "some day" } else { "2024-02-01T10:00:00Z" };
            json!({
                "event_id": format!("{seed}-{index}"),
                "timestamp": timestamp,
                "data": { "index": index, "word": word, "more": "x".repeat(index % 300) },
                "metadata": { "source": "chaos", "version": "1" },
            })
            .to_string()
        };
        let word = random.random();
        lines.push(line(word));
        if random.random_bool(TWICE) {
            lines.push(line(word));
        }
        if random.random_bool(CONFLICT) {
            lines.push(line(random.random()));
        }
    }
    lines.shuffle(random);
    let mut batches = Vec::new();
    while !lines.is_empty() {
        let rest = lines.split_off(lines.len().min(random.random_range(1..100)));
        batches.push(std::mem::replace(&mut lines, rest).join("\n"));
    }
    batches
}
