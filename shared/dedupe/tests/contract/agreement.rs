//! Redis and the process give the same answers, whatever is asked of them.

use std::time::Duration;

use dedupe::{
    Claim, Claimed, EventKey, Expected, InProcessLedger, Ledger, NewState, PayloadHash, Restored, State, Survey, Want,
};
use event::{Reason, Rejection};
use exactly_once::Time;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::{ledger, promises, server::RedisServer};

const WINDOWS: [Duration; 2] = [Duration::from_secs(3_600), Duration::from_secs(86_400)];
const KEYS: usize = 4;
const CLAIMS: usize = 3;
const PAYLOADS: u64 = 3;

/// One call. Keys, claims and payloads by their number.
#[derive(Debug, Clone)]
enum Call {
    Claim { keys: Vec<usize>, claim: usize, payload: u64, instead_of: Option<usize> },
    Settle { keys: Vec<usize>, claim: usize, payload: u64, window: usize },
    Release { keys: Vec<usize>, claim: usize },
    Swap { key: usize, expected: usize, new: usize, payload: u64, window: usize },
    Restore { key: usize, done: bool, payload: u64, window: usize },
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let keys = || proptest::sample::subsequence((0..KEYS).collect::<Vec<_>>(), 1..=KEYS);
    let (claim, payload, window) = (0..CLAIMS, 0..PAYLOADS, 0..WINDOWS.len());
    let call = prop_oneof![
        (keys(), claim.clone(), payload.clone(), proptest::option::of(claim.clone()))
            .prop_map(|(keys, claim, payload, instead_of)| Call::Claim { keys, claim, payload, instead_of }),
        (keys(), claim.clone(), payload.clone(), window.clone())
            .prop_map(|(keys, claim, payload, window)| Call::Settle { keys, claim, payload, window }),
        (keys(), claim).prop_map(|(keys, claim)| Call::Release { keys, claim }),
        (0..KEYS, 0..CLAIMS + 2 * PAYLOADS as usize + 1, 0..4_usize, payload.clone(), window.clone())
            .prop_map(|(key, expected, new, payload, window)| Call::Swap { key, expected, new, payload, window }),
        (0..KEYS, any::<bool>(), payload, window).prop_map(|(key, done, payload, window)| Call::Restore {
            key,
            done,
            payload,
            window
        }),
    ];
    proptest::collection::vec(call, 1..30)
}

/// What the ledger answers to each call, and what stands after it. Ages are left out: the clocks are two.
async fn answers(ledger: &dyn Ledger, keys: &[EventKey], claims: &[Claim], calls: &[Call]) -> Vec<String> {
    let mut answers = Vec::new();
    for call in calls {
        let answer = match call.clone() {
            Call::Claim { keys: chosen, claim, payload, instead_of } => {
                let instead_of = instead_of.map(|at| claims[at].clone());
                let payload = PayloadHash::from_bits(payload);
                let want = |at: &usize| Want { key: keys[*at], payload, instead_of: instead_of.clone() };
                let wants: Vec<Want> = chosen.iter().map(want).collect();
                let claimed = ledger.claim(&wants, &claims[claim], 0).await.expect("an answer");
                let claimed = claimed.into_iter().map(|claimed| match claimed {
                    Claimed::Found(state) => Claimed::Found(ageless(state)),
                    Claimed::Won => Claimed::Won,
                });
                format!("{:?}", claimed.collect::<Vec<_>>())
            }
            Call::Settle { keys: chosen, claim, payload, window } => {
                let rows: Vec<_> = chosen.iter().map(|at| (keys[*at], PayloadHash::from_bits(payload))).collect();
                let settled = ledger.settle(&rows, &claims[claim], WINDOWS[window]).await.expect("an answer");
                let settled = settled.into_iter().map(|settled| match settled {
                    dedupe::Settled::Contradicted(state) => dedupe::Settled::Contradicted(ageless(state)),
                    dedupe::Settled::Done => dedupe::Settled::Done,
                });
                format!("{:?}", settled.collect::<Vec<_>>())
            }
            Call::Release { keys: chosen, claim } => {
                let keys: Vec<_> = chosen.iter().map(|at| keys[*at]).collect();
                ledger.release(&keys, &claims[claim]).await.expect("an answer");
                String::new()
            }
            Call::Swap { key, expected, new, payload, window } => {
                let payload = PayloadHash::from_bits(payload);
                let expected = match expected {
                    0 => Expected::Absent,
                    at if at <= CLAIMS => Expected::Claimed(claims[at - 1].clone()),
                    at if at <= CLAIMS + PAYLOADS as usize => {
                        Expected::Rejecting(PayloadHash::from_bits((at - CLAIMS - 1) as u64))
                    }
                    at => Expected::Rejected(PayloadHash::from_bits((at - CLAIMS - PAYLOADS as usize - 1) as u64)),
                };
                let window = WINDOWS[window];
                let new = match new {
                    0 => NewState::Done { payload, window },
                    1 => NewState::Rejecting { payload, rejection: Rejection::at(Reason::TypeMismatch, "/a", "é") },
                    2 => NewState::Rejected { payload, window },
                    _ => NewState::Claimed(claims[0].clone()),
                };
                match ledger.swap(&keys[key], &expected, &new, 0).await.expect("an answer") {
                    dedupe::Swapped::Yes => "Yes".to_owned(),
                    dedupe::Swapped::No(state) => format!("No({:?})", state.map(ageless)),
                }
            }
            Call::Restore { key, done, payload, window } => {
                // Of every second one it is known how often it was redriven.
                let payload = PayloadHash::from_bits(payload / 2).redriven((payload % 2) as u8);
                let restored = if done { Restored::Done { payload } } else { Restored::Rejected { payload } };
                let survey = ledger.survey().await.expect("a survey");
                // Of those of the shorter window all claims are younger.
                let survey = if window == 0 { Survey { now: Time::START, ..survey } } else { survey };
                ledger.restore(&survey, &[(keys[key], restored)], WINDOWS[window]).await.expect("an answer");
                String::new()
            }
        };
        let states = ledger.read(keys).await.expect("an answer");
        let states: Vec<_> = states.into_iter().map(|state| state.map(ageless)).collect();
        answers.push(format!("{call:?}: {answer}; {states:?}"));
    }
    answers
}

fn ageless(state: State) -> State {
    match state {
        State::Claimed { claim, payload, .. } => State::Claimed { claim, payload, age: Duration::ZERO },
        other => other,
    }
}

#[test]
fn redis_and_the_process_agree() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_server, redis) = runtime.block_on(async {
        let server = RedisServer::started().await;
        let ledger = ledger(&server).await;
        (server, ledger)
    });
    let mut runner = TestRunner::new(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() });
    let agree = |calls: Vec<Call>| {
        let keys: Vec<_> = (0..KEYS).map(|_| promises::key()).collect();
        let claims: Vec<_> = (0..CLAIMS).map(|at| promises::claim("s", at as i64)).collect();
        let process = InProcessLedger::new();
        let one = runtime.block_on(answers(&redis, &keys, &claims, &calls));
        let other = runtime.block_on(answers(&process, &keys, &claims, &calls));
        prop_assert_eq!(one, other);
        Ok(())
    };
    runner.run(&calls(), agree).expect("agreement");
}
