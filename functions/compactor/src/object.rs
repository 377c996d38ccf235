use archive::{ManifestEntry, ObjectWriter, begin, object_name_in};
use event::Message;
use objects::{ObjectStore, Upload};
use pubsub::Ack;
use uuid::Uuid;

use crate::{error::DrainError, report::ArchivedObject};

/// Where the objects of one stream come from and go to.
pub(crate) struct Place<'a> {
    pub(crate) store: &'a ObjectStore,
    pub(crate) stream: &'a catalog::Stream,
    /// The subscription's full name.
    pub(crate) subscription: String,
}

/// An object under way, with the acks of the messages in it.
pub(crate) struct OpenObject {
    writer: ObjectWriter,
    upload: Upload,
    acks: Vec<Ack>,
}

impl OpenObject {
    /// Begins the object that `first` will be the first message of; its name begins with `prefix`.
    pub(crate) async fn begin(place: &Place<'_>, prefix: &str, first: &Message) -> Result<Self, DrainError> {
        let writer = ObjectWriter::new(&place.subscription, place.stream.archive.codec)?;
        let name = object_name_in(prefix, first.publish_time, Uuid::new_v4());
        let upload = begin(place.store, &place.stream.name, &name).await?;
        Ok(Self { writer, upload, acks: Vec::new() })
    }

    /// Adds a message. Its data is not kept: what remains of it in memory is the right to ack it.
    pub(crate) async fn add(&mut self, message: &Message, ack: Ack) -> Result<(), DrainError> {
        self.writer.append(message)?;
        self.acks.push(ack);
        self.upload.write(&self.writer.take()).await?;
        Ok(())
    }

    /// Makes the object final, writes its manifest entry, and only then acks.
    pub(crate) async fn finish(mut self, place: &Place<'_>) -> Result<Option<ArchivedObject>, DrainError> {
        let Some((rest, summary)) = self.writer.finish()? else { return Ok(None) };
        self.upload.write(&rest).await?;
        let object = self.upload.finish().await?;
        let entry = ManifestEntry::new(&place.stream.name, &object, &summary, place.stream.archive.codec);
        entry.write(place.store).await?;
        for ack in self.acks {
            ack.ack();
        }
        Ok(Some(ArchivedObject {
            name: object.name,
            messages: summary.records,
            message_bytes: summary.message_bytes,
            bytes: object.bytes,
        }))
    }

    /// Gives the object up: the messages will be delivered again.
    pub(crate) async fn abandon(self) {
        drop(self.acks);
        self.upload.abandon().await;
    }
}
