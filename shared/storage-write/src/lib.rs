//! Storage Write: write streams and appends of the rows that the crate `rows` makes; and the REST side of the tables.

mod appender;
mod client;
mod connection;
mod error;
mod metrics;
mod schema_update;
mod stream;
mod tables;
mod wire;

pub use appender::{Appender, AppenderConfig, RowFailure};
pub use client::{CallError, Client, ClientConfig, ConnectError, WriteStreamName, WriteStreamState};
pub use connection::{AppendRequest, Appended, Connection};
pub use error::{AppendError, Fault, RowError, RowErrorCode};
pub use googleapis::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
pub use metrics::Metrics;
pub use rows::{Ingest, LiveEncoder, MAX_ROW_BYTES, RowEncoder, SchemaUnsupported, SharedDescriptor};
pub use stream::StreamWriter;
pub use tables::{LiveTable, QueryPages, QueryRows, Tables, TablesError};
