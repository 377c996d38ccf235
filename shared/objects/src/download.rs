//! Reading an object of any size, a part at a time.

use bytes::Bytes;
use google_cloud_storage::read_object::ReadObjectResponse;

use crate::{ObjectStore, StoreError};

/// An object that is being read. Its parts come in order; the client takes up a broken connection where it broke, and
/// verifies the checksum with the last part.
#[derive(Debug)]
pub struct Download {
    store: ObjectStore,
    name: String,
    answer: ReadObjectResponse,
}

impl Download {
    pub(crate) async fn start(store: &ObjectStore, name: &str, generation: Option<i64>) -> Result<Self, StoreError> {
        let mut request = store.storage().read_object(store.resource_name(), name);
        if let Some(generation) = generation {
            request = request.set_generation(generation);
        }
        let answer = request.send().await.map_err(|source| store.google("objects.get", name, source))?;
        Ok(Self { store: store.clone(), name: name.to_owned(), answer })
    }

    /// Which object of its name this is.
    pub fn generation(&self) -> i64 {
        self.answer.object().generation
    }

    /// The next bytes; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let part = self.answer.next().await.transpose();
        part.map_err(|source| self.store.google("objects.get", &self.name, source))
    }
}
