//! The writer of a created stream: explicit offsets, one request in flight.

use bytes::Bytes;

use rows::SharedDescriptor;

use crate::{
    client::WriteStreamName,
    connection::{AppendRequest, Appended, Connection},
    error::AppendError,
};

/// The one writer of a created stream.
///
/// An append at an offset is applied whole or not at all, and only where the stream ends there. After
/// [`AppendError::Ambiguous`] the next append goes over a new connection, so the same bytes can be sent again at the same
/// offset; sending other bytes there loses or doubles rows.
#[derive(Debug)]
pub struct StreamWriter {
    connection: Connection,
    stream: WriteStreamName,
    descriptor: SharedDescriptor,
    /// An append whose future was dropped: its answer must not be taken for the next one's.
    is_in_flight: bool,
}

impl StreamWriter {
    pub(crate) fn new(connection: Connection, stream: WriteStreamName, descriptor: SharedDescriptor) -> Self {
        Self { connection, stream, descriptor, is_in_flight: false }
    }

    /// The stream.
    pub fn stream(&self) -> &WriteStreamName {
        &self.stream
    }

    /// The descriptor of the rows.
    pub fn descriptor(&self) -> &SharedDescriptor {
        &self.descriptor
    }

    /// Later appends are of rows that were encoded with `descriptor`. The stream and its offsets stay.
    pub fn set_descriptor(&mut self, descriptor: SharedDescriptor) {
        self.descriptor = descriptor;
    }

    /// Appends `rows` at `offset`.
    pub async fn append(&mut self, offset: i64, rows: Vec<Bytes>) -> Result<Appended, AppendError> {
        if std::mem::replace(&mut self.is_in_flight, true) {
            self.connection.reset();
        }
        let request = AppendRequest {
            stream: self.stream.clone(),
            offset: Some(offset),
            rows,
            descriptor: self.descriptor.clone(),
        };
        let result = self.connection.append(request).await;
        self.is_in_flight = false;
        if matches!(result, Err(AppendError::Ambiguous { .. })) {
            self.connection.reset();
        }
        result
    }

    /// Closes the connection. The stream stays as it is.
    pub async fn close(self) {
        self.connection.close().await;
    }
}
