use std::sync::Arc;

use catalog::Feed;
use hashbrown::HashSet;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::outlet::Outlet;

/// One feed, and where its events go.
pub(crate) struct FeedPoller {
    pub(crate) feed: Feed,
    pub(crate) outlet: Arc<Outlet>,
    /// What the answer is read by: another declaration reads the same answer anew.
    pub(crate) reading: String,
    pub(crate) last: Mutex<Last>,
}

/// The last snapshot that this instance published.
#[derive(Debug, Default)]
pub(crate) struct Last {
    /// SHA-256 of the answer's body.
    body: String,
    /// Its events, by what makes them the same.
    events: HashSet<[u8; 16]>,
}

impl Last {
    pub(crate) fn new(body: &str, events: HashSet<[u8; 16]>) -> Self {
        Self { body: body.to_owned(), events }
    }

    /// Whether the snapshot before, which is that of `body`, has the event. Where another instance published that one, this
    /// one's is older, and says nothing: what was so, then was not, and is so again is news.
    pub(crate) fn has(&self, body: Option<&str>, event: &[u8; 16]) -> bool {
        body == Some(&self.body) && self.events.contains(event)
    }
}

impl FeedPoller {
    pub(crate) fn new(feed: &Feed, outlet: Arc<Outlet>) -> Self {
        let hash = Sha256::digest(format!("{feed:?} {:?} {:?}", outlet.stream.shaping, outlet.stream.content_hash));
        let reading = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { feed: feed.clone(), outlet, reading, last: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.feed.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_snapshot_before_says_what_is_known() {
        let last = Last::new("a", HashSet::from([[1; 16]]));
        assert!(last.has(Some("a"), &[1; 16]) && !last.has(Some("a"), &[2; 16]));
        assert!(!last.has(Some("b"), &[1; 16]) && !last.has(None, &[1; 16]));
        assert!(!Last::default().has(None, &[1; 16]));
    }
}
