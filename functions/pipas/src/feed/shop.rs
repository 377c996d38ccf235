//! A shop's backend: orders, stock and what users do.

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::conversations::Line;

const STATUSES: [&str; 4] = ["pending", "processing", "shipped", "delivered"];
const REASONS: [&str; 4] = ["restock", "sale", "return", "damage"];
const ACTIVITIES: [&str; 5] = ["login", "logout", "view_product", "add_to_cart", "remove_from_cart"];
const PLATFORMS: [&str; 3] = ["web", "mobile", "tablet"];
const PRODUCTS: [(&str, u64); 8] = [
    ("Kettle", 3490),
    ("Lamp", 5900),
    ("Chair", 12_900),
    ("Mug", 890),
    ("Blanket", 4500),
    ("Clock", 2999),
    ("Bowl", 1450),
    ("Shelf", 7995),
];
const PLACES: [(&str, &str, &str); 5] = [
    ("Via Roma 1", "Roma", "IT"),
    ("Calle Mayor 4", "Madrid", "ES"),
    ("Rua Augusta 12", "Lisboa", "PT"),
    ("Rue de Lyon 8", "Paris", "FR"),
    ("Torstraße 30", "Berlin", "DE"),
];

/// Events of the three types, without end: 3 in 10 are orders, 2 in 10 stock, the rest what users do.
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

    fn order(&mut self, id: &str, time: Timestamp) -> Value {
        let random = &mut self.random;
        let mut total = 0;
        let items: Vec<Value> = (0..random.random_range(1..=4))
            .map(|_| {
                let product = random.random_range(0..PRODUCTS.len());
                let (name, cents) = PRODUCTS[product];
                let quantity = random.random_range(1..=5_u64);
                total += quantity * cents;
                json!({ "product_id": format!("P{product:03}"), "product_name": name, "quantity": quantity, "price": money(cents) })
            })
            .collect();
        let (street, city, country) = PLACES.choose(random).copied().unwrap_or(PLACES[0]);
        json!({
            "event_type": "order",
            "order_id": id,
            "customer_id": format!("C{:05}", random.random_range(0..20_000)),
            "order_date": time.to_string(),
            "status": STATUSES.choose(random).unwrap_or(&"pending"),
            "items": items,
            "shipping_address": { "street": street, "city": city, "country": country },
            "total_amount": money(total),
        })
    }

    fn inventory(&mut self, id: &str, time: Timestamp) -> Value {
        let random = &mut self.random;
        let reason = *REASONS.choose(random).unwrap_or(&"restock");
        let size = random.random_range(1..=100_i64);
        let change = if matches!(reason, "sale" | "damage") { -size } else { size };
        json!({
            "event_type": "inventory",
            "inventory_id": id,
            "product_id": format!("P{:03}", random.random_range(0..PRODUCTS.len())),
            "warehouse_id": format!("W{}", random.random_range(1..=4)),
            "quantity_change": change,
            "reason": reason,
            "timestamp": time.to_string(),
        })
    }

    fn activity(&mut self, time: Timestamp) -> Value {
        let random = &mut self.random;
        json!({
            "event_type": "user_activity",
            "user_id": format!("U{:05}", random.random_range(0..20_000)),
            "activity_type": ACTIVITIES.choose(random).unwrap_or(&"login"),
            "ip_address": format!("203.0.113.{}", random.random_range(1..255)),
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            "timestamp": time.to_string(),
            "metadata": {
                "session_id": format!("{:032x}", random.random::<u128>()),
                "platform": PLATFORMS.choose(random).unwrap_or(&"web"),
            },
        })
    }
}

fn money(cents: u64) -> f64 {
    cents as f64 / 100.0
}

impl Iterator for Events {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let number = self.next;
        self.next += 1;
        let id = format!("{:016x}-{number}", self.seed);
        let second =
            Timestamp::constant(1_706_781_600, 0) + SignedDuration::from_secs(self.random.random_range(0..7 * 86_400));
        let event = match self.random.random_range(0..10) {
            0..3 => self.order(&id, second),
            3..5 => self.inventory(&id, second),
            _ => self.activity(second),
        };
        Some(Line { idempotency_key: id, json: event.to_string() })
    }
}
