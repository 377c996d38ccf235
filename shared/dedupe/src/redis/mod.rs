//! The ledger in Redis, or in anything that speaks as Redis 7 does.

mod client;
mod connection;
mod scan;
mod scripts;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use exactly_once::{
    Claim, Claimed, EventKey, Expected, NewState, PayloadHash, Restored, Settled, State, Swapped, Time, Want,
};
use futures::{StreamExt, TryStreamExt, stream};
use redis::{AsyncCommands, FromRedisValue, RedisError, Script, aio::ConnectionManagerConfig};
use secrecy::SecretString;

use crate::{Adopted, Ledger, LedgerError, Meter, Metered, Survey, meter::turn, value};
use connection::Connection;
use scripts::Scripts;

/// The most keys of one script call.
const KEYS_PER_CALL: usize = 1_000;
/// How many calls of one batch are under way at once.
const CALLS_AT_ONCE: usize = 8;

/// Where the ledger's server is, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://`, `rediss://` or `redis+unix://`, with user and password where the server wants them.
    pub url: SecretString,
    /// PEM: those who may have signed the certificate of a `rediss://` server. Then they alone are believed, and the name in the
    /// certificate is not looked at: a server with an authority of its own need not know its address. `None`: the system's
    /// authorities, and the certificate must name the server.
    pub authority: Option<Vec<u8>>,
    /// Over how many hash slots the keys are spread. Must be the same for all loaders, for ever.
    pub buckets: u8,
    /// How long a call may take.
    pub response_timeout: Duration,
}

impl RedisSettings {
    /// The settings for one server.
    pub fn new(url: SecretString) -> Self {
        Self { url, authority: None, buckets: 1, response_timeout: Duration::from_millis(500) }
    }
}

/// The ledger in Redis. One connection, which comes back by itself; cheap to clone.
#[derive(Clone)]
pub struct RedisLedger {
    connection: Connection,
    buckets: u8,
    scripts: Arc<Scripts>,
}

impl RedisLedger {
    /// A ledger at the server. Does not wait for the server: calls fail for as long as it is away. Must be called inside a runtime.
    pub fn new(settings: &RedisSettings) -> Result<Self, LedgerError> {
        let client = client::client(settings)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(settings.response_timeout))
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_number_of_retries(2)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500));
        let connection = Connection::new(client, config).map_err(LedgerError::Refused)?;
        Ok(Self { connection, buckets: settings.buckets.max(1), scripts: Arc::new(Scripts::new()) })
    }

    /// What the server does when it is full, where it says so. Anything but `noeviction` silently deletes claims.
    pub async fn eviction_policy(&self) -> Result<Option<String>, LedgerError> {
        let info: String =
            redis::cmd("INFO").arg("memory").query_async(&mut self.connection.clone()).await.map_err(ledger_error)?;
        Ok(info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(|policy| policy.trim().to_owned()))
    }

    fn bucket(&self, key: &EventKey) -> u8 {
        key.as_bytes()[15] % self.buckets
    }

    /// Calls a script for the keys, bucket by bucket, and puts the answers into the order of the keys.
    async fn call<A>(
        &self,
        script: &Script,
        keys: impl Iterator<Item = EventKey>,
        head: &[&[u8]],
        argument: impl Fn(usize) -> Option<A>,
    ) -> Result<Vec<(Time, Option<Vec<u8>>)>, LedgerError>
    where
        A: AsRef<[u8]>,
    {
        let mut buckets: BTreeMap<u8, Vec<(usize, EventKey)>> = BTreeMap::new();
        let mut count = 0;
        for (at, key) in keys.enumerate() {
            buckets.entry(self.bucket(&key)).or_default().push((at, key));
            count += 1;
        }
        let mut answers = vec![(Time::START, None); count];
        let chunks = buckets.iter().flat_map(|(bucket, keys)| keys.chunks(KEYS_PER_CALL).map(|chunk| (*bucket, chunk)));
        let calls = chunks.map(|(bucket, chunk)| {
            let mut call = script.prepare_invoke();
            call.key(name("pages", bucket)).key(name("gen", bucket));
            for argument in head {
                call.arg(*argument);
            }
            for (at, key) in chunk {
                call.key([format!("e:{{{bucket}}}:").as_bytes(), key.as_bytes()].concat());
                if let Some(argument) = argument(*at) {
                    call.arg(argument.as_ref());
                }
            }
            let mut connection = self.connection.clone();
            async move {
                let answer: Vec<Option<Vec<u8>>> = call.invoke_async(&mut connection).await.map_err(ledger_error)?;
                Ok::<_, LedgerError>((chunk, answer))
            }
        });
        let calls = stream::iter(calls.collect::<Vec<_>>());
        let done: Vec<_> = calls.buffer_unordered(CALLS_AT_ONCE).try_collect().await?;
        for (chunk, answer) in done {
            let mut answer = answer.into_iter();
            let now = answer.next().flatten().as_deref().and_then(time).ok_or_else(|| corrupt("no time"))?;
            if answer.len() != chunk.len() {
                return Err(corrupt("an answer for other keys"));
            }
            for ((at, _), value) in chunk.iter().zip(answer) {
                answers[*at] = (now, value);
            }
        }
        Ok(answers)
    }

    /// Calls a script once for each slot.
    async fn each_slot<T: FromRedisValue>(&self, script: &Script, arguments: &[&str]) -> Result<Vec<T>, LedgerError> {
        let calls = (0..self.buckets).map(|bucket| {
            let mut call = script.prepare_invoke();
            call.key(name("pages", bucket)).key(name("gen", bucket)).key(name("can", bucket));
            for argument in arguments {
                call.arg(*argument);
            }
            let mut connection = self.connection.clone();
            async move { call.invoke_async(&mut connection).await.map_err(ledger_error) }
        });
        stream::iter(calls.collect::<Vec<_>>()).buffered(CALLS_AT_ONCE).try_collect().await
    }
}

