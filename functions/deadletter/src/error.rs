/// The function could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its writers could not be made.
    #[error(transparent)]
    Loader(#[from] loader::StartError),
    /// The metrics could not be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}
