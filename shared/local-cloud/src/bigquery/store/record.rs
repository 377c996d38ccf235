//! A batch of rows as bytes: the schema's version, and the Arrow IPC message without its schema.

use std::collections::HashMap;

use arrow::{
    array::RecordBatch,
    buffer::Buffer,
    datatypes::SchemaRef,
    error::ArrowError,
    ipc::{
        MetadataVersion,
        reader::read_record_batch,
        root_as_message,
        writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions},
    },
};

/// The record of a batch that was written by this version of the table's schema.
pub(super) fn encode(batch: &RecordBatch, version: u32) -> Result<Vec<u8>, ArrowError> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut dictionaries = DictionaryTracker::new(true);
    let generator = IpcDataGenerator::default();
    let (_, encoded) = generator.encode(batch, &mut dictionaries, &options, &mut Default::default())?;
    let length = u32::try_from(encoded.ipc_message.len())
        .map_err(|_| ArrowError::IpcError("the message's header is too long".into()))?;
    let mut record = Vec::with_capacity(8 + encoded.ipc_message.len() + encoded.arrow_data.len());
    record.extend_from_slice(&version.to_be_bytes());
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&encoded.ipc_message);
    record.extend_from_slice(&encoded.arrow_data);
    Ok(record)
}

/// The version of the schema that a record was written by.
pub(super) fn version(record: &[u8]) -> Result<u32, ArrowError> {
    record.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(damaged)
}

/// The batch of a record; `schema` is that of the record's version.
pub(super) fn decode(record: &[u8], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let length = record.get(4..8).and_then(<[u8]>::first_chunk).ok_or_else(damaged)?;
    let rest = &record[8..];
    let (message, data) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(damaged)?;
    let message = root_as_message(message).map_err(|error| ArrowError::IpcError(error.to_string()))?;
    let header = message.header_as_record_batch().ok_or_else(damaged)?;
    let data = Buffer::from(data);
    read_record_batch(&data, header, SchemaRef::clone(schema), &HashMap::new(), None, &message.version())
}

fn damaged() -> ArrowError {
    ArrowError::IpcError("a record of rows is damaged".into())
}
