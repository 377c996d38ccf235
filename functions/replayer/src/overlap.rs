//! Messages that are in two objects. That happens where an ack was lost: the two objects then have publish times in common.
//! Only messages of such times are remembered, so that the memory does not grow with the archive.

use std::collections::HashSet;

use event::{Message, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// The publish times that two objects have in common, and the messages of those times that were seen.
#[derive(Debug, Default)]
pub(crate) struct Overlap {
    /// Sorted, and apart from each other; both ends are in it.
    spans: Vec<(Timestamp, Timestamp)>,
    seen: Mutex<HashSet<u64>>,
}

impl Overlap {
    /// Of objects whose messages were published in these spans.
    pub(crate) fn of(mut objects: Vec<(Timestamp, Timestamp)>) -> Self {
        objects.sort_unstable();
        let mut spans: Vec<(Timestamp, Timestamp)> = Vec::new();
        let mut reach: Option<Timestamp> = None;
        for (first, last) in objects {
            if let Some(reach) = reach
                && first <= reach
            {
                let end = last.min(reach);
                match spans.last_mut() {
                    Some(span) if first <= span.1 => span.1 = span.1.max(end),
                    _ => spans.push((first, end)),
                }
            }
            reach = Some(reach.map_or(last, |reach| reach.max(last)));
        }
        Self { spans, seen: Mutex::default() }
    }

    /// Whether the message was not seen before.
    pub(crate) fn is_first(&self, message: &Message) -> bool {
        let time = message.publish_time;
        let after = self.spans.partition_point(|(first, _)| *first <= time);
        let is_shared = after > 0 && time <= self.spans[after - 1].1;
        !is_shared || self.seen.lock().insert(short(&message.message_id))
    }
}

fn short(message_id: &str) -> u64 {
    let hash = Sha256::digest(message_id);
    u64::from_be_bytes(std::array::from_fn(|at| hash[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn message(id: &str, second: i64) -> Message {
        Message {
            message_id: id.into(),
            publish_time: at(second),
            ordering_key: String::new(),
            attributes: Default::default(),
            data: Default::default(),
        }
    }

    #[test]
    fn only_shared_times_are_remembered() {
        let overlap = Overlap::of(vec![(at(0), at(10)), (at(8), at(20)), (at(9), at(9)), (at(30), at(40))]);
        assert_eq!(overlap.spans, [(at(8), at(10))]);
        assert!(overlap.is_first(&message("a", 9)) && !overlap.is_first(&message("a", 9)));
        assert!(overlap.is_first(&message("b", 5)) && overlap.is_first(&message("b", 5)));
        assert_eq!(overlap.seen.lock().len(), 1);
    }

    #[test]
    fn spans_of_three_objects_are_joined() {
        let overlap = Overlap::of(vec![(at(0), at(10)), (at(5), at(12)), (at(11), at(20)), (at(20), at(20))]);
        assert_eq!(overlap.spans, [(at(5), at(10)), (at(11), at(12)), (at(20), at(20))]);
        assert!(Overlap::of(vec![(at(0), at(1)), (at(2), at(3))]).spans.is_empty());
    }
}
