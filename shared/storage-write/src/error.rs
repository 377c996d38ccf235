//! What can become of an append, decided in one table from what the service says.

use std::fmt;

use event::{Reason, Rejection};
use googleapis::google::{
    cloud::bigquery::storage::v1::{self, StorageError, storage_error::StorageErrorCode},
    rpc,
};
use prost::Message;
use tonic::Code;

/// Why an append is not known to have made rows.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// These rows are bad; nothing of the request was applied.
    #[error("{} row(s) refused, the first: {}", .0.len(), .0.first().map(|row| row.message.as_str()).unwrap_or_default())]
    RowErrors(Vec<RowError>),
    /// The offset is written already: by an earlier copy of the same request, where only equal bytes are ever sent there.
    #[error("the offset is written already: {0}")]
    AlreadyExists(Fault),
    /// Whether the rows were written is unknown. The same bytes may be sent again at the same offset.
    #[error("the append's fate is unknown: {fault}")]
    Ambiguous {
        /// Whether the request may have left this process; where it has not, the rows are not written.
        sent: bool,
        /// What happened.
        fault: Fault,
    },
    /// A quota is used up; nothing was applied.
    #[error("a quota is used up: {0}")]
    ResourceExhausted(Fault),
    /// The rows have columns that the table does not have yet; nothing was applied.
    #[error("the table lacks columns of the rows: {0}")]
    SchemaMismatchExtraFields(Fault),
    /// The stream is finalized, expired or dropped. That says nothing about the rows.
    #[error("the write stream is gone: {0}")]
    StreamGone(Fault),
    /// The offset lies beyond the stream's end.
    #[error("the offset lies beyond the stream's end: {0}")]
    OutOfRange(Fault),
    /// The request is refused as a whole, and would be again: a fault of setting or code, not of a row.
    #[error("the append is refused: {0}")]
    Permanent(Fault),
}

/// A row that the service refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The row's place in the request.
    pub index: usize,
    /// The service's code for it.
    pub code: RowErrorCode,
    /// The service's explanation.
    pub message: String,
}

/// The service's code for a bad row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowErrorCode {
    /// No further code.
    Unspecified,
    /// A field of the row is at fault.
    FieldsError,
}

impl RowError {
    /// The row as a rejection, with the place of the column that the service names, where it does.
    pub fn rejection(&self) -> Rejection {
        match column(&self.message) {
            Some(column) => {
                let pointer = format!("/{}", column.replace('.', "/"));
                Rejection { pointer: Some(pointer), ..Rejection::new(Reason::RowRejected, self.message.clone()) }
            }
            None => Rejection::new(Reason::RowRejected, self.message.clone()),
        }
    }
}

/// The column that a bad row's explanation names: `Field a.b: STRING(4) has maximum length …`, `… on field a.b`.
fn column(message: &str) -> Option<&str> {
    let ways = ["on field ", "Field value of ", "Field "];
    let behind = ways.iter().find_map(|way| message.split_once(way).map(|(_, behind)| behind))?;
    let is_of_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '.');
    let name = behind.split(|char| !is_of_name(char)).next()?.trim_end_matches('.');
    (!name.is_empty()).then_some(name)
}

/// What the service, or the way to it, said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The gRPC code.
    pub code: Code,
    /// Storage Write's own code, where it gave one.
    pub storage: Option<StorageErrorCode>,
    /// The explanation.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.storage {
            Some(storage) => write!(f, "{:?} ({}): {}", self.code, storage.as_str_name(), self.message),
            None => write!(f, "{:?}: {}", self.code, self.message),
        }
    }
}

impl std::error::Error for Fault {}

/// The class of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    AlreadyExists,
    Ambiguous,
    ResourceExhausted,
    SchemaMismatchExtraFields,
    StreamGone,
    OutOfRange,
    Permanent,
}

/// Where a fault was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// In the answer to a request: its rows were not accepted.
    InAnswer,
    /// By the end of the stream: the request may have been applied.
    ByBrokenStream,
}

/// The one table. Storage Write's own code speaks where there is one; the gRPC code speaks for the rest.
fn class(code: Code, storage: Option<StorageErrorCode>, told: Told) -> Class {
    use StorageErrorCode as Storage;
    match storage {
        Some(Storage::OffsetAlreadyExists) => return Class::AlreadyExists,
        Some(Storage::OffsetOutOfRange) => return Class::OutOfRange,
        Some(Storage::SchemaMismatchExtraFields) => return Class::SchemaMismatchExtraFields,
        Some(
            Storage::StreamFinalized
            | Storage::InvalidStreamState
            | Storage::StreamNotFound
            | Storage::StreamAlreadyCommitted
            | Storage::TableNotFound,
        ) => return Class::StreamGone,
        Some(
            Storage::InvalidStreamType
            | Storage::CmekNotProvided
            | Storage::InvalidCmekProvided
            | Storage::CmekEncryptionError
            | Storage::KmsPermissionDenied,
        ) => return Class::Permanent,
        Some(Storage::KmsServiceError) => return Class::Ambiguous,
        Some(Storage::Unspecified) | None => {}
    }
    match code {
        Code::AlreadyExists => Class::AlreadyExists,
        Code::OutOfRange => Class::OutOfRange,
        Code::ResourceExhausted if told == Told::InAnswer => Class::ResourceExhausted,
        Code::FailedPrecondition | Code::NotFound => Class::StreamGone,
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
            Class::Permanent
        }
        Code::Ok
        | Code::Aborted
        | Code::Cancelled
        | Code::DataLoss
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::ResourceExhausted
        | Code::Unavailable
        | Code::Unknown => Class::Ambiguous,
    }
}

