//! Reading one object: first whether it is whole, then its messages, a batch at a time.
//!
//! A damaged block may decode to other bytes without an error, so no message is handed out before the whole object's checksum
//! was seen. A small object is held while that is done, and a larger one is read twice.

use std::io::{self, BufReader, Read};

use archive::{ForeignRecords, ReadError, Records};
use bytes::{Buf, Bytes, BytesMut};
use event::Message;
use objects::{ObjectStore, StoreError};
use service::chain;
use tokio::sync::mpsc;

use crate::{
    foreign,
    listing::{Expected, Place, Source},
};

/// The largest object that is held in memory.
const HELD: u64 = 16 << 20;
/// Batches that wait for the publisher.
const WAITING_BATCHES: usize = 2;
/// Parts of an object that wait for the decoder.
const WAITING_PARTS: usize = 8;
/// The bytes of messages that make a batch full.
const BATCH_BYTES: usize = 1 << 20;

/// Messages that lie one after the other in their object.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The place of the first one.
    pub(crate) first: u64,
    pub(crate) messages: Vec<Message>,
}

/// Why an object was not read to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is not there (any more).
    Missing,
    /// It is not what it should be, or cannot be read.
    Damaged(String),
}

/// Starts to read `source`, in batches of at most so many messages. The last of them may be a fault.
pub(crate) fn read(source: &Source, batch: usize) -> mpsc::Receiver<Result<Batch, Fault>> {
    let (batches, receiver) = mpsc::channel(WAITING_BATCHES);
    let decoder = Decoder { name: source.name.clone(), is_own: source.is_own, batch, batches: batches.clone() };
    let source = source.clone();
    tokio::spawn(async move {
        if let Err(fault) = feed(&source, decoder).await {
            // Nobody waits where the run has ended.
            let _ = batches.send(Err(fault)).await;
        }
    });
    receiver
}

async fn feed(source: &Source, decoder: Decoder) -> Result<(), Fault> {
    let expected = &source.expected;
    let decoded = match &source.place {
        Place::File(path) => {
            let file = std::fs::File::open(path).map_err(|error| Fault::Damaged(error.to_string()))?;
            decoder.run(BufReader::with_capacity(1 << 16, file)).await?
        }
        Place::Bucket { store, object } if expected.bytes <= HELD => {
            let bytes = whole(store, object, expected).await?;
            decoder.run(bytes.reader()).await?
        }
        Place::Bucket { store, object } => {
            verify(store, object, expected).await?;
            streamed(store, object, expected, decoder).await?
        }
    };
    match expected.records {
        Some(records) if decoded.is_some_and(|decoded| decoded != records) => {
            let found = decoded.unwrap_or_default();
            Err(Fault::Damaged(format!("it holds {found} messages, the manifest says {records}")))
        }
        _ => Ok(()),
    }
}

/// The object's bytes, verified.
async fn whole(store: &ObjectStore, object: &str, expected: &Expected) -> Result<Bytes, Fault> {
    let mut download = store.download(object, expected.generation).await?;
    let mut bytes = BytesMut::new();
    while let Some(part) = download.next().await? {
        bytes.extend_from_slice(&part);
    }
    expected.check(bytes.len() as u64, crc32c::crc32c(&bytes))?;
    Ok(bytes.freeze())
}

async fn verify(store: &ObjectStore, object: &str, expected: &Expected) -> Result<(), Fault> {
    let mut download = store.download(object, expected.generation).await?;
    let (mut length, mut crc32c) = (0, 0);
    while let Some(part) = download.next().await? {
        length += part.len() as u64;
        crc32c = crc32c::crc32c_append(crc32c, &part);
    }
    expected.check(length, crc32c)
}

/// Decodes an object while it is read.
async fn streamed(
    store: &ObjectStore,
    object: &str,
    expected: &Expected,
    decoder: Decoder,
) -> Result<Option<u64>, Fault> {
    let (parts, receiver) = mpsc::channel(WAITING_PARTS);
    let mut download = store.download(object, expected.generation).await?;
    let pump = async move {
        loop {
            let part = match download.next().await {
                Ok(None) => break,
                Ok(Some(part)) => Ok(part),
                Err(error) => Err(io::Error::other(chain(&error))),
            };
            let is_last = part.is_err();
            if parts.send(part).await.is_err() || is_last {
                break;
            }
        }
    };
    let (decoded, ()) = tokio::join!(decoder.run(Parts { receiver, part: Bytes::new() }), pump);
    decoded
}

