//! A table's schema as a self-contained protobuf descriptor, which is what Storage Write decodes rows with.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use catalog::{Field, FieldType, Mode, TableSchema};
use prost::Message;
use prost_types::{
    DescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// BigQuery's bound on STRUCTs inside STRUCTs.
const MAX_DEPTH: usize = 15;
/// Field numbers that protobuf keeps for itself.
const RESERVED_NUMBERS: std::ops::RangeInclusive<usize> = 19_000..=19_999;

/// Why a schema cannot be written through a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaUnsupported {
    /// A table or STRUCT without columns.
    #[error("{path} has no fields; a STRUCT needs at least one")]
    NoFields {
        /// The STRUCT's path, e.g. `metadata.source`; `the table` for the table itself.
        path: String,
    },
    /// Two columns whose names differ in nothing but case.
    #[error("{path} is declared twice; BigQuery compares names without regard to case")]
    DuplicateName {
        /// The column's path.
        path: String,
    },
    /// STRUCTs nested deeper than BigQuery takes.
    #[error("{path} lies deeper than {MAX_DEPTH} STRUCTs")]
    TooDeep {
        /// The column's path.
        path: String,
    },
    /// A precision, scale or maximal length that is no number in its range.
    #[error("{path}: {detail}")]
    Parameter {
        /// The column's path.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// Unknown fields are to be captured, and the table has no column to keep them.
    #[error("the table has no JSON column `extra`, which keeps the fields that the schema does not know")]
    NoExtraColumn,
}

/// A descriptor that many requests share. Cheap to clone; equal when its bytes are equal.
#[derive(Clone)]
pub struct SharedDescriptor(Arc<Inner>);

struct Inner {
    bytes: Bytes,
    proto: DescriptorProto,
    id: u64,
    has_defaults: bool,
}

impl SharedDescriptor {
    /// The descriptor of a table's whole schema.
    ///
    /// Every STRUCT is a nested type, REQUIRED columns are `required` (but those with a default value), REPEATED ones
    /// `repeated`, the rest `optional`, by proto2's rules, which Storage Write asks for. A column whose name is no protobuf
    /// identifier gets a placeholder name and the annotation `column_name`, as Google's own clients do.
    pub fn new(schema: &TableSchema) -> Result<Self, SchemaUnsupported> {
        let message = message("Row", &schema.fields, "", 0)?;
        Ok(Self::from_bytes(Bytes::from(message.encode_to_vec()), has_defaults(&schema.fields)))
    }

    fn from_bytes(bytes: Bytes, has_defaults: bool) -> Self {
        let proto = DescriptorProto::decode(bytes.clone()).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self(Arc::new(Inner { id: hasher.finish(), bytes, proto, has_defaults }))
    }

    /// This descriptor with optional strings of these names behind its fields.
    pub(crate) fn with_strings(&self, names: &[&str]) -> Self {
        let mut message = MessageType::decode(self.0.bytes.clone()).unwrap_or_default();
        let first = message.field.len();
        message.field.extend(names.iter().enumerate().map(|(at, name)| FieldDescriptor {
            name: (*name).to_owned(),
            number: field_number(first + at) as i32,
            label: Label::Optional as i32,
            r#type: Type::String as i32,
            type_name: None,
            options: None,
        }));
        Self::from_bytes(Bytes::from(message.encode_to_vec()), self.0.has_defaults)
    }

    /// The descriptor as prost's type. The `column_name` annotations are not in it, for prost drops extensions.
    pub fn proto(&self) -> &DescriptorProto {
        &self.0.proto
    }

    /// The descriptor's wire bytes, annotations included.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Whether a column has a default value, which BigQuery shall fill in where a row leaves the column out.
    pub fn has_defaults(&self) -> bool {
        self.0.has_defaults
    }

    /// Whether rows that were encoded with `older` can be sent under this descriptor: every field of `older` is here with
    /// the same number, type and name, and nothing that `older` lacks is required.
    pub fn extends(&self, older: &Self) -> bool {
        self == older || extends(self.proto(), older.proto())
    }
}

impl PartialEq for SharedDescriptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.id == other.0.id && self.0.bytes == other.0.bytes)
    }
}

impl Eq for SharedDescriptor {}

impl fmt::Debug for SharedDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDescriptor").field("id", &self.0.id).field("fields", &self.proto().field.len()).finish()
    }
}

