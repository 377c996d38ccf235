//! Reading an object of any size, a part at a time.

use bytes::Bytes;
use google_cloud_storage::read_object::ReadObjectResponse;

use crate::{StoreError, store::google};

/// An object that is being read. Its parts come in order; the client takes up a broken connection where it broke, and
/// verifies the checksum with the last part.
#[derive(Debug)]
pub struct Download {
    name: String,
    answer: ReadObjectResponse,
    bytes: u64,
    crc32c: u32,
}

impl Download {
    pub(crate) fn new(name: &str, answer: ReadObjectResponse) -> Self {
        Self { name: name.to_owned(), answer, bytes: 0, crc32c: 0 }
    }

    /// Which object of its name this is.
    pub fn generation(&self) -> i64 {
        self.answer.object().generation
    }

    /// The next bytes; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(part) = self.answer.next().await else { return Ok(None) };
        let part = part.map_err(|source| google("objects.get", &self.name, source))?;
        self.bytes += part.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &part);
        Ok(Some(part))
    }

    /// How many bytes were read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The CRC32C of the bytes that were read so far.
    pub fn crc32c(&self) -> u32 {
        self.crc32c
    }
}
