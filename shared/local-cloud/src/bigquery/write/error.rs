//! Errors as the Storage Write API gives them: a code, a message, and a `StorageError` in the details.

use googleapis::google::{
    cloud::bigquery::storage::v1::{StorageError, storage_error::StorageErrorCode},
    rpc,
};
use prost::Message;
use tonic::{Code, Status};

use crate::bigquery::store::{Refused, StoreError};

/// A refusal, for a response in-band or for the status of a call.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) storage: Option<StorageErrorCode>,
    pub(super) entity: String,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), storage: None, entity: String::new() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// With the `StorageError` of this code about this entity.
    pub(super) fn storage(code: Code, storage: StorageErrorCode, message: impl Into<String>, entity: &str) -> Self {
        let message = format!("{} Entity: {entity}", message.into());
        Self { code, message, storage: Some(storage), entity: entity.to_owned() }
    }

    /// The refusal of a table's store about a stream.
    pub(super) fn of(refused: Refused, entity: &str) -> Self {
        use StorageErrorCode as Storage;
        let (code, storage) = match &refused {
            Refused::Finalized { .. } => (Code::InvalidArgument, Storage::StreamFinalized),
            Refused::AlreadyExists { .. } => (Code::AlreadyExists, Storage::OffsetAlreadyExists),
            Refused::OutOfRange { .. } => (Code::OutOfRange, Storage::OffsetOutOfRange),
            Refused::TableGone => (Code::NotFound, Storage::TableNotFound),
            Refused::WrongKind(_) => (Code::InvalidArgument, Storage::InvalidStreamType),
            Refused::NotFinalized => (Code::InvalidArgument, Storage::InvalidStreamState),
            Refused::AlreadyCommitted => (Code::InvalidArgument, Storage::StreamAlreadyCommitted),
            Refused::Store(error) => return Self::of_store(error, entity),
        };
        Self::storage(code, storage, sentence(&refused.to_string()), entity)
    }

    pub(super) fn of_store(error: &StoreError, entity: &str) -> Self {
        match error {
            StoreError::NotFound(what) => {
                let message = format!("Requested entity was not found: {what}.");
                Self::storage(Code::NotFound, StorageErrorCode::TableNotFound, message, entity)
            }
            StoreError::Invalid(detail) => Self::invalid(detail.clone()),
            StoreError::Rows(error) => Self::new(Code::Internal, error.to_string()),
            error @ (StoreError::Duplicate(_) | StoreError::InUse(_)) => {
                Self::new(Code::FailedPrecondition, error.to_string())
            }
            error @ (StoreError::Disk(_) | StoreError::Damaged(_)) => {
                tracing::error!(%error, entity, "the BigQuery store failed");
                Self::new(Code::Internal, error.to_string())
            }
        }
    }

    /// The `StorageError` of it.
    pub(super) fn storage_error(&self) -> Option<StorageError> {
        self.storage.map(|code| StorageError {
            code: code.into(),
            entity: self.entity.clone(),
            error_message: self.message.clone(),
        })
    }

    /// As a `google.rpc.Status`, which is what a response carries in-band.
    pub(super) fn rpc(&self) -> rpc::Status {
        let details = self.storage_error().map(|error| prost_types::Any {
            type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError".to_owned(),
            value: error.encode_to_vec(),
        });
        rpc::Status { code: self.code.into(), message: self.message.clone(), details: details.into_iter().collect() }
    }

    /// As the status that ends a call.
    pub(super) fn status(&self) -> Status {
        let details = self.rpc().encode_to_vec();
        Status::with_details(self.code, self.message.clone(), details.into())
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