fn extends(new: &DescriptorProto, old: &DescriptorProto) -> bool {
    let kept = old.field.iter().all(|field| {
        new.field.iter().any(|candidate| {
            let required_anew = candidate.label() == Label::Required && field.label() != Label::Required;
            let repetition = (candidate.label() == Label::Repeated) == (field.label() == Label::Repeated);
            let nested = |of: &DescriptorProto, name: &str| of.nested_type.iter().find(|t| t.name() == name).cloned();
            candidate.number == field.number
                && candidate.name().eq_ignore_ascii_case(field.name())
                && candidate.r#type == field.r#type
                && repetition
                && !required_anew
                && match (nested(new, candidate.type_name()), nested(old, field.type_name())) {
                    (Some(new), Some(old)) => extends(&new, &old),
                    (None, None) => true,
                    _ => false,
                }
        })
    });
    let added = new.field.iter().filter(|field| old.field.iter().all(|known| known.number != field.number));
    kept && added.into_iter().all(|field| field.label() != Label::Required)
}

fn has_defaults(fields: &[Field]) -> bool {
    fields.iter().any(|field| field.default_value_expression.is_some() || has_defaults(&field.fields))
}

/// The field number of the column at `index`.
pub(crate) fn field_number(index: usize) -> u32 {
    let number = index + 1;
    let skipped = if number >= *RESERVED_NUMBERS.start() { RESERVED_NUMBERS.count() } else { 0 };
    u32::try_from(number + skipped).unwrap_or(u32::MAX)
}

/// Whether a row must hold a value: a REQUIRED column that BigQuery cannot fill in by itself.
pub(crate) fn is_required(field: &Field) -> bool {
    field.mode == Mode::Required && field.default_value_expression.is_none()
}

/// The wire type of each column type, after
/// <https://cloud.google.com/bigquery/docs/supported-data-types#supported_protocol_buffer_data_types>.
/// TIME and DATETIME are `CivilTimeEncoder`'s packed integers; NUMERIC and BIGNUMERIC are decimal text.
const fn wire_type(field_type: FieldType) -> Type {
    match field_type {
        FieldType::String | FieldType::Geography | FieldType::Json | FieldType::Numeric | FieldType::Bignumeric => {
            Type::String
        }
        FieldType::Bytes => Type::Bytes,
        FieldType::Integer | FieldType::Time | FieldType::Datetime | FieldType::Timestamp => Type::Int64,
        FieldType::Float => Type::Double,
        FieldType::Boolean => Type::Bool,
        FieldType::Date => Type::Int32,
        FieldType::Record => Type::Message,
    }
}

fn message(name: &str, fields: &[Field], path: &str, depth: usize) -> Result<MessageType, SchemaUnsupported> {
    if fields.is_empty() {
        let path = if path.is_empty() { "the table" } else { path };
        return Err(SchemaUnsupported::NoFields { path: path.to_owned() });
    }
    let mut seen = HashSet::new();
    let mut message = MessageType { name: name.to_owned(), ..MessageType::default() };
    let names: Vec<(String, bool)> = fields.iter().map(|field| proto_name(&field.name)).collect();
    for (index, (field, (proto_name, is_placeholder))) in fields.iter().zip(&names).enumerate() {
        let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
        if !seen.insert(field.name.to_lowercase()) {
            return Err(SchemaUnsupported::DuplicateName { path });
        }
        let mut type_name = None;
        if field.field_type == FieldType::Record {
            if depth == MAX_DEPTH {
                return Err(SchemaUnsupported::TooDeep { path });
            }
            // A nested type shares its scope with the fields beside it.
            let mut nested = format!("{proto_name}_struct");
            while names.iter().any(|(name, _)| *name == nested) {
                nested.push('_');
            }
            message.nested_type.push(self::message(&nested, &field.fields, &path, depth + 1)?);
            type_name = Some(nested);
        }
        let label = match field.mode {
            Mode::Repeated => Label::Repeated,
            _ if is_required(field) => Label::Required,
            Mode::Nullable | Mode::Required => Label::Optional,
        };
        message.field.push(FieldDescriptor {
            name: proto_name.clone(),
            number: field_number(index) as i32,
            label: label as i32,
            r#type: wire_type(field.field_type) as i32,
            type_name,
            options: is_placeholder.then(|| FieldOptions { column_name: Some(field.name.clone()) }),
        });
    }
    Ok(message)
}

