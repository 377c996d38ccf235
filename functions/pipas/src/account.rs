//! The account of each stream: what was received, and what became of it, over every run of an instance.

use std::{
    collections::BTreeMap,
    ops::{Add, Sub},
    path::Path,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{counters::Counters, instance::Endpoints};

/// The counts of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Events that the receiver read and found good, or that the poller found in a feed and had not handed on just before,
    /// whatever Pub/Sub then said; one that is sent or fetched again counts again.
    pub(crate) received: u64,
    /// Events that Pub/Sub took: from the receiver those that were answered with 200, and others of such requests that were not;
    /// and those of feeds.
    pub(crate) published: u64,
    /// Deliveries of dead letters that were published again, and that have ended: they were not received.
    #[serde(default)]
    pub(crate) redriven: u64,
    /// Push deliveries that were answered: the loader's, and those of messages that were given up.
    pub(crate) delivered: u64,
    /// Deliveries that became rows.
    pub(crate) written: u64,
    /// Deliveries whose event was a row already.
    pub(crate) duplicate: u64,
    /// Deliveries that became dead letters.
    pub(crate) dead_lettered: u64,
    /// Deliveries that were nacked and come again.
    pub(crate) retried: u64,
}

impl Account {
    /// Events with a final outcome.
    pub(crate) const fn settled(&self) -> u64 {
        self.written + self.duplicate + self.dead_lettered
    }

    fn zip(self, other: Self, op: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            received: op(self.received, other.received),
            published: op(self.published, other.published),
            redriven: op(self.redriven, other.redriven),
            delivered: op(self.delivered, other.delivered),
            written: op(self.written, other.written),
            duplicate: op(self.duplicate, other.duplicate),
            dead_lettered: op(self.dead_lettered, other.dead_lettered),
            retried: op(self.retried, other.retried),
        }
    }
}

impl Add for Account {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }
}

impl Sub for Account {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }
}

/// The accounts by stream.
pub(crate) type Accounts = BTreeMap<String, Account>;

/// The accounts as the data directory keeps them: those of earlier runs, and those with this run's added.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledgered {
    pub(crate) carried: Accounts,
    pub(crate) total: Accounts,
}

impl Ledgered {
    const FILE: &'static str = "account.json";

    /// Reads the file; an instance without one has carried nothing.
    pub(crate) fn read(data_dir: &Path) -> anyhow::Result<Self> {
        let file = data_dir.join(Self::FILE);
        match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Writes the file whole or not at all.
    pub(crate) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let fresh = data_dir.join("account.json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        Ok(std::fs::rename(&fresh, data_dir.join(Self::FILE))?)
    }
}

/// The counts since the functions started, of every stream in `streams`.
pub(crate) async fn live(
    http: &reqwest::Client,
    endpoints: &Endpoints,
    streams: &[String],
) -> anyhow::Result<Accounts> {
    let functions = Functions {
        receiver: Counters::fetch(http, &endpoints.receiver).await?,
        poller: match &*endpoints.poller {
            // Not every instance has one.
            "" => Counters::default(),
            poller => Counters::fetch(http, poller).await?,
        },
        loader: Counters::fetch(http, &endpoints.loader).await?,
        deadletter: Counters::fetch(http, &endpoints.deadletter).await?,
    };
    Ok(streams.iter().map(|stream| (stream.clone(), of_stream(stream, &functions))).collect())
}

/// What the functions count that bring events and end them.
struct Functions {
    receiver: Counters,
    poller: Counters,
    loader: Counters,
    deadletter: Counters,
}

fn of_stream(stream: &str, functions: &Functions) -> Account {
    let Functions { receiver, poller, loader, deadletter } = functions;
    let deliveries = |labels: &[(&str, &str)]| {
        let of_loader = loader.sum("pipas_loader_deliveries_total", labels);
        of_loader + deadletter.sum("pipas_deadletter_deliveries_total", labels)
    };
    let outcome = |outcome| deliveries(&[("stream", stream), ("outcome", outcome)]);
    let received = |result| receiver.sum("pipas_receiver_events_total", &[("stream", stream), ("result", result)]);
    let polled = |result| poller.sum("pipas_poller_events_total", &[("stream", stream), ("result", result)]);
    let published = received("accepted") + polled("published");
    Account {
        // The other results are of events that were bad, that there was no room for, or that were handed on before.
        received: published + received("unavailable") + received("refused") + polled("unpublished"),
        published,
        redriven: loader.sum("pipas_loader_redriven_total", &[("stream", stream)])
            + deadletter.sum("pipas_deadletter_redriven_total", &[("stream", stream)]),
        delivered: deliveries(&[("stream", stream)]),
        written: outcome("written"),
        duplicate: outcome("duplicate"),
        dead_lettered: outcome("dead_lettered"),
        retried: outcome("retried"),
    }
}

/// Two sets of accounts, added stream by stream.
pub(crate) fn add(a: &Accounts, b: &Accounts) -> Accounts {
    let mut sum = a.clone();
    for (stream, account) in b {
        let entry = sum.entry(stream.clone()).or_default();
        *entry = *entry + *account;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pubsub_did_not_take_was_received_and_not_published() {
        let receiver = Counters::parse(
            r#"pipas_receiver_events_total{result="accepted",stream="chat"} 5
pipas_receiver_events_total{result="unavailable",stream="chat"} 3
pipas_receiver_events_total{result="refused",stream="chat"} 2
pipas_receiver_events_total{result="invalid",stream="chat"} 100
pipas_receiver_events_total{result="too_large",stream="chat"} 100
pipas_receiver_events_total{result="overloaded",stream="chat"} 100
pipas_receiver_events_total{result="accepted",stream="other"} 100
"#,
        );
        let poller = Counters::parse(
            r#"pipas_poller_events_total{feed="a",result="published",stream="chat"} 20
pipas_poller_events_total{feed="b",result="published",stream="chat"} 10
pipas_poller_events_total{feed="b",result="unpublished",stream="chat"} 1
pipas_poller_events_total{feed="a",result="repeated",stream="chat"} 100
pipas_poller_events_total{feed="a",result="filtered",stream="chat"} 100
pipas_poller_events_total{feed="a",result="bad",stream="chat"} 100
pipas_poller_events_total{feed="c",result="published",stream="other"} 100
"#,
        );
        let loader = Counters::parse(
            r#"pipas_loader_deliveries_total{outcome="written",stream="chat"} 4
pipas_loader_deliveries_total{outcome="retried",stream="chat"} 6
"#,
        );
        let deadletter =
            Counters::parse("pipas_deadletter_deliveries_total{outcome=\"dead_lettered\",stream=\"chat\"} 1\n");
        let account = of_stream("chat", &Functions { receiver, poller, loader, deadletter });
        let expected = Account {
            received: 41,
            published: 35,
            redriven: 0,
            delivered: 11,
            written: 4,
            duplicate: 0,
            dead_lettered: 1,
            retried: 6,
        };
        assert_eq!(account, expected);
    }
}
