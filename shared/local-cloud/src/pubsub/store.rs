//! What is on disk: topics, subscriptions, messages, and what each subscription has not acked.
//!
//! One thread writes. It gathers what waits into one batch, hands it to the operating system, and only then tells those
//! who wait, in the order in which they came.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::Context;
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use googleapis::google::pubsub::v1 as pb;
use parking_lot::{Mutex, RwLock};
use prost::Message as _;

use super::clock::{Micros, timestamp};

/// A batch of the writer thread ends at so many records…
const BATCH_RECORDS: usize = 20_000;
/// … or bytes.
const BATCH_BYTES: usize = 16 << 20;

/// One change.
#[derive(Debug)]
pub(super) struct Change {
    space: Space,
    key: Key,
    /// `None` removes.
    value: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
enum Space {
    Topics,
    Subscriptions,
    Messages,
    Unacked,
}

#[derive(Debug)]
enum Key {
    Name(String),
    Sequence([u8; 8]),
    Pair([u8; 16]),
}

/// How a message stands with a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not acked, after so many failed deliveries.
    Unacked { failures: u32 },
    /// Acked, and kept for a seek.
    Kept,
}

impl Change {
    pub(super) fn put_topic(id: u64, topic: &pb::Topic) -> Self {
        Self { space: Space::Topics, key: Key::Name(topic.name.clone()), value: Some(with_id(id, topic)) }
    }

    pub(super) fn remove_topic(name: &str) -> Self {
        Self { space: Space::Topics, key: Key::Name(name.to_owned()), value: None }
    }

    pub(super) fn put_subscription(id: u64, subscription: &pb::Subscription) -> Self {
        let value = Some(with_id(id, subscription));
        Self { space: Space::Subscriptions, key: Key::Name(subscription.name.clone()), value }
    }

    pub(super) fn remove_subscription(name: &str) -> Self {
        Self { space: Space::Subscriptions, key: Key::Name(name.to_owned()), value: None }
    }

    /// `body` is what [`encode_body`] made.
    pub(super) fn put_message(sequence: u64, topic: u64, published: Micros, body: &[u8]) -> Self {
        let mut value = Vec::with_capacity(16 + body.len());
        value.extend(topic.to_be_bytes());
        value.extend(published.to_be_bytes());
        value.extend(body);
        Self { space: Space::Messages, key: Key::Sequence(sequence.to_be_bytes()), value: Some(value) }
    }

    pub(super) fn remove_message(sequence: u64) -> Self {
        Self { space: Space::Messages, key: Key::Sequence(sequence.to_be_bytes()), value: None }
    }

    pub(super) fn put_standing(subscription: u64, sequence: u64, standing: Standing) -> Self {
        let (kind, failures) = match standing {
            Standing::Unacked { failures } => (0, failures),
            Standing::Kept => (1, 0),
        };
        let mut value = vec![kind];
        value.extend(failures.to_be_bytes());
        Self { space: Space::Unacked, key: pair(subscription, sequence), value: Some(value) }
    }

    pub(super) fn remove_standing(subscription: u64, sequence: u64) -> Self {
        Self { space: Space::Unacked, key: pair(subscription, sequence), value: None }
    }

    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len) + 32
    }
}

/// A message as it is stored: what the publisher gave. Number and time of publishing are kept beside it.
pub(super) fn encode_body(message: &pb::PubsubMessage) -> Vec<u8> {
    message.encode_to_vec()
}

/// A message of [`Store::each_message`].
#[derive(Debug)]
pub(super) struct StoredMessage {
    pub(super) sequence: u64,
    pub(super) topic: u64,
    pub(super) published: Micros,
    pub(super) body: pb::PubsubMessage,
}

/// The message could not be written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store does not take writes: {0}")]
pub(super) struct WriteFailed(String);

type Done = Box<dyn FnOnce(Result<(), WriteFailed>) + Send>;

enum Job {
    Write {
        changes: Vec<Change>,
        /// The highest message number that is in use now.
        sequence: u64,
        done: Option<Done>,
    },
    Stop,
}