/// The protobuf name of a column, and whether it is a placeholder.
fn proto_name(column: &str) -> (String, bool) {
    let mut bytes = column.bytes();
    let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if starts_well && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return (column.to_owned(), false);
    }
    (format!("col_{}", URL_SAFE_NO_PAD.encode(column).replace('-', "_")), true)
}

/// `google.protobuf.DescriptorProto` as far as it is needed, with room for the one extension that prost would drop.
#[derive(Clone, PartialEq, Message)]
struct MessageType {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    field: Vec<FieldDescriptor>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<MessageType>,
}

/// `google.protobuf.FieldDescriptorProto`, likewise.
#[derive(Clone, PartialEq, Message)]
struct FieldDescriptor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    number: i32,
    #[prost(int32, tag = "4")]
    label: i32,
    #[prost(int32, tag = "5")]
    r#type: i32,
    #[prost(string, optional, tag = "6")]
    type_name: Option<String>,
    #[prost(message, optional, tag = "8")]
    options: Option<FieldOptions>,
}

/// `google.protobuf.FieldOptions` with `google.cloud.bigquery.storage.v1.column_name`.
#[derive(Clone, PartialEq, Message)]
struct FieldOptions {
    #[prost(string, optional, tag = "454943157")]
    column_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(json: &str) -> TableSchema {
        serde_json::from_str(json).expect("a schema")
    }

    #[test]
    fn structs_nest_and_modes_become_labels() {
        let schema = schema(
            r#"[{"name":"id","type":"STRING","mode":"REQUIRED"},
                {"name":"made","type":"INT64","mode":"REQUIRED","defaultValueExpression":"1"},
                {"name":"tags","type":"RECORD","mode":"REPEATED","fields":[{"name":"day","type":"DATE"}]}]"#,
        );
        let descriptor = SharedDescriptor::new(&schema).expect("a descriptor");
        let proto = descriptor.proto();
        let labels: Vec<_> = proto.field.iter().map(|field| field.label()).collect();
        assert_eq!(labels, [Label::Required, Label::Optional, Label::Repeated]);
        assert_eq!(proto.field[2].type_name(), "tags_struct");
        assert_eq!(proto.nested_type[0].field[0].r#type(), Type::Int32);
        assert!(descriptor.has_defaults());
    }

    #[test]
    fn names_that_are_no_identifiers_are_annotated() {
        let descriptor = SharedDescriptor::new(&schema(r#"[{"name":"été","type":"STRING"}]"#)).expect("a descriptor");
        assert_eq!(descriptor.proto().field[0].name(), "col_w6l0w6k");
        let sent = MessageType::decode(descriptor.bytes().clone()).expect("a message");
        let options = sent.field[0].options.clone().expect("options");
        assert_eq!(options.column_name.as_deref(), Some("été"));
    }

    #[test]
    fn what_cannot_be_written_is_refused_by_path() {
        let refuse = |json| SharedDescriptor::new(&schema(json)).expect_err("an error").to_string();
        assert!(refuse("[]").starts_with("the table has no fields"));
        assert!(refuse(r#"[{"name":"a","type":"RECORD"}]"#).starts_with("a has no fields"));
        assert!(
            refuse(r#"[{"name":"a","type":"STRING"},{"name":"A","type":"STRING"}]"#).starts_with("A is declared twice")
        );
    }

    #[test]
    fn field_numbers_skip_the_reserved_range() {
        assert_eq!(field_number(0), 1);
        assert_eq!(field_number(18_998), 18_999);
        assert_eq!(field_number(18_999), 20_000);
    }

    #[test]
    fn a_grown_descriptor_takes_older_rows() {
        let of = |json| SharedDescriptor::new(&schema(json)).expect("a descriptor");
        let old =
            of(r#"[{"name":"a","type":"STRING"},{"name":"s","type":"RECORD","fields":[{"name":"b","type":"INT64"}]}]"#);
        let grown = of(r#"[{"name":"a","type":"STRING"},
                {"name":"s","type":"RECORD","fields":[{"name":"b","type":"INT64"},{"name":"c","type":"BOOL"}]},
                {"name":"d","type":"DATE"}]"#);
        let moved = of(r#"[{"name":"x","type":"STRING"},{"name":"a","type":"STRING"}]"#);
        assert!(grown.extends(&old) && old.extends(&old));
        assert!(!old.extends(&grown) && !moved.extends(&old));
    }
}
