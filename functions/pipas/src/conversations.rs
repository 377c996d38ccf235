//! A seeded generator of courier–customer conversations: the same seed gives the same lines.

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

const CITIES: [&str; 20] = [
    "ROM", "MIL", "NAP", "TOR", "FLR", "BCN", "MAD", "VLC", "SVQ", "BIO", "LIS", "OPO", "PAR", "LYS", "MRS", "BER",
    "HAM", "MUC", "WAW", "KRK",
];

const STAGES: [&str; 15] = [
    "CREATED",
    "AWAITING_PICKUP",
    "ACCEPTED",
    "ASSIGNED",
    "AT_STORE",
    "PICKED_UP",
    "IN_DELIVERY",
    "DELAYED",
    "ARRIVED",
    "HANDED_OVER",
    "DELIVERED",
    "CANCELLED",
    "FAILED",
    "RETURNED",
    "REFUNDED",
];

/// Conversations of 2 to 5 messages, 1 to 60 seconds apart, begun by either side, with the order's own event second.
#[derive(Debug)]
pub struct Conversations {
    random: StdRng,
    next: u64,
    count: u64,
    first_order: u64,
}

/// One event as a producer sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The key under which a producer would send it again.
    pub idempotency_key: String,
    /// The JSON object.
    pub json: String,
}

impl Conversations {
    /// `count` conversations from `seed`.
    pub fn new(seed: u64, count: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), next: 0, count, first_order: 70_000_000 }
    }

    /// The same, their orders numbered from `first`.
    pub fn numbered_from(self, first: u64) -> Self {
        Self { first_order: first, ..self }
    }

    fn conversation(&mut self, number: u64) -> Vec<Line> {
        let order_id = self.first_order + number;
        let random = &mut self.random;
        let courier_id = random.random_range(45_000_000..46_000_000_u64);
        let customer_id = random.random_range(57_000_000..58_000_000_u64);
        let city = CITIES.choose(random).unwrap_or(&"ROM");
        let starts = Timestamp::constant(1_706_781_600, 0);
        let mut sent = starts + SignedDuration::from_secs(random.random_range(0..86_400));
        let courier_first = random.random_bool(0.5);
        let messages = random.random_range(2..=5);
        let mut lines = Vec::with_capacity(messages + 1);
        for message in 0..messages {
            let by_courier = if message == 0 { courier_first } else { random.random_bool(0.5) };
            let (from, to) = if by_courier { (courier_id, customer_id) } else { (customer_id, courier_id) };
            let side = if by_courier { "Courier" } else { "Customer" };
            let platform = if random.random_bool(0.5) { "Android" } else { "iOS" };
            let json = json!({
                "senderAppType": format!("{side} {platform}"),
                "courierId": courier_id,
                "customerId": customer_id,
                "fromId": from,
                "toId": to,
                "chatStartedByMessage": message == 0,
                "orderId": order_id,
                "orderStage": STAGES.choose(random).unwrap_or(&"ACCEPTED"),
                "messageSentTime": sent.to_string(),
            });
            lines.push(Line { idempotency_key: format!("{order_id}-message-{message}"), json: json.to_string() });
            sent += SignedDuration::from_secs(random.random_range(1..=60));
        }
        let order = json!({ "orderId": order_id, "cityCode": city });
        lines.insert(1, Line { idempotency_key: format!("{order_id}-order"), json: order.to_string() });
        lines
    }
}

impl Iterator for Conversations {
    type Item = Vec<Line>;

    fn next(&mut self) -> Option<Vec<Line>> {
        (self.next < self.count).then(|| {
            let number = self.next;
            self.next += 1;
            self.conversation(number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_lines() {
        let lines = |seed| Conversations::new(seed, 20).flatten().collect::<Vec<_>>();
        assert_eq!(lines(7), lines(7));
        assert_ne!(lines(7), lines(8));
    }

    #[test]
    fn a_conversation_has_2_to_5_messages_and_its_order_second() {
        for conversation in Conversations::new(1, 200) {
            assert!((3..=6).contains(&conversation.len()), "{conversation:?}");
            assert!(conversation[1].json.contains("cityCode"), "{conversation:?}");
        }
    }
}
