//! A web page's search bar: what visitors type and choose, as a browser sends it.

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

use crate::conversations::Line;

const QUERIES: [&str; 8] =
    ["red lamp", "kettle", "wool blanket", "garden chair", "wall clock", "blue mug", "shelf oak", "salad bowl"];
const KINDS: [&str; 4] = ["focus", "input", "submit", "select"];

/// Events without end. Each visitor goes through a few of them: what they type grows.
#[derive(Debug)]
pub(super) struct Events {
    random: StdRng,
    seed: u64,
    next: u64,
}

impl Events {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), seed, next: 0 }
    }
}

impl Iterator for Events {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let number = self.next;
        self.next += 1;
        let random = &mut self.random;
        let query = *QUERIES.choose(random).unwrap_or(&"lamp");
        let kind = *KINDS.choose(random).unwrap_or(&"submit");
        let typed = match kind {
            "focus" => "",
            "input" => query.get(..random.random_range(1..query.len())).unwrap_or(query),
            _ => query,
        };
        let visitor = random.random_range(0..5_000);
        let time =
            Timestamp::constant(1_706_781_600, 0) + SignedDuration::from_millis(random.random_range(0..86_400_000));
        let id = format!("{:016x}-{number}", self.seed);
        let event = json!({
            "event_id": id,
            "event": kind,
            "query": typed,
            "results": random.random_range(0..200),
            "session_id": format!("s{:08x}", random.random::<u32>()),
            "user_email": format!("visitor{visitor}@example.com"),
            "ip": format!("198.51.100.{}", visitor % 254 + 1),
            "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X)",
            "page": "https://www.example.com/",
            "occurred_at": time.to_string(),
        });
        Some(Line { idempotency_key: id, json: event.to_string() })
    }
}
