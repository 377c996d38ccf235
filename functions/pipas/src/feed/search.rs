//! A web page's search bar: what visitors type, find and choose, as a browser sends it.

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::conversations::Line;

/// What visitors look for, and how much of it there is: some of it is misspelt.
const QUERIES: [(&str, u64); 10] = [
    ("red lamp", 42),
    ("kettle", 118),
    ("wool blanket", 23),
    ("garden chair", 67),
    ("wall clock", 31),
    ("blue mug", 9),
    ("shelf oak", 14),
    ("salad bowl", 55),
    ("red lanp", 0),
    ("sofa bed xxl", 0),
];
const AGENTS: [&str; 2] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
];
const PAGE: &str = "https://www.example.com/";
/// How many visitors search at once.
const VISITORS: usize = 20;
const SECONDS_OF_A_DAY: i64 = 86_400;

/// Events without end, of visitors who each search a few times: what they type grows, then they search, and choose something
/// of what is found.
#[derive(Debug)]
pub(super) struct Events {
    random: StdRng,
    seed: u64,
    next: u64,
    visits: Vec<Visit>,
}

/// A visitor at the search bar.
#[derive(Debug)]
struct Visit {
    visitor: Value,
    search_id: String,
    query: &'static str,
    found: u64,
    time: Timestamp,
    /// What is still to come, the last one first.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Focus,
    Input(usize),
    Submit,
    Select(u64),
}

impl Events {
    pub(super) fn new(seed: u64) -> Self {
        let mut events = Self { random: StdRng::seed_from_u64(seed), seed, next: 0, visits: Vec::new() };
        for _ in 0..VISITORS {
            let visit = events.visit();
            events.visits.push(visit);
        }
        events
    }

    fn visit(&mut self) -> Visit {
        let random = &mut self.random;
        let visitor = random.random_range(0..5_000);
        let (query, found) = QUERIES.choose(random).copied().unwrap_or(QUERIES[0]);
        let mut steps = vec![Step::Focus];
        let mut typed = 0;
        while typed < query.len() {
            typed += random.random_range(1..=query.len());
            steps.push(Step::Input(typed.min(query.len())));
        }
        // One in ten leaves without a search; of those who find something, some look at two of it, and some at none.
        if random.random_bool(0.9) {
            steps.push(Step::Submit);
            let chosen = if found == 0 { 0 } else { random.random_range(0..=2) };
            steps.extend((0..chosen).map(|_| Step::Select(random.random_range(1..=found.min(10)))));
        }
        steps.reverse();
        let mut identity = json!({
            "session_id": format!("s{:016x}", random.random::<u64>()),
            "ip_address": format!("198.51.{}.{}", visitor / 250 + 1, visitor % 250 + 1),
            "user_agent": AGENTS.choose(random).unwrap_or(&AGENTS[0]),
        });
        if random.random_bool(0.3) {
            identity["user_email"] = json!(format!("visitor{visitor}@example.com"));
        }
        let time = Timestamp::constant(1_706_781_600, 0)
            + SignedDuration::from_millis(random.random_range(0..7 * SECONDS_OF_A_DAY * 1_000));
        Visit { visitor: identity, search_id: format!("{:016x}", random.random::<u64>()), query, found, time, steps }
    }
}

impl Visit {
    fn event(&mut self, id: &str, step: &Step) -> Value {
        let mut event = self.visitor.clone();
        event["event_id"] = json!(id);
        event["search_id"] = json!(self.search_id);
        event["page"] = json!(PAGE);
        event["occurred_at"] = json!(self.time.to_string());
        match *step {
            Step::Focus => event["event_type"] = json!("focus"),
            Step::Input(typed) => {
                event["event_type"] = json!("input");
                event["query"] = json!(self.query.get(..typed).unwrap_or(self.query));
            }
            Step::Submit => {
                event["event_type"] = json!("submit");
                event["query"] = json!(self.query);
                event["result_count"] = json!(self.found);
            }
            Step::Select(position) => {
                event["event_type"] = json!("select");
                event["query"] = json!(self.query);
                event["position"] = json!(position);
                event["result_url"] = json!(format!("{PAGE}{}/{position}", self.query.replace(' ', "-")));
            }
        }
        event
    }
}

impl Iterator for Events {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let id = format!("{:016x}-{}", self.seed, self.next);
        self.next += 1;
        let at = self.random.random_range(0..VISITORS);
        if self.visits[at].steps.is_empty() {
            self.visits[at] = self.visit();
        }
        let pause = SignedDuration::from_millis(self.random.random_range(80..4_000));
        let visit = &mut self.visits[at];
        visit.time += pause;
        let step = visit.steps.pop()?;
        let event = visit.event(&id, &step);
        Some(Line { idempotency_key: id, json: event.to_string() })
    }
}
