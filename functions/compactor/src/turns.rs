use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;

/// Which streams are being drained by this process. Between processes Pub/Sub's leases keep messages apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashSet<String>>>);

/// The turn of one stream; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    stream: String,
}

impl Turns {
    /// The stream's turn, where it is free.
    pub(crate) fn take(&self, stream: &str) -> Option<Turn> {
        let is_free = self.0.lock().insert(stream.to_owned());
        is_free.then(|| Turn { turns: self.clone(), stream: stream.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().remove(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_one_turn_at_a_time() {
        let turns = Turns::default();
        let turn = turns.take("a").expect("a turn");
        assert!(turns.take("a").is_none());
        assert!(turns.take("b").is_some());
        drop(turn);
        assert!(turns.take("a").is_some());
    }
}