/// The files of one Pub/Sub.
pub(super) struct Store {
    /// `None` once it is stopped: the files are free then, whoever still holds this.
    spaces: RwLock<Option<Arc<Spaces>>>,
    jobs: mpsc::Sender<Job>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Spaces {
    database: Database,
    meta: Keyspace,
    topics: Keyspace,
    subscriptions: Keyspace,
    messages: Keyspace,
    unacked: Keyspace,
}

const SEQUENCE: &str = "sequence";

impl Store {
    /// Opens or creates the files.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let context = || format!("opening the Pub/Sub data in {}", folder.display());
        let database = Database::builder(folder)
            .worker_threads(1)
            .max_journaling_size(128 << 20)
            .cache_size(16 << 20)
            .open()
            .with_context(context)?;
        let space = |name| database.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(16 << 20));
        let spaces = Arc::new(Spaces {
            meta: space("meta").with_context(context)?,
            topics: space("topics").with_context(context)?,
            subscriptions: space("subscriptions").with_context(context)?,
            messages: space("messages").with_context(context)?,
            unacked: space("unacked").with_context(context)?,
            database,
        });
        let (jobs, queue) = mpsc::channel();
        let writing = spaces.clone();
        let writer = thread::Builder::new().name("pubsub-store".to_owned()).spawn(move || write(&writing, &queue))?;
        Ok(Self { spaces: RwLock::new(Some(spaces)), jobs, writer: Mutex::new(Some(writer)) })
    }

    /// Writes without being waited for.
    pub(super) fn write(&self, changes: Vec<Change>) {
        self.send(Job::Write { changes, sequence: 0, done: None });
    }

    /// Writes; `done` is called on the writer's thread once the operating system has it. Calls of `done` come in the
    /// order of the calls of this.
    pub(super) fn write_then(&self, changes: Vec<Change>, sequence: u64, done: Done) {
        self.send(Job::Write { changes, sequence, done: Some(done) });
    }

    /// Writes and waits.
    pub(super) async fn write_and_wait(&self, changes: Vec<Change>) -> Result<(), WriteFailed> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done = Box::new(move |written| {
            let _ = sender.send(written);
        });
        self.send(Job::Write { changes, sequence: 0, done: Some(done) });
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn send(&self, job: Job) {
        if let Err(mpsc::SendError(Job::Write { done: Some(done), .. })) = self.jobs.send(job) {
            done(Err(stopped()));
        }
    }

    /// Writes what waits, and no more.
    pub(super) fn stop(&self) -> anyhow::Result<()> {
        let _ = self.jobs.send(Job::Stop);
        if let Some(writer) = self.writer.lock().take() {
            writer.join().map_err(|_| anyhow::anyhow!("the store's writer panicked"))?;
        }
        let Some(spaces) = self.spaces.write().take() else { return Ok(()) };
        spaces.database.persist(PersistMode::SyncAll).context("closing the Pub/Sub data")
    }

    fn spaces(&self) -> anyhow::Result<Arc<Spaces>> {
        self.spaces.read().clone().context("the store is stopped")
    }

    /// The highest message number ever used.
    pub(super) fn sequence(&self) -> anyhow::Result<u64> {
        let value = self.spaces()?.meta.get(SEQUENCE)?;
        Ok(value.as_deref().and_then(|value| value.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// Every topic with its number.
    pub(super) fn topics(&self) -> anyhow::Result<Vec<(u64, pb::Topic)>> {
        each_with_id(&self.spaces()?.topics)
    }

    /// Every subscription with its number.
    pub(super) fn subscriptions(&self) -> anyhow::Result<Vec<(u64, pb::Subscription)>> {
        each_with_id(&self.spaces()?.subscriptions)
    }

    /// Every message in the order of publishing.
    pub(super) fn each_message(&self, mut each: impl FnMut(StoredMessage)) -> anyhow::Result<()> {
        for item in self.spaces()?.messages.iter() {
            let (key, value) = item.into_inner()?;
            each(decode_message(&key, &value)?);
        }
        Ok(())
    }

    /// How each message stands with each subscription: subscription, message, standing.
    pub(super) fn each_standing(&self, mut each: impl FnMut(u64, u64, Standing)) -> anyhow::Result<()> {
        for item in self.spaces()?.unacked.iter() {
            let (key, value) = item.into_inner()?;
            let (subscription, rest) = key.split_first_chunk().context("a damaged record of the backlog")?;
            let sequence = rest.first_chunk().context("a damaged record of the backlog")?;
            let (kind, failures) = value.split_first().context("a damaged record of the backlog")?;
            let failures = failures.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            let standing = if *kind == 0 { Standing::Unacked { failures } } else { Standing::Kept };
            each(u64::from_be_bytes(*subscription), u64::from_be_bytes(*sequence), standing);
        }
        Ok(())
    }

    /// One message, as a subscriber gets it.
    pub(super) fn message(&self, sequence: u64) -> anyhow::Result<Option<pb::PubsubMessage>> {
        let key = sequence.to_be_bytes();
        let Some(value) = self.spaces()?.messages.get(key)? else { return Ok(None) };
        let StoredMessage { published, body, .. } = decode_message(&key, &value)?;
        Ok(Some(complete(body, sequence, published)))
    }
}

/// The stored message with its id and time.
pub(super) fn complete(message: pb::PubsubMessage, sequence: u64, published: Micros) -> pb::PubsubMessage {
    pb::PubsubMessage { message_id: sequence.to_string(), publish_time: Some(timestamp(published)), ..message }
}

impl Spaces {
    fn of(&self, space: Space) -> &Keyspace {
        match space {
            Space::Topics => &self.topics,
            Space::Subscriptions => &self.subscriptions,
            Space::Messages => &self.messages,
            Space::Unacked => &self.unacked,
        }
    }
}

/// The writer thread.
fn write(spaces: &Spaces, jobs: &mpsc::Receiver<Job>) {
    let mut highest = 0;
    let mut running = true;
    while running {
        let Ok(first) = jobs.recv() else { return };
        let mut batch = spaces.database.batch();
        let mut waiting = Vec::new();
        let (mut bytes, mut used) = (0, 0);
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Write { changes, sequence, done } => {
                    used = used.max(sequence);
                    for change in changes {
                        bytes += change.size();
                        let space = spaces.of(change.space);
                        let key: fjall::Slice = match change.key {
                            Key::Name(name) => name.as_str().into(),
                            Key::Sequence(bytes) => bytes.into(),
                            Key::Pair(bytes) => bytes.into(),
                        };
                        match change.value {
                            Some(value) => batch.insert(space, key, value),
                            None => batch.remove(space, key),
                        }
                    }
                    waiting.extend(done);
                }
                Job::Stop => {
                    running = false;
                    break;
                }
            }
            if batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
                next = jobs.try_recv().ok();
            }
        }
        if used > highest {
            highest = used;
            batch.insert(&spaces.meta, SEQUENCE, highest.to_be_bytes());
        }
        let written = batch.commit().map_err(|error| {
            tracing::error!(%error, "Pub/Sub's data was not written");
            WriteFailed(error.to_string())
        });
        for done in waiting {
            done(written.clone());
        }
    }
}

