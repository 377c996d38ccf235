use googleapis::google::pubsub::v1::PubsubMessage;

use super::*;
use crate::pubsub::retry::Retry;

const S: Micros = 1_000_000;
const A: Holder = 1;
const B: Holder = 2;
const NO_LIMITS: Limits = Limits { messages: u64::MAX, bytes: u64::MAX };

fn settings() -> Settings {
    Settings {
        ordered: true,
        exactly_once: false,
        retry: Retry::AtOnce,
        max_delivery_attempts: None,
        retention: 600 * S,
        retain_acked: false,
    }
}

fn message(sequence: u64, key: &str) -> Arc<Message> {
    let body = PubsubMessage { data: vec![0; 10].into(), ordering_key: key.into(), ..Default::default() };
    Arc::new(Message::new(sequence, 0, 1, &body))
}

/// A backlog of messages `1, 2, …` with these keys, and two holders.
fn backlog(settings: Settings, keys: &[&str]) -> Backlog {
    let mut backlog = Backlog::new(settings, 0);
    backlog.attach(A, NO_LIMITS);
    backlog.attach(B, NO_LIMITS);
    for (sequence, key) in (1..).zip(keys) {
        backlog.add(message(sequence, key), 0);
    }
    backlog
}

fn take(holder: Holder) -> Take {
    Take { holder, max_messages: 100, max_bytes: u64::MAX, lease: 10 * S, one_of_a_key: false }
}

fn taken(backlog: &mut Backlog, now: Micros, take: Take) -> Vec<u64> {
    backlog.take(now, take, &mut Vec::new()).iter().map(|delivery| delivery.message.sequence).collect()
}

fn acked(backlog: &mut Backlog, now: Micros, sequence: u64) -> Answer {
    backlog.ack(now, sequence, 0, &mut Vec::new())
}

/// Nacks whatever lease the message has.
fn nack(backlog: &mut Backlog, now: Micros, sequence: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    let State::Leased { lease, .. } = backlog.entries[&sequence].state else { panic!("{sequence} is not out") };
    assert_eq!(backlog.modify(now, sequence, lease, 0, &mut effects), Answer::Done);
    effects
}

#[test]
fn a_message_is_with_one_holder_until_its_lease_ends() {
    let mut backlog = backlog(settings(), &["", ""]);
    assert_eq!(taken(&mut backlog, 0, Take { max_messages: 1, ..take(A) }), [1]);
    assert_eq!(taken(&mut backlog, 0, take(B)), [2]);
    assert_eq!(taken(&mut backlog, 9 * S, take(B)), [0; 0]);
    assert_eq!(backlog.next_due(), Some(10 * S));
    assert_eq!(acked(&mut backlog, 9 * S, 2), Answer::Done);
    assert_eq!(taken(&mut backlog, 10 * S, take(B)), [1]);
    assert_eq!(backlog.depth(), (1, 10, Some(0)));
}

#[test]
fn an_extension_moves_the_deadline() {
    let mut backlog = backlog(settings(), &[""]);
    let mut effects = Vec::new();
    let lease = backlog.take(0, take(A), &mut effects)[0].lease;
    assert_eq!(backlog.modify(5 * S, 1, lease, 60 * S, &mut effects), Answer::Done);
    assert_eq!(taken(&mut backlog, 64 * S, take(B)), [0; 0]);
    assert_eq!(taken(&mut backlog, 65 * S, take(B)), [1]);
    assert_eq!(backlog.modify(66 * S, 1, lease, 60 * S, &mut effects), Answer::Done);
    assert_eq!(taken(&mut backlog, 75 * S, take(A)), [1], "an old lease extends nothing");
}

#[test]
fn a_late_ack_counts_only_without_exactly_once() {
    let mut lenient = backlog(settings(), &[""]);
    taken(&mut lenient, 0, take(A));
    assert_eq!(acked(&mut lenient, 60 * S, 1), Answer::Done);
    assert_eq!(lenient.depth().0, 0);

    let mut strict = backlog(Settings { exactly_once: true, ..settings() }, &[""]);
    let mut effects = Vec::new();
    let first = strict.take(0, take(A), &mut effects)[0].lease;
    assert_eq!(strict.ack(60 * S, 1, first, &mut effects), Answer::Expired);
    let second = strict.take(60 * S, take(A), &mut effects)[0].lease;
    assert_eq!(strict.ack(61 * S, 1, first, &mut effects), Answer::Expired);
    assert_eq!(strict.ack(61 * S, 1, second, &mut effects), Answer::Done);
    assert_eq!(strict.ack(61 * S, 1, second, &mut effects), Answer::Done, "a repeated ack is harmless");
}

