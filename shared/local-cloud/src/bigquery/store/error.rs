use arrow::error::ArrowError;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is no such dataset, table or view.
    #[error("Not found: {0}")]
    NotFound(String),
    /// It is there already.
    #[error("Already Exists: {0}")]
    Duplicate(String),
    /// The request makes no sense for what it names.
    #[error("{0}")]
    Invalid(String),
    /// A dataset that still has tables is not deleted.
    #[error("{0}")]
    InUse(String),
    /// The rows do not make a batch of the table.
    #[error("The rows do not fit the table: {0}")]
    Rows(#[from] ArrowError),
    /// The disk failed.
    #[error("The store failed: {0}")]
    Disk(#[from] fjall::Error),
    /// What is on disk cannot be read.
    #[error("The store is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}