#[async_trait::async_trait]
impl Ledger for RedisLedger {
    async fn claim(&self, wants: &[Want], claim: &Claim, generation: u64) -> Result<Vec<Claimed>, LedgerError> {
        let want = |at: usize| Some(value::want(&wants[at]));
        let keys = wants.iter().map(|want| want.key);
        let (generation, identity) = (generation.to_string(), value::identity(claim));
        let answers = self.call(&self.scripts.claim, keys, &[generation.as_bytes(), &identity], want).await?;
        let claimed = answers.into_iter().map(|(now, value)| match value.as_deref() {
            Some(b"W") => Ok(Claimed::Won),
            value => state(value, now)?.map(Claimed::Found).ok_or_else(|| corrupt("nothing where a value was found")),
        });
        claimed.collect()
    }

    async fn settle(
        &self,
        rows: &[(EventKey, PayloadHash)],
        claim: &Claim,
        window: Duration,
    ) -> Result<Vec<Settled>, LedgerError> {
        let (identity, window) = (value::identity(claim), milliseconds(window));
        let head: [&[u8]; 2] = [&identity, window.as_bytes()];
        let done = |at: usize| Some(value::done(rows[at].1));
        let answers = self.call(&self.scripts.settle, rows.iter().map(|(key, _)| *key), &head, done).await?;
        let settled = answers.into_iter().map(|(now, value)| match value.as_deref() {
            Some(b"") | None => Ok(Settled::Done),
            value => Ok(state(value, now)?.map_or(Settled::Done, Settled::Contradicted)),
        });
        settled.collect()
    }

    async fn release(&self, keys: &[EventKey], claim: &Claim) -> Result<(), LedgerError> {
        let identity = value::identity(claim);
        self.call(&self.scripts.release, keys.iter().copied(), &[&identity], |_| None::<Vec<u8>>).await?;
        Ok(())
    }

    async fn swap(
        &self,
        key: &EventKey,
        expected: &Expected,
        new: &NewState,
        generation: u64,
    ) -> Result<Swapped, LedgerError> {
        let (new, window) = value::new_state(new);
        let window = window.map_or_else(|| "0".to_owned(), milliseconds);
        let (generation, expected) = (generation.to_string(), value::expected(expected));
        let head: [&[u8]; 4] = [generation.as_bytes(), &expected, &new, window.as_bytes()];
        let answers = self.call(&self.scripts.swap, std::iter::once(*key), &head, |_| None::<Vec<u8>>).await?;
        match answers.first() {
            Some((_, Some(value))) if value == b"Y" => Ok(Swapped::Yes),
            Some((now, value)) => Ok(Swapped::No(state(value.as_deref(), *now)?)),
            None => Err(corrupt("no answer")),
        }
    }

    async fn read(&self, keys: &[EventKey]) -> Result<Vec<Option<State>>, LedgerError> {
        let answers = self.call(&self.scripts.read, keys.iter().copied(), &[], |_| None::<Vec<u8>>).await?;
        answers.into_iter().map(|(now, value)| state(value.as_deref(), now)).collect()
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.connection.clone().ping().await.map_err(ledger_error)
    }

    async fn survey(&self) -> Result<Survey, LedgerError> {
        let slots: Vec<Vec<Option<Vec<u8>>>> = self.each_slot(&self.scripts.survey, &[]).await?;
        let slots = slots.iter().map(|slot| surveyed(slot)).collect::<Result<Vec<_>, _>>()?;
        let mut slots = slots.into_iter();
        let first = slots.next().ok_or_else(|| corrupt("no slots"))?;
        let first = Survey { policy: self.eviction_policy().await.unwrap_or_default(), ..first };
        slots.try_fold(first, |all, slot| {
            // The server became another between two calls.
            if all.identity != slot.identity {
                return Err(LedgerError::Epoch);
            }
            let adopted = all.adopted.filter(|adopted| slot.adopted.as_ref() == Some(adopted));
            let beat = all.beat.zip(slot.beat).map(|(one, other)| one.min(other));
            Ok(Survey { adopted, beat, now: all.now.max(slot.now), policy: all.policy, ..slot })
        })
    }

