use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use exactly_once::{
    Claim, Claimed, EventKey, Expected, NewState, PayloadHash, Restored, Settled, State, Swapped, Time, Want,
    rules::{self, Stored},
};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::{Adopted, Ledger, LedgerError, Meter, Metered, Survey};

/// How many writes pass between two sweeps of forgotten keys.
const SWEEP_EVERY: usize = 65_536;

/// The ledger of a single process. With a journal (feature `journal`) it outlives the process, however that ends; without one
/// it is as exact as the process is long-lived. Cheap to clone.
#[derive(Clone)]
pub struct InProcessLedger {
    shared: Arc<Shared>,
}

struct Shared {
    keys: Mutex<Keys>,
    #[cfg(feature = "journal")]
    journal: Option<crate::journal::Journal>,
}

struct Keys {
    map: HashMap<EventKey, Stored>,
    writes: usize,
    /// Of the journal, else of this process.
    identity: String,
    adopted: Option<Adopted>,
    beat: Option<Time>,
    /// What was counted, and in which period.
    counts: HashMap<String, Metered>,
}

impl InProcessLedger {
    /// An empty ledger that nothing outlives.
    pub fn new() -> Self {
        let keys = Keys {
            map: HashMap::new(),
            writes: 0,
            identity: new_identity(),
            adopted: None,
            beat: None,
            counts: HashMap::new(),
        };
        Self {
            shared: Arc::new(Shared {
                keys: Mutex::new(keys),
                #[cfg(feature = "journal")]
                journal: None,
            }),
        }
    }

    /// A ledger that is kept in `folder`: what was answered is there after a kill, though not after a loss of power. A folder
    /// that was deleted or emptied is noticed: the ledger has another identity.
    #[cfg(feature = "journal")]
    pub fn open(folder: &std::path::Path) -> Result<Self, LedgerError> {
        let crate::journal::Opened { journal, keys: map, identity, adopted, beat } =
            crate::journal::Journal::open(folder, now(), new_identity())?;
        let keys = Mutex::new(Keys { map, writes: 0, identity, adopted, beat, counts: HashMap::new() });
        Ok(Self { shared: Arc::new(Shared { keys, journal: Some(journal) }) })
    }

    /// Applies `rule` to each key, writes what changed to the journal, and takes all of it back where that fails. Nothing of it
    /// where the ledger was not adopted for `generation`; 0 asks for no such guard.
    fn apply<T>(
        &self,
        generation: u64,
        keys: impl Iterator<Item = EventKey>,
        mut rule: impl FnMut(usize, &mut Option<Stored>, Time) -> T,
    ) -> Result<Vec<T>, LedgerError> {
        let now = now();
        let mut guard = self.shared.keys.lock();
        if generation != 0 && !guard.survey(now).holds(generation) {
            return Err(LedgerError::Epoch);
        }
        let (mut results, mut before) = (Vec::new(), Vec::new());
        for (at, key) in keys.enumerate() {
            let old = guard.map.get(&key).cloned();
            let mut slot = old.clone();
            results.push(rule(at, &mut slot, now));
            if slot != old {
                before.push((key, old));
                guard.put(key, slot);
            }
        }
        #[cfg(feature = "journal")]
        if let Some(journal) = &self.shared.journal
            && let Err(error) = journal.write(before.iter().map(|(key, _)| (key, guard.map.get(key))))
        {
            for (key, old) in before.into_iter().rev() {
                guard.put(key, old);
            }
            return Err(error.into());
        }
        guard.writes += before.len();
        if guard.writes >= SWEEP_EVERY {
            guard.writes = 0;
            self.sweep(&mut guard, now)?;
        }
        Ok(results)
    }

    fn sweep(&self, keys: &mut Keys, now: Time) -> Result<(), LedgerError> {
        let over: Vec<EventKey> = keys
            .map
            .iter()
            .filter(|(_, stored)| stored.until().is_some_and(|until| until <= now))
            .map(|(key, _)| *key)
            .collect();
        over.iter().for_each(|key| keys.put(*key, None));
        #[cfg(feature = "journal")]
        if let Some(journal) = &self.shared.journal {
            journal.write(over.iter().map(|key| (key, None)))?;
        }
        Ok(())
    }

    /// Runs a call where it may block: a journal writes to disk.
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        #[cfg(feature = "journal")]
        if self.shared.journal.is_some() {
            let ledger = self.clone();
            return match tokio::task::spawn_blocking(move || call(&ledger)).await {
                Ok(result) => result,
                Err(_) => Err(LedgerError::Corrupt { detail: "a call that did not end".into() }),
            };
        }
        call(self)
    }
}

impl Keys {
    fn survey(&self, now: Time) -> Survey {
        Survey { identity: self.identity.clone(), adopted: self.adopted.clone(), beat: self.beat, now, policy: None }
    }

    fn put(&mut self, key: EventKey, stored: Option<Stored>) {
        match stored {
            Some(stored) => self.map.insert(key, stored),
            None => self.map.remove(&key),
        };
    }
}

