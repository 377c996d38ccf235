//! Storage Write: a table's schema as a protobuf descriptor, JSON as protobuf rows (pure), write streams and appends; and the
//! REST side of the tables.

mod appender;
mod client;
mod connection;
mod descriptor;
mod encode;
mod error;
mod metrics;
mod schema_update;
mod stream;
mod tables;
mod wire;

pub use appender::{Appender, AppenderConfig, RowFailure};
pub use client::{CallError, Client, ClientConfig, ConnectError, WriteStreamName, WriteStreamState};
pub use connection::{AppendRequest, Appended, Connection};
pub use descriptor::{SchemaUnsupported, SharedDescriptor};
pub use encode::{Ingest, LiveEncoder, MAX_ROW_BYTES, RowEncoder};
pub use error::{AppendError, Fault, RowError, RowErrorCode};
pub use googleapis::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
pub use metrics::Metrics;
pub use stream::StreamWriter;
pub use tables::{QueryPages, QueryRows, Tables, TablesError};
