//! Faults on demand: rules say which calls go wrong, when, and how.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use googleapis::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
use parking_lot::Mutex;
use tonic::Code;

/// Which calls go wrong, when and how.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rule {
    /// The calls it is for: `Publisher/Publish`, `BigQueryWrite/AppendRows`, `push`, `storage/PUT`, …; `*` stands for
    /// any run of characters.
    pub calls: String,
    /// Which of those calls.
    pub when: When,
    /// What happens to them.
    pub action: Action,
}

impl Rule {
    /// A rule for calls that match `calls`.
    pub fn new(calls: impl Into<String>, when: When, action: Action) -> Self {
        Self { calls: calls.into(), when, action }
    }
}

/// Which of the matching calls a rule takes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Each with this probability (0 to 1), drawn from a generator of this seed: the same seed takes the same calls of
    /// the sequence.
    Probability {
        /// 0 never, 1 always.
        probability: f64,
        /// Where the generator starts.
        seed: u64,
    },
    /// The next so many calls; then never again.
    Next(u64),
    /// Every so-manieth call: `Every(3)` takes the 3rd, the 6th, … (`Every(0)` none).
    Every(u64),
}

/// What happens to a call that a rule takes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing is done and the call answers with this error. A REST server answers with the HTTP status of the code.
    Error {
        /// The gRPC code.
        #[serde(with = "code")]
        code: Code,
        /// The message.
        message: String,
        /// The detail that BigQuery's Storage Write API carries beside it.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "storage_error")]
        storage_error: Option<StorageErrorCode>,
    },
    /// The call begins this much later.
    #[serde(rename = "delay_ms", with = "milliseconds")]
    Delay(Duration),
    /// Nothing is done and the client's connection is closed without an answer.
    DropConnection,
    /// The effect happens and the answer is lost: the client sees a failure.
    ApplyThenFail,
    /// The effect happens twice. A push is delivered twice; servers to which it means nothing ignore it.
    Duplicate,
}

impl Action {
    /// An error without a Storage Write detail.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::Error { code, message: message.into(), storage_error: None }
    }
}

/// The name of an injected rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct RuleId(u64);

/// The rules in force. Clones share them; without rules a call costs one atomic read.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    armed: AtomicBool,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    injected: u64,
    rules: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    seen: u64,
    fired: u64,
    random: u64,
}

impl Faults {
    /// Puts a rule in force, after those that are.
    pub fn inject(&self, rule: Rule) -> RuleId {
        let mut rules = self.shared.rules.lock();
        rules.injected += 1;
        let id = RuleId(rules.injected);
        let random = if let When::Probability { seed, .. } = rule.when { seed } else { 0 };
        rules.rules.push(Active { id, rule, seen: 0, fired: 0, random });
        self.shared.armed.store(true, Ordering::Release);
        id
    }

    /// Takes one rule out of force; `false` where it was not.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut rules = self.shared.rules.lock();
        let before = rules.rules.len();
        rules.rules.retain(|active| active.id != id);
        self.shared.armed.store(!rules.rules.is_empty(), Ordering::Release);
        rules.rules.len() < before
    }

    /// Takes every rule out of force.
    pub fn clear(&self) {
        let mut rules = self.shared.rules.lock();
        rules.rules.clear();
        self.shared.armed.store(false, Ordering::Release);
    }

    /// How many calls the rule took; `None` where it is not in force.
    pub fn fired(&self, id: RuleId) -> Option<u64> {
        self.shared.rules.lock().rules.iter().find(|active| active.id == id).map(|active| active.fired)
    }

    /// The rules in force, oldest first.
    pub fn rules(&self) -> Vec<(RuleId, Rule)> {
        self.shared.rules.lock().rules.iter().map(|active| (active.id, active.rule.clone())).collect()
    }

    /// What shall happen to this call. The first rule that takes it decides; later rules do not see it.
    pub fn next(&self, call: &str) -> Option<Action> {
        if !self.shared.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.shared.rules.lock();
        rules.rules.iter_mut().filter(|active| matches(&active.rule.calls, call)).find_map(Active::next)
    }
}