impl Default for InProcessLedger {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait::async_trait]
impl Ledger for InProcessLedger {
    async fn claim(&self, wants: &[Want], claim: &Claim, generation: u64) -> Result<Vec<Claimed>, LedgerError> {
        let (wants, claim) = (wants.to_vec(), claim.clone());
        self.run(move |ledger| {
            ledger.apply(generation, wants.iter().map(|want| want.key), |at, slot, now| {
                rules::claim(slot, now, &claim, &wants[at])
            })
        })
        .await
    }

    async fn settle(
        &self,
        rows: &[(EventKey, PayloadHash)],
        claim: &Claim,
        window: Duration,
    ) -> Result<Vec<Settled>, LedgerError> {
        let (rows, claim) = (rows.to_vec(), claim.clone());
        self.run(move |ledger| {
            ledger.apply(0, rows.iter().map(|(key, _)| *key), |at, slot, now| {
                rules::settle(slot, now, &claim, rows[at].1, window)
            })
        })
        .await
    }

    async fn release(&self, keys: &[EventKey], claim: &Claim) -> Result<(), LedgerError> {
        let (keys, claim) = (keys.to_vec(), claim.clone());
        self.run(move |ledger| ledger.apply(0, keys.into_iter(), |_, slot, _| rules::release(slot, &claim))).await?;
        Ok(())
    }

    async fn swap(
        &self,
        key: &EventKey,
        expected: &Expected,
        new: &NewState,
        generation: u64,
    ) -> Result<Swapped, LedgerError> {
        let (key, expected, new) = (*key, expected.clone(), new.clone());
        let call = move |ledger: &Self| {
            ledger.apply(generation, std::iter::once(key), |_, slot, now| rules::swap(slot, now, &expected, &new))
        };
        let swapped = self.run(call).await?;
        swapped.into_iter().next().ok_or_else(|| LedgerError::Corrupt { detail: "no answer".into() })
    }

    async fn read(&self, keys: &[EventKey]) -> Result<Vec<Option<State>>, LedgerError> {
        let now = now();
        let mut guard = self.shared.keys.lock();
        let states = keys.iter().map(|key| {
            let mut slot = guard.map.remove(key);
            let state = rules::current(&mut slot, now).map(|stored| stored.state(now));
            guard.put(*key, slot);
            state
        });
        Ok(states.collect())
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn survey(&self) -> Result<Survey, LedgerError> {
        Ok(self.shared.keys.lock().survey(now()))
    }

    async fn adopt(&self, identity: &str, generation: u64) -> Result<bool, LedgerError> {
        let identity = identity.to_owned();
        self.run(move |ledger| {
            let mut guard = ledger.shared.keys.lock();
            let free = guard.adopted.as_ref().is_none_or(|adopted| adopted.gives_way_to(&identity, generation));
            if guard.identity != identity || !free {
                return Ok(false);
            }
            let adopted = Adopted { identity, generation };
            #[cfg(feature = "journal")]
            if let Some(journal) = &ledger.shared.journal {
                journal.adopt(&adopted)?;
            }
            guard.adopted = Some(adopted);
            Ok(true)
        })
        .await
    }

    async fn undecided(&self, age: Duration) -> Result<Vec<(EventKey, Claim, PayloadHash)>, LedgerError> {
        let now = now();
        let guard = self.shared.keys.lock();
        let old = guard.map.iter().filter_map(|(key, stored)| match stored.state(now) {
            State::Claimed { claim, payload, age: found } if found >= age => Some((*key, claim, payload)),
            _ => None,
        });
        Ok(old.collect())
    }

    async fn meter(&self, meters: &[Meter<'_>]) -> Result<Vec<Metered>, LedgerError> {
        let mut guard = self.shared.keys.lock();
        let counted = meters.iter().map(|meter| {
            let turn = crate::meter::turn(meter.period);
            let fresh = Metered { turn, previous: 0, current: 0 };
            let count = guard.counts.entry(meter.what.to_owned()).or_insert(fresh);
            if count.turn != turn {
                let previous = if count.turn + 1 == turn { count.current } else { 0 };
                *count = Metered { previous, ..fresh };
            }
            count.current = count.current.saturating_add(meter.by);
            *count
        });
        Ok(counted.collect())
    }

    async fn restore(
        &self,
        survey: &Survey,
        entries: &[(EventKey, Restored)],
        window: Duration,
    ) -> Result<(), LedgerError> {
        if self.shared.keys.lock().identity != survey.identity {
            return Err(LedgerError::Epoch);
        }
        let (entries, asked) = (entries.to_vec(), survey.now);
        self.run(move |ledger| {
            ledger.apply(0, entries.iter().map(|(key, _)| *key), |at, slot, now| {
                rules::restore(slot, now, entries[at].1, window, asked);
            })
        })
        .await?;
        Ok(())
    }

    async fn beat(&self) -> Result<(), LedgerError> {
        self.run(|ledger| {
            let now = now();
            let mut guard = ledger.shared.keys.lock();
            if guard.adopted.as_ref().is_none_or(|adopted| adopted.identity != guard.identity) {
                return Err(LedgerError::Epoch);
            }
            #[cfg(feature = "journal")]
            if let Some(journal) = &ledger.shared.journal {
                journal.beat(now)?;
            }
            guard.beat = Some(now);
            Ok(())
        })
        .await
    }
}

fn new_identity() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// In milliseconds, as a journal keeps it.
fn now() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::new(Duration::from_millis(now.as_millis() as u64))
}
