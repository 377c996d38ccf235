use std::{collections::BTreeMap, time::Duration};

use super::{cursor::Cursor, name};
use crate::{Stream, Subscription};

const DEFAULT_ACK_DEADLINE: Duration = Duration::from_secs(60);
const DEFAULT_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Pub/Sub's bounds: <https://cloud.google.com/pubsub/docs/subscription-properties>.
const ACK_DEADLINES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10 * 60));
const RETENTIONS: (Duration, Duration) = (Duration::from_secs(10 * 60), Duration::from_secs(31 * 24 * 60 * 60));
/// Pub/Sub's longest filter, in bytes.
const LONGEST_FILTER: usize = 256;

/// Reads the `subscriptions` of `stream`. `None`: there is a problem.
pub(super) fn read(stream: &str, at: &Cursor<'_>) -> Option<Vec<Subscription>> {
    let entries = at.entries("a map of subscriptions by name")?;
    let subscriptions: Vec<_> = entries.iter().map(|(name, at)| subscription(stream, name, at)).collect();
    subscriptions.into_iter().collect()
}

fn subscription(stream: &str, name: &str, at: &Cursor<'_>) -> Option<Subscription> {
    const FILTER: &str = "a filter of Pub/Sub's over attributes, of 1 to 256 bytes";
    let is_named = name::is_label(name, 1..=40);
    if !is_named {
        at.problem(format!(
            "expected a subscription's name: at most 40 lower-case letters, digits and hyphens, a letter first, found `{name}`"
        ));
    }
    let mut settings = at.settings("a subscription: a map of its settings, `{}` for one as it comes")?;
    let filter = settings.optional("filter").map_or(Some(String::new()), |at| {
        at.parse(FILTER, |text| {
            (!text.trim().is_empty() && text.len() <= LONGEST_FILTER).then(|| text.trim().to_owned())
        })
    });
    let ack_deadline = settings
        .optional("ack_deadline")
        .map_or(Some(DEFAULT_ACK_DEADLINE), |at| bounded(&at, ACK_DEADLINES, "an ack deadline is from 10s to 10m"));
    let retention = settings
        .optional("retention")
        .map_or(Some(DEFAULT_RETENTION), |at| bounded(&at, RETENTIONS, "Pub/Sub keeps messages for 10m to 31d"));
    settings.finish();
    let id = format!("{stream}-{name}");
    Some(Subscription { id, filter: filter?, ack_deadline: ack_deadline?, retention: retention? }).filter(|_| is_named)
}

fn bounded(at: &Cursor<'_>, (least, most): (Duration, Duration), why: &str) -> Option<Duration> {
    let duration = at.parse(name::DURATION, name::duration)?;
    if !(least..=most).contains(&duration) {
        at.problem(why);
        return None;
    }
    Some(duration)
}

/// The ids of all subscriptions of a catalog, so that each has one owner.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<String, String>);

impl Taken {
    /// Takes the ids of `stream`'s subscriptions; one that is taken already is a problem.
    pub(super) fn claim(&mut self, stream: &Stream, at: &Cursor<'_>) {
        let own = [stream.loader_subscription(), stream.archive_subscription(), stream.dead_letter_subscription()];
        for id in own.into_iter().chain(stream.subscriptions.iter().map(|further| further.id.clone())) {
            match self.0.get(&id) {
                Some(other) => at.problem(format!("the subscription `{id}` is the stream `{other}`'s already")),
                None => drop(self.0.insert(id, stream.name.clone())),
            }
        }
    }
}