impl Expected {
    fn check(&self, bytes: u64, crc32c: u32) -> Result<(), Fault> {
        if bytes != self.bytes {
            return Err(Fault::Damaged(format!("it has {bytes} bytes; expected {}", self.bytes)));
        }
        match self.crc32c {
            Some(expected) if crc32c != expected => {
                Err(Fault::Damaged(format!("its CRC32C is {crc32c:08x}; expected {expected:08x}")))
            }
            _ => Ok(()),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::Missing,
            error => Self::Damaged(chain(&error)),
        }
    }
}

/// Decodes on a thread of its own, as that keeps it busy.
struct Decoder {
    name: String,
    is_own: bool,
    batch: usize,
    batches: mpsc::Sender<Result<Batch, Fault>>,
}

impl Decoder {
    /// How many messages there were; `None` where nobody waits for them any more.
    async fn run(self, object: impl Read + Send + 'static) -> Result<Option<u64>, Fault> {
        let decoded = tokio::task::spawn_blocking(move || self.decode(object));
        let decoded = decoded.await.map_err(|error| Fault::Damaged(error.to_string()))?;
        decoded.map_err(|(at, error)| Fault::Damaged(format!("after {at} messages: {}", chain(&error))))
    }

    fn decode(&self, object: impl Read) -> Result<Option<u64>, (u64, ReadError)> {
        if self.is_own {
            self.pass_on(Records::new(object).map_err(|error| (0, error))?)
        } else {
            let records = ForeignRecords::new(object).map_err(|error| (0, error))?;
            let messages = (0..).zip(records);
            self.pass_on(messages.map(|(at, record)| Ok(foreign::message(record?, &self.name, at))))
        }
    }

    fn pass_on(
        &self,
        messages: impl Iterator<Item = Result<Message, ReadError>>,
    ) -> Result<Option<u64>, (u64, ReadError)> {
        let (mut first, mut bytes) = (0, 0);
        let mut batch = Vec::with_capacity(self.batch);
        // Where a message cannot be read, those before it are good, and go out before that is told.
        let mut fault = None;
        for message in messages {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            };
            bytes += message.size();
            batch.push(message);
            if batch.len() >= self.batch || bytes >= BATCH_BYTES {
                let messages = std::mem::replace(&mut batch, Vec::with_capacity(self.batch));
                let next = first + messages.len() as u64;
                if self.batches.blocking_send(Ok(Batch { first, messages })).is_err() {
                    return Ok(None);
                }
                (first, bytes) = (next, 0);
            }
        }
        let all = first + batch.len() as u64;
        let is_sent = batch.is_empty() || self.batches.blocking_send(Ok(Batch { first, messages: batch })).is_ok();
        match fault {
            Some(error) => Err((all, error)),
            None => Ok(is_sent.then_some(all)),
        }
    }
}

/// The parts of an object, as they come.
struct Parts {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    part: Bytes,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.receiver.blocking_recv() {
                Some(part) => self.part = part?,
                None => return Ok(0),
            }
        }
        let length = self.part.len().min(buffer.len());
        self.part.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use event::Timestamp;

    use super::*;

    fn message(id: u64) -> Message {
        Message {
            message_id: id.to_string(),
            publish_time: Timestamp::UNIX_EPOCH,
            ordering_key: String::new(),
            attributes: Default::default(),
            data: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn what_stands_before_a_fault_goes_out_before_it_is_told() {
        let (batches, mut receiver) = mpsc::channel(10);
        let decoder = Decoder { name: "o".to_owned(), is_own: false, batch: 2, batches };
        let torn = ReadError::Field { field: "data", expected: "bytes" };
        let messages = (0..3).map(|id| Ok(message(id))).chain([Err(torn)]);
        let fault = decoder.pass_on(messages).expect_err("a fault");
        assert!(matches!(fault, (3, ReadError::Field { .. })), "{fault:?}");
        drop(decoder);
        let sent: Vec<(u64, usize)> = std::iter::from_fn(|| receiver.blocking_recv())
            .map(|batch| batch.expect("a batch"))
            .map(|batch| (batch.first, batch.messages.len()))
            .collect();
        assert_eq!(sent, [(0, 2), (2, 1)]);
    }
}