#[test]
fn a_failed_message_backs_off_and_then_is_a_dead_letter() {
    let retry = Retry::BackOff { min: S, max: 60 * S };
    let mut backlog = backlog(Settings { retry, max_delivery_attempts: Some(3), ..settings() }, &["", ""]);
    taken(&mut backlog, 0, take(A));
    assert!(matches!(nack(&mut backlog, 0, 1)[..], [Effect::Failed(_, 1)]));
    assert_eq!(taken(&mut backlog, S - 1, take(A)), [0; 0]);
    let again = backlog.take(S, take(A), &mut Vec::new());
    assert_eq!(again[0].attempt, 2);
    nack(&mut backlog, S, 1);
    assert_eq!(taken(&mut backlog, 3 * S - 1, take(A)), [0; 0]);
    assert_eq!(taken(&mut backlog, 3 * S, take(A)), [1]);
    assert!(matches!(nack(&mut backlog, 3 * S, 1)[..], [Effect::DeadLetter(_, 3)]));
    assert_eq!(taken(&mut backlog, 4 * S, take(A)), [0; 0]);

    let mut effects = Vec::new();
    backlog.forwarded(5 * S, 1, false, &mut effects);
    assert_eq!(taken(&mut backlog, 9 * S, take(A)), [1], "no dead-letter topic: it comes again");
    nack(&mut backlog, 9 * S, 1);
    backlog.forwarded(9 * S, 1, true, &mut effects);
    assert!(matches!(effects[..], [Effect::Gone(_)]));
    assert_eq!(backlog.depth().0, 1);
    assert_eq!(backlog.counts().dead_lettered, 1);
}

#[test]
fn a_pull_gets_the_run_of_a_key_and_nobody_else_does() {
    let mut backlog = backlog(settings(), &["k", "k", "", "k", "l"]);
    assert_eq!(taken(&mut backlog, 0, Take { max_messages: 2, ..take(A) }), [1, 2]);
    assert_eq!(taken(&mut backlog, 0, take(B)), [3, 5]);
    assert_eq!(taken(&mut backlog, 0, take(A)), [4]);
    backlog.add(message(6, "k"), 0);
    assert_eq!(taken(&mut backlog, 0, take(B)), [0; 0]);
    backlog.detach(A);
    for sequence in [1, 2] {
        acked(&mut backlog, S, sequence);
        assert_eq!(taken(&mut backlog, S, take(B)), [0; 0]);
    }
    acked(&mut backlog, S, 4);
    assert_eq!(taken(&mut backlog, S, take(B)), [6]);
}

#[test]
fn a_failed_message_takes_the_later_ones_of_its_key_along() {
    let mut backlog = backlog(settings(), &["k", "k", "k", "k"]);
    assert_eq!(taken(&mut backlog, 0, Take { max_messages: 3, ..take(A) }), [1, 2, 3]);
    nack(&mut backlog, S, 2);
    assert_eq!(taken(&mut backlog, S, take(B)), [0; 0], "the first is still out");
    assert_eq!(taken(&mut backlog, S, take(A)), [2, 3, 4]);
    assert_eq!(backlog.entries[&3].failures, 0, "only the failed one counts");
    assert_eq!(taken(&mut backlog, 10 * S, take(B)), [1, 2, 3, 4], "the first one's lease ended");
}

#[test]
fn a_waiting_head_holds_its_key_and_no_other() {
    let retry = Retry::BackOff { min: S, max: S };
    let mut backlog = backlog(Settings { retry, ..settings() }, &["k", "k", "l"]);
    let push = Take { one_of_a_key: true, ..take(A) };
    assert_eq!(taken(&mut backlog, 0, push), [1, 3]);
    nack(&mut backlog, 0, 1);
    assert_eq!(taken(&mut backlog, S / 2, push), [0; 0]);
    assert_eq!(taken(&mut backlog, S, push), [1]);
    acked(&mut backlog, S, 1);
    assert_eq!(taken(&mut backlog, S, push), [2]);
}

