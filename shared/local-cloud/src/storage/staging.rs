//! Bytes on their way in: written to a file of their own, summed on the way, moved into place or removed.

use std::path::{Path, PathBuf};

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt;
use tokio::{fs::File, io::AsyncWriteExt};

use super::{
    checksum::{Checksums, Running},
    error::{ApiError, ApiResult},
    store::Store,
};

/// A file that is removed unless it is kept.
pub(crate) struct Staged {
    path: PathBuf,
    file: File,
    sums: Running,
}

impl Staged {
    /// An empty file.
    pub(crate) async fn create(store: &Store) -> ApiResult<Self> {
        let path = store.upload_path();
        let file = File::create(&path).await?;
        Ok(Self { path, file, sums: Running::new() })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> ApiResult<()> {
        self.sums.update(bytes);
        Ok(self.file.write_all(bytes).await?)
    }

    /// Writes the rest of a body.
    pub(crate) async fn write_body(&mut self, mut body: BodyDataStream) -> ApiResult<()> {
        while let Some(bytes) = body.next().await {
            self.write(&bytes.map_err(broken_body)?).await?;
        }
        Ok(())
    }

    /// The checksums, once every byte is with the operating system.
    pub(crate) async fn finish(&mut self) -> ApiResult<Checksums> {
        self.file.flush().await?;
        Ok(self.sums.clone().finish())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // not there any more where it became an object
    }
}

/// The whole body, where it holds at most `limit` bytes.
pub(crate) async fn small_body(body: Body, limit: usize) -> ApiResult<Bytes> {
    axum::body::to_bytes(body, limit).await.map_err(broken_body)
}

pub(crate) fn broken_body(error: axum::Error) -> ApiError {
    ApiError::invalid(format!("The body did not arrive: {error}."))
}