impl AppendError {
    /// From the answer to a request.
    pub(crate) fn in_answer(error: &rpc::Status, row_errors: &[v1::RowError]) -> Self {
        if !row_errors.is_empty() {
            return Self::RowErrors(row_errors.iter().map(row_error).collect());
        }
        Self::new(Fault::from_rpc(error), Told::InAnswer)
    }

    /// From the end of the stream, the request being unanswered.
    pub(crate) fn by_broken_stream(status: &tonic::Status) -> Self {
        Self::new(Fault::from_status(status), Told::ByBrokenStream)
    }

    /// The request never left this process.
    pub(crate) fn not_sent(fault: Fault) -> Self {
        match class(fault.code, fault.storage, Told::ByBrokenStream) {
            Class::Permanent => Self::Permanent(fault),
            _ => Self::Ambiguous { sent: false, fault },
        }
    }

    /// The stream ended, or fell silent, for another request's sake or for none.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::Ambiguous { sent: true, fault: Fault { code: Code::Unavailable, storage: None, message: message.into() } }
    }

    fn new(fault: Fault, told: Told) -> Self {
        match class(fault.code, fault.storage, told) {
            Class::AlreadyExists => Self::AlreadyExists(fault),
            Class::Ambiguous => Self::Ambiguous { sent: true, fault },
            Class::ResourceExhausted => Self::ResourceExhausted(fault),
            Class::SchemaMismatchExtraFields => Self::SchemaMismatchExtraFields(fault),
            Class::StreamGone => Self::StreamGone(fault),
            Class::OutOfRange => Self::OutOfRange(fault),
            Class::Permanent => Self::Permanent(fault),
        }
    }

    /// Whether it says that the stream was finalized, and not that it is lost in some other way.
    pub const fn is_of_finalized_stream(&self) -> bool {
        use StorageErrorCode as Storage;
        match self {
            Self::StreamGone(Fault { storage: Some(storage), .. }) => {
                matches!(storage, Storage::StreamFinalized | Storage::InvalidStreamState)
            }
            Self::StreamGone(Fault { storage: None, code, .. }) => matches!(code, Code::FailedPrecondition),
            _ => false,
        }
    }

    /// Whether the same append may be answered otherwise when it is sent again.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Ambiguous { .. } | Self::ResourceExhausted(_))
    }

    /// The class's stable name, as metrics and logs spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RowErrors(_) => "row_errors",
            Self::AlreadyExists(_) => "already_exists",
            Self::Ambiguous { .. } => "ambiguous",
            Self::ResourceExhausted(_) => "resource_exhausted",
            Self::SchemaMismatchExtraFields(_) => "schema_mismatch_extra_fields",
            Self::StreamGone(_) => "stream_gone",
            Self::OutOfRange(_) => "out_of_range",
            Self::Permanent(_) => "permanent",
        }
    }
}

fn row_error(error: &v1::RowError) -> RowError {
    let code = match error.code() {
        v1::row_error::RowErrorCode::Unspecified => RowErrorCode::Unspecified,
        v1::row_error::RowErrorCode::FieldsError => RowErrorCode::FieldsError,
    };
    RowError { index: usize::try_from(error.index).unwrap_or(usize::MAX), code, message: error.message.clone() }
}

impl Fault {
    /// Whether the request's content is at fault, a row perhaps. What else is refused for good (a permission, a key that is
    /// gone) is no row's fault.
    pub fn is_of_the_request(&self) -> bool {
        self.code == Code::InvalidArgument && self.storage.is_none()
    }

    /// From the error inside an answer.
    pub(crate) fn from_rpc(status: &rpc::Status) -> Self {
        let storage = storage_code(&status.details);
        Self { code: Code::from_i32(status.code), storage, message: status.message.clone() }
    }

    /// From a failed call. Its details are a `google.rpc.Status`, in the header `grpc-status-details-bin`.
    pub(crate) fn from_status(status: &tonic::Status) -> Self {
        let storage = rpc::Status::decode(status.details()).ok().and_then(|details| storage_code(&details.details));
        let source = std::error::Error::source(status).map(|source| format!(" ({source})")).unwrap_or_default();
        Self { code: status.code(), storage, message: format!("{}{source}", status.message()) }
    }
}