#[test]
fn a_late_ack_of_a_waiting_message_frees_its_key() {
    let retry = Retry::BackOff { min: S, max: S };
    let mut backlog = backlog(Settings { retry, ..settings() }, &["k", "k"]);
    taken(&mut backlog, 0, take(A));
    nack(&mut backlog, 0, 1);
    acked(&mut backlog, 0, 1);
    assert_eq!(taken(&mut backlog, 0, take(B)), [2]);
    acked(&mut backlog, 0, 2);
    assert_eq!(backlog.next_due(), None);
}

#[test]
fn a_full_holder_waits_and_is_woken() {
    let mut backlog = backlog(settings(), &["", "", ""]);
    backlog.attach(3, Limits { messages: 2, bytes: u64::MAX });
    backlog.attach(4, Limits { messages: u64::MAX, bytes: 15 });
    backlog.stirred();
    assert_eq!(taken(&mut backlog, 0, take(3)), [1, 2]);
    assert_eq!(taken(&mut backlog, 0, take(3)), [0; 0]);
    assert!(!backlog.stirred());
    acked(&mut backlog, 0, 1);
    assert!(backlog.stirred());
    assert_eq!(taken(&mut backlog, 0, take(3)), [3]);
    for sequence in 4..=6 {
        backlog.add(message(sequence, ""), 0);
    }
    assert_eq!(taken(&mut backlog, 0, take(4)), [4, 5], "the bound is passed by the message that reaches it");
}

#[test]
fn bytes_bound_a_batch_but_never_to_nothing() {
    let mut backlog = backlog(settings(), &["", "", ""]);
    assert_eq!(taken(&mut backlog, 0, Take { max_bytes: 1, ..take(A) }), [1]);
    assert_eq!(taken(&mut backlog, 0, Take { max_bytes: 20, ..take(A) }), [2, 3]);
}

#[test]
fn old_messages_go() {
    let mut backlog = backlog(Settings { retain_acked: true, ..settings() }, &["k", "k", ""]);
    taken(&mut backlog, 0, take(A));
    acked(&mut backlog, 0, 3);
    let mut effects = Vec::new();
    backlog.advance(600 * S, &mut effects);
    assert_eq!(backlog.depth().0, 2);
    assert_eq!(backlog.next_due(), Some(600 * S + 1));
    effects.clear();
    backlog.advance(600 * S + 1, &mut effects);
    assert!(matches!(effects[..], [Effect::Gone(_), Effect::Gone(_), Effect::Gone(_)]), "{effects:?}");
    assert_eq!(backlog.next_due(), None);
}

#[test]
fn a_seek_replays_what_is_kept_and_skips_what_is_earlier() {
    let mut backlog = backlog(Settings { retain_acked: true, ..settings() }, &[]);
    let at = |sequence, published| Arc::new(Message::new(sequence, published, 1, &PubsubMessage::default()));
    for (sequence, published) in [(1, S), (2, 2 * S), (3, 3 * S)] {
        backlog.add(at(sequence, published), 0);
    }
    taken(&mut backlog, 3 * S, take(A));
    acked(&mut backlog, 3 * S, 1);
    acked(&mut backlog, 3 * S, 2);
    let mut effects = Vec::new();
    backlog.seek(2 * S, &[], &mut effects);
    assert!(matches!(effects[..], [Effect::Restored(_)]));
    assert_eq!(taken(&mut backlog, 4 * S, take(B)), [2]);
    effects.clear();
    let kept_by_the_topic = at(4, 9 * S);
    backlog.seek(9 * S, &[kept_by_the_topic], &mut effects);
    assert!(matches!(effects[..], [Effect::Retained(_), Effect::Retained(_), Effect::Restored(_)]), "{effects:?}");
    assert_eq!(taken(&mut backlog, 9 * S, take(B)), [4]);
}
