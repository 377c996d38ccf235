//! The encoder of a table whose schema can grow while it is written.

use std::sync::Arc;

use catalog::{TableSchema, UnknownFields};
use parking_lot::RwLock;

use super::RowEncoder;
use crate::descriptor::SchemaUnsupported;

/// The encoder of a table, replaced as a whole when the table's schema grows. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct LiveEncoder {
    current: Arc<RwLock<Arc<RowEncoder>>>,
    unknown: UnknownFields,
}

impl LiveEncoder {
    /// An encoder that begins with `schema`, the table's real one.
    pub fn new(schema: &TableSchema, unknown: UnknownFields) -> Result<Self, SchemaUnsupported> {
        let encoder = RowEncoder::new(schema, unknown)?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(encoder))), unknown })
    }

    /// The encoder for the schema as it is known now. Rows keep the descriptor that they were encoded with.
    pub fn current(&self) -> Arc<RowEncoder> {
        self.current.read().clone()
    }

    /// Goes over to `schema`; says whether that changed anything.
    pub fn update(&self, schema: &TableSchema) -> Result<bool, SchemaUnsupported> {
        let encoder = RowEncoder::new(schema, self.unknown)?;
        let mut current = self.current.write();
        if current.shared_descriptor() == encoder.shared_descriptor() {
            return Ok(false);
        }
        *current = Arc::new(encoder);
        Ok(true)
    }
}
