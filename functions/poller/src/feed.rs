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
    /// The events of the last snapshot that this instance published, by what makes them the same.
    pub(crate) last: Mutex<HashSet<[u8; 16]>>,
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