fn storage_code(details: &[prost_types::Any]) -> Option<StorageErrorCode> {
    const STORAGE_ERROR: &str = "/google.cloud.bigquery.storage.v1.StorageError";
    details
        .iter()
        .filter(|detail| detail.type_url.ends_with(STORAGE_ERROR))
        .find_map(|detail| StorageError::decode(detail.value.as_slice()).ok())
        .map(|error| error.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: Code, storage: Option<StorageErrorCode>) -> rpc::Status {
        let details = storage.map(|storage| prost_types::Any {
            type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError".into(),
            value: StorageError { code: storage.into(), ..Default::default() }.encode_to_vec(),
        });
        rpc::Status { code: code.into(), message: "m".into(), details: details.into_iter().collect() }
    }

    fn broken(code: Code, storage: Option<StorageErrorCode>) -> tonic::Status {
        tonic::Status::with_details(code, "m", status(code, storage).encode_to_vec().into())
    }

    #[test]
    fn the_table_is_the_protocols() {
        use StorageErrorCode as Storage;
        let same_both_ways = [
            (Code::AlreadyExists, None, "already_exists"),
            (Code::AlreadyExists, Some(Storage::OffsetAlreadyExists), "already_exists"),
            (Code::Aborted, None, "ambiguous"),
            (Code::Unavailable, None, "ambiguous"),
            (Code::Cancelled, None, "ambiguous"),
            (Code::Internal, None, "ambiguous"),
            (Code::DeadlineExceeded, None, "ambiguous"),
            (Code::Unknown, None, "ambiguous"),
            (Code::Internal, Some(Storage::KmsServiceError), "ambiguous"),
            (Code::InvalidArgument, Some(Storage::SchemaMismatchExtraFields), "schema_mismatch_extra_fields"),
            (Code::InvalidArgument, Some(Storage::StreamFinalized), "stream_gone"),
            (Code::FailedPrecondition, Some(Storage::InvalidStreamState), "stream_gone"),
            (Code::NotFound, Some(Storage::StreamNotFound), "stream_gone"),
            (Code::FailedPrecondition, None, "stream_gone"),
            (Code::NotFound, None, "stream_gone"),
            (Code::OutOfRange, Some(Storage::OffsetOutOfRange), "out_of_range"),
            (Code::OutOfRange, None, "out_of_range"),
            (Code::PermissionDenied, None, "permanent"),
            (Code::InvalidArgument, None, "permanent"),
        ];
        for (code, storage, name) in same_both_ways {
            assert_eq!(AppendError::in_answer(&status(code, storage), &[]).name(), name, "{code:?} {storage:?}");
            assert_eq!(AppendError::by_broken_stream(&broken(code, storage)).name(), name, "{code:?} {storage:?}");
        }
    }

    #[test]
    fn only_what_finalize_did_is_of_a_finalized_stream() {
        use StorageErrorCode as Storage;
        let of = |code, storage| AppendError::in_answer(&status(code, storage), &[]).is_of_finalized_stream();
        assert!(of(Code::InvalidArgument, Some(Storage::StreamFinalized)));
        assert!(of(Code::FailedPrecondition, Some(Storage::InvalidStreamState)));
        assert!(of(Code::FailedPrecondition, None));
        for (code, storage) in [
            (Code::NotFound, Some(Storage::StreamNotFound)),
            (Code::NotFound, Some(Storage::TableNotFound)),
            (Code::NotFound, None),
            (Code::AlreadyExists, Some(Storage::OffsetAlreadyExists)),
            (Code::OutOfRange, Some(Storage::OffsetOutOfRange)),
            (Code::Internal, None),
            (Code::PermissionDenied, None),
        ] {
            assert!(!of(code, storage), "{code:?} {storage:?}");
        }
    }

    #[test]
    fn a_bad_row_has_the_place_of_its_column() {
        for (message, pointer) in [
            ("Field dst_ip: STRING(15) has maximum length 15 but got a value with length 54", Some("/dst_ip")),
            ("Field value of order.id cannot be empty.", Some("/order/id")),
            ("Invalid NUMERIC value: 1e40 on field items.price.", Some("/items/price")),
            ("Field n is required but has no value", Some("/n")),
            ("the row is bad", None),
            ("Field ", None),
        ] {
            let error = RowError { index: 0, code: RowErrorCode::FieldsError, message: message.into() };
            let rejection = error.rejection();
            assert_eq!((rejection.pointer.as_deref(), &*rejection.detail), (pointer, message));
        }
    }

    #[test]
    fn a_quota_is_definite_in_an_answer_alone() {
        let code = Code::ResourceExhausted;
        assert_eq!(AppendError::in_answer(&status(code, None), &[]).name(), "resource_exhausted");
        assert_eq!(AppendError::by_broken_stream(&broken(code, None)).name(), "ambiguous");
    }

    #[test]
    fn row_errors_speak_before_the_code() {
        let row = v1::RowError { index: 3, code: 1, message: "bad".into() };
        let error = AppendError::in_answer(&status(Code::InvalidArgument, None), &[row]);
        let expected = RowError { index: 3, code: RowErrorCode::FieldsError, message: "bad".into() };
        assert_eq!(error, AppendError::RowErrors(vec![expected]));
    }
}
