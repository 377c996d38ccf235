//! The encoder of a table whose schema can grow while it is written.

use std::sync::Arc;

use catalog::{Rules, TableSchema, UnknownFields};
use parking_lot::RwLock;

use super::RowEncoder;
use crate::{MaskKey, descriptor::SchemaUnsupported};

/// The encoder of a table, replaced as a whole when the table's schema grows. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct LiveEncoder {
    current: Arc<RwLock<Arc<RowEncoder>>>,
    unknown: UnknownFields,
    rules: Arc<Rules>,
    key: MaskKey,
}

impl LiveEncoder {
    /// An encoder that begins with `schema`, the table's real one.
    pub fn new(schema: &TableSchema, unknown: UnknownFields) -> Result<Self, SchemaUnsupported> {
        Self::with_rules(schema, unknown, Arc::default(), MaskKey::none())
    }

    /// An encoder that begins with `schema`, and encodes events by `rules`.
    pub fn with_rules(
        schema: &TableSchema,
        unknown: UnknownFields,
        rules: Arc<Rules>,
        key: MaskKey,
    ) -> Result<Self, SchemaUnsupported> {
        let encoder = RowEncoder::with_rules(schema, unknown, &rules, &key)?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(encoder))), unknown, rules, key })
    }

    /// The encoder for the schema as it is known now. Rows keep the descriptor that they were encoded with.
    pub fn current(&self) -> Arc<RowEncoder> {
        self.current.read().clone()
    }

    /// Goes over to `schema`; says whether that changed anything.
    pub fn update(&self, schema: &TableSchema) -> Result<bool, SchemaUnsupported> {
        let encoder = RowEncoder::with_rules(schema, self.unknown, &self.rules, &self.key)?;
        let mut current = self.current.write();
        if current.shared_descriptor() == encoder.shared_descriptor() {
            return Ok(false);
        }
        *current = Arc::new(encoder);
        Ok(true)
    }
}