impl Active {
    fn next(&mut self) -> Option<Action> {
        self.seen += 1;
        let takes = match self.rule.when {
            When::Probability { probability, .. } => unit(&mut self.random) < probability,
            When::Next(calls) => self.fired < calls,
            When::Every(step) => step > 0 && self.seen.is_multiple_of(step),
        };
        takes.then(|| {
            self.fired += 1;
            self.rule.action.clone()
        })
    }
}

/// The next number in [0, 1) of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether `call` is of the form `pattern`, where `*` is any run of characters.
fn matches(pattern: &str, call: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == call,
        Some((head, tail)) => call.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

mod code {
    use serde::{Deserialize, Deserializer, Serializer};
    use tonic::Code;

    pub(super) fn serialize<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(i32::from(*code))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        Ok(Code::from(i32::deserialize(deserializer)?))
    }
}

mod storage_error {
    use googleapis::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(code: &Option<StorageErrorCode>, serializer: S) -> Result<S::Ok, S::Error> {
        match code {
            Some(code) => serializer.serialize_str(code.as_str_name()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<StorageErrorCode>, D::Error> {
        let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        StorageErrorCode::from_str_name(&name)
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("`{name}` is not a StorageErrorCode")))
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(delay: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(faults: &Faults, calls: usize) -> Vec<bool> {
        (0..calls).map(|_| faults.next("Publisher/Publish").is_some()).collect()
    }

    #[test]
    fn patterns_match() {
        for (pattern, call, expected) in [
            ("push", "push", true),
            ("push", "pusher", false),
            ("Publisher/*", "Publisher/Publish", true),
            ("*/P*h", "Publisher/Publish", true),
            ("*", "", true),
            ("Subscriber/*", "Publisher/Publish", false),
        ] {
            assert_eq!(matches(pattern, call), expected, "{pattern} {call}");
        }
    }

    #[test]
    fn a_seed_takes_the_same_calls() {
        let draw = |seed| {
            let faults = Faults::default();
            let when = When::Probability { probability: 0.3, seed };
            faults.inject(Rule::new("Publisher/*", when, Action::DropConnection));
            taken(&faults, 1000)
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let share = draw(7).iter().filter(|taken| **taken).count();
        assert!((250..350).contains(&share), "{share}");
    }

    #[test]
    fn next_and_every_count_their_calls() {
        let faults = Faults::default();
        let id = faults.inject(Rule::new("*", When::Next(2), Action::ApplyThenFail));
        assert_eq!(taken(&faults, 4), [true, true, false, false]);
        assert_eq!(faults.fired(id), Some(2));
        assert!(faults.remove(id));
        faults.inject(Rule::new("*", When::Every(3), Action::ApplyThenFail));
        assert_eq!(taken(&faults, 6), [false, false, true, false, false, true]);
        faults.clear();
        assert_eq!(taken(&faults, 3), [false; 3]);
    }

    #[test]
    fn rules_travel_as_json() {
        let rule = Rule::new(
            "BigQueryWrite/AppendRows",
            When::Every(2),
            Action::Error {
                code: Code::Unavailable,
                message: "away".into(),
                storage_error: Some(StorageErrorCode::StreamFinalized),
            },
        );
        let json = serde_json::to_value(&rule).expect("serialises");
        assert_eq!(json["action"]["error"]["code"], 14);
        assert_eq!(json["action"]["error"]["storage_error"], "STREAM_FINALIZED");
        assert_eq!(serde_json::from_value::<Rule>(json).expect("parses"), rule);
        let delay = serde_json::json!({"calls": "push", "when": {"next": 1}, "action": {"delay_ms": 250}});
        let delay: Rule = serde_json::from_value(delay).expect("parses");
        assert_eq!(delay.action, Action::Delay(Duration::from_millis(250)));
    }
}