    async fn adopt(&self, identity: &str, generation: u64) -> Result<bool, LedgerError> {
        let adopted: Vec<bool> = self.each_slot(&self.scripts.adopt, &[identity, &generation.to_string()]).await?;
        Ok(adopted.into_iter().all(|adopted| adopted))
    }

    async fn restore(
        &self,
        survey: &Survey,
        entries: &[(EventKey, Restored)],
        window: Duration,
    ) -> Result<(), LedgerError> {
        let value = |at: usize| Some(value::restored(&entries[at].1));
        let (window, asked) = (milliseconds(window), value::time(survey.now));
        let head: [&[u8]; 3] = [survey.identity.as_bytes(), window.as_bytes(), asked.as_bytes()];
        self.call(&self.scripts.restore, entries.iter().map(|(key, _)| *key), &head, value).await?;
        Ok(())
    }

    async fn undecided(&self, age: Duration) -> Result<Vec<(EventKey, Claim, PayloadHash)>, LedgerError> {
        scan::undecided(&mut self.connection.clone(), age).await
    }

    async fn meter(&self, meters: &[Meter<'_>]) -> Result<Vec<Metered>, LedgerError> {
        if meters.is_empty() {
            return Ok(Vec::new());
        }
        let turns: Vec<u64> = meters.iter().map(|meter| turn(meter.period)).collect();
        let mut call = redis::pipe();
        call.atomic();
        for (meter, turn) in meters.iter().zip(&turns) {
            let name = |turn: u64| format!("count:{{0}}:{}:{turn}", meter.what);
            call.incr(name(*turn), meter.by);
            call.cmd("PEXPIRE").arg(name(*turn)).arg(milliseconds(3 * meter.period)).ignore();
            call.get(name(turn.saturating_sub(1)));
        }
        let found: Vec<Option<u64>> = call.query_async(&mut self.connection.clone()).await.map_err(ledger_error)?;
        let counted = turns.iter().zip(found.chunks(2)).map(|(turn, found)| match *found {
            [Some(current), previous] => Ok(Metered { turn: *turn, previous: previous.unwrap_or(0), current }),
            _ => Err(corrupt("no count where one was made")),
        });
        counted.collect()
    }

    async fn beat(&self) -> Result<(), LedgerError> {
        let _: Vec<bool> = self.each_slot(&self.scripts.beat, &[]).await?;
        Ok(())
    }
}

/// The name of a slot's own key. All names of a slot have its hash tag.
fn name(kind: &str, bucket: u8) -> String {
    format!("{kind}:{{{bucket}}}")
}

fn surveyed(answer: &[Option<Vec<u8>>]) -> Result<Survey, LedgerError> {
    let [now, identity, adopted, beat] = answer else { return Err(corrupt("a survey of another form")) };
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let adopted = text(adopted).map(|adopted| {
        let (identity, generation) = adopted.split_once(' ')?;
        Some(Adopted { identity: identity.to_owned(), generation: generation.parse().ok()? })
    });
    let beat = beat.as_deref().map(|digits| time(digits).ok_or_else(|| corrupt("a beat that is no time")));
    Ok(Survey {
        identity: text(identity).ok_or(LedgerError::Unidentified)?,
        adopted: adopted
            .map(|adopted| adopted.ok_or_else(|| corrupt("a generation that no ledger wrote")))
            .transpose()?,
        beat: beat.transpose()?,
        now: now.as_deref().and_then(time).ok_or_else(|| corrupt("no time"))?,
        policy: None,
    })
}

fn state(value: Option<&[u8]>, now: Time) -> Result<Option<State>, LedgerError> {
    let Some(value) = value else { return Ok(None) };
    match value::decode(value, now) {
        Some(stored) => Ok(Some(stored.state(now))),
        None => Err(corrupt(&format!("a value of {} bytes that no ledger wrote", value.len()))),
    }
}

fn time(digits: &[u8]) -> Option<Time> {
    let millis = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Time::new(Duration::from_millis(millis)))
}

/// Redis takes no expiry of zero.
fn milliseconds(window: Duration) -> String {
    window.as_millis().max(1).to_string()
}

fn corrupt(detail: &str) -> LedgerError {
    LedgerError::Corrupt { detail: detail.to_owned() }
}

fn ledger_error(error: RedisError) -> LedgerError {
    // What has a code came from the server.
    match error.code() {
        None | Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN") => LedgerError::Unreachable(error),
        Some("EPOCH") => LedgerError::Epoch,
        Some(_) => LedgerError::Refused(error),
    }
}