fn stopped() -> WriteFailed {
    WriteFailed("it is stopped".to_owned())
}

fn pair(subscription: u64, sequence: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&subscription.to_be_bytes());
    key[8..].copy_from_slice(&sequence.to_be_bytes());
    Key::Pair(key)
}

fn with_id(id: u64, message: &impl prost::Message) -> Vec<u8> {
    let mut value = id.to_be_bytes().to_vec();
    value.extend(message.encode_to_vec());
    value
}

fn each_with_id<M: prost::Message + Default>(space: &Keyspace) -> anyhow::Result<Vec<(u64, M)>> {
    space
        .iter()
        .map(|item| {
            let (_, value) = item.into_inner()?;
            let (id, message) = value.split_first_chunk().context("a damaged record of a topic or subscription")?;
            Ok((u64::from_be_bytes(*id), M::decode(message)?))
        })
        .collect()
}

fn decode_message(key: &[u8], value: &[u8]) -> anyhow::Result<StoredMessage> {
    let damaged = "a damaged message record";
    let sequence = u64::from_be_bytes(*key.first_chunk().context(damaged)?);
    let (topic, rest) = value.split_first_chunk().context(damaged)?;
    let (published, body) = rest.split_first_chunk().context(damaged)?;
    let body = pb::PubsubMessage::decode(Bytes::copy_from_slice(body)).context(damaged)?;
    let (topic, published) = (u64::from_be_bytes(*topic), Micros::from_be_bytes(*published));
    Ok(StoredMessage { sequence, topic, published, body })
}
