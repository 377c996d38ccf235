//! From a client's message descriptor to the columns of a table: which field goes where, and how it is converted.
//!
//! The conversions are those of <https://cloud.google.com/bigquery/docs/write-api#data_type_conversions>.

use std::collections::HashMap;

use catalog::{Field, FieldType, Mode, TableSchema};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use crate::bigquery::store::change;

/// How the rows of one descriptor become rows of one version of a table.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) message: Message,
    /// Whether the rows say what becomes of the row of their key.
    pub(super) has_changes: bool,
}

/// How a message becomes a STRUCT, or a row.
#[derive(Debug)]
pub(super) struct Message {
    /// The columns, in the table's order.
    pub(super) columns: Vec<Field>,
    /// The fields of the message.
    pub(super) fields: Vec<FieldPlan>,
    by_number: HashMap<u32, usize>,
}

/// How one field of a message becomes a column.
#[derive(Debug)]
pub(super) struct FieldPlan {
    /// The column's index.
    pub(super) column: usize,
    pub(super) repeated: bool,
    /// The message's own `required`.
    pub(super) required: bool,
    pub(super) source: Source,
}

/// What the field's bytes are.
#[derive(Debug)]
pub(super) enum Source {
    Scalar(Type),
    Enum(HashMap<i32, String>),
    /// A wrapper such as `google.protobuf.Int64Value`, whose field 1 is of this type.
    Wrapper(Type),
    /// `google.protobuf.Timestamp`.
    Timestamp,
    Message(Message),
}

/// Why a descriptor cannot write the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It has fields that the table has not.
    ExtraFields(Vec<String>),
    /// It has the pseudo-columns of change data, and the table no primary key.
    NoPrimaryKey,
    /// Anything else.
    Invalid(String),
}

impl Message {
    /// The plan of the field of this number; unknown fields have none.
    pub(super) fn field(&self, number: u32) -> Option<(usize, &FieldPlan)> {
        let index = *self.by_number.get(&number)?;
        Some((index, &self.fields[index]))
    }
}

/// Fits the descriptor to the columns that are kept of a table, by name without regard to case.
pub(super) fn compile(descriptor: &DescriptorProto, schema: &TableSchema) -> Result<Plan, Mismatch> {
    let mut types = Types::default();
    types.collect(descriptor.name(), descriptor);
    let mut extra = Vec::new();
    let message = types.message(descriptor, &schema.fields, "", 0, &mut extra)?;
    if !extra.is_empty() {
        return Err(Mismatch::ExtraFields(extra));
    }
    let has_changes = descriptor.field.iter().any(|field| change::is_pseudo_column(field.name()));
    Ok(Plan { message, has_changes })
}

/// BigQuery allows 15 levels of STRUCT.
const DEEPEST: usize = 16;

/// The nested types of a descriptor, by their path under it.
#[derive(Default)]
struct Types<'a> {
    messages: HashMap<String, &'a DescriptorProto>,
    enums: HashMap<String, &'a EnumDescriptorProto>,
}

impl<'a> Types<'a> {
    fn collect(&mut self, path: &str, descriptor: &'a DescriptorProto) {
        self.messages.insert(path.to_owned(), descriptor);
        for nested in &descriptor.nested_type {
            self.collect(&format!("{path}.{}", nested.name()), nested);
        }
        for nested in &descriptor.enum_type {
            self.enums.insert(format!("{path}.{}", nested.name()), nested);
        }
    }

    fn message(
        &self,
        descriptor: &DescriptorProto,
        columns: &[Field],
        path: &str,
        depth: usize,
        extra: &mut Vec<String>,
    ) -> Result<Message, Mismatch> {
        if depth > DEEPEST {
            return Err(Mismatch::Invalid(format!("The proto schema nests deeper than {DEEPEST} levels at {path}")));
        }
        let mut message = Message { columns: columns.to_vec(), fields: Vec::new(), by_number: HashMap::new() };
        for field in &descriptor.field {
            let name = field.name();
            let full = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let Some(column) = columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)) else {
                if path.is_empty() && change::is_pseudo_column(name) {
                    return Err(Mismatch::NoPrimaryKey);
                }
                extra.push(full);
                continue;
            };
            let target = &columns[column];
            let repeated = field.label() == Label::Repeated;
            if repeated != (target.mode == Mode::Repeated) {
                let (proto, table) = (field.label().as_str_name(), target.mode);
                return Err(Mismatch::Invalid(format!(
                    "The proto field mismatched with BigQuery field at {full}: the proto field is {proto}, the BigQuery field {table:?}"
                )));
            }
            let source = self.source(field, target, &full, depth, extra)?;
            let number = u32::try_from(field.number()).unwrap_or_default();
            message.by_number.insert(number, message.fields.len());
            let required = field.label() == Label::Required;
            message.fields.push(FieldPlan { column, repeated, required, source });
        }
        Ok(message)
    }

    fn source(
        &self,
        field: &FieldDescriptorProto,
        target: &Field,
        path: &str,
        depth: usize,
        extra: &mut Vec<String>,
    ) -> Result<Source, Mismatch> {
        let type_name = field.type_name();
        let mismatch = |proto: &str| {
            let table = target.field_type.sql_name();
            Mismatch::Invalid(format!(
                "The proto field mismatched with BigQuery field at {path}, the proto field type {proto}, BigQuery field type {table}"
            ))
        };
        let unresolved =
            || Mismatch::Invalid(format!("The proto schema does not contain the type {type_name} of {path}"));
        let source = match field.r#type() {
            Type::Message => {
                if let Some(inner) = type_name.trim_start_matches('.').strip_prefix("google.protobuf.") {
                    match inner {
                        "Timestamp" if target.field_type == FieldType::Timestamp => return Ok(Source::Timestamp),
                        _ => {}
                    }
                    if let Some(wrapped) = wrapped(inner) {
                        return if accepts(target.field_type, wrapped) {
                            Ok(Source::Wrapper(wrapped))
                        } else {
                            Err(mismatch(inner))
                        };
                    }
                }
                if target.field_type != FieldType::Record {
                    return Err(mismatch("message"));
                }
                let nested = resolve(&self.messages, type_name).ok_or_else(unresolved)?;
                Source::Message(self.message(nested, &target.fields, path, depth + 1, extra)?)
            }
            Type::Enum => {
                if !accepts(target.field_type, Type::Enum) {
                    return Err(mismatch("enum"));
                }
                let values = &resolve(&self.enums, type_name).ok_or_else(unresolved)?.value;
                Source::Enum(values.iter().map(|value| (value.number(), value.name().to_owned())).collect())
            }
            scalar if accepts(target.field_type, scalar) => Source::Scalar(scalar),
            other => return Err(mismatch(&other.as_str_name().trim_start_matches("TYPE_").to_lowercase())),
        };
        Ok(source)
    }
}

/// The type whose path is the longest that ends the name (`.package.Row.Inner`) or that the name ends (`Inner`).
fn resolve<'a, T: ?Sized>(types: &HashMap<String, &'a T>, name: &str) -> Option<&'a T> {
    let name = name.trim_start_matches('.');
    let ends = |long: &str, short: &str| {
        long.strip_suffix(short).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let matching = types.iter().filter(|(path, _)| ends(name, path) || ends(path, name));
    matching.max_by_key(|(path, _)| (ends(name, path), path.len())).map(|(_, found)| *found)
}

fn wrapped(name: &str) -> Option<Type> {
    Some(match name {
        "BoolValue" => Type::Bool,
        "Int32Value" => Type::Int32,
        "Int64Value" => Type::Int64,
        "UInt32Value" => Type::Uint32,
        "UInt64Value" => Type::Uint64,
        "FloatValue" => Type::Float,
        "DoubleValue" => Type::Double,
        "StringValue" => Type::String,
        "BytesValue" => Type::Bytes,
        _ => return None,
    })
}

/// Whether values of the protobuf type are converted to the column's type.
fn accepts(column: FieldType, proto: Type) -> bool {
    use Type::{
        Bool, Bytes, Double, Enum, Fixed32, Fixed64, Float, Int32, Int64, Sfixed32, Sfixed64, Sint32, Sint64, String,
        Uint32, Uint64,
    };
    let small = matches!(proto, Int32 | Sint32 | Sfixed32 | Uint32 | Fixed32);
    let signed = matches!(proto, Int64 | Sint64 | Sfixed64);
    let integer = small || signed || matches!(proto, Uint64 | Fixed64);
    match column {
        FieldType::Boolean => proto == Bool || integer,
        FieldType::Bytes => matches!(proto, Bytes | String),
        FieldType::Date => matches!(proto, Int32 | Sint32 | Sfixed32 | String) || signed,
        FieldType::Datetime | FieldType::Time => proto == String || signed,
        FieldType::Float => matches!(proto, Double | Float) || integer,
        FieldType::Geography | FieldType::Json => proto == String,
        FieldType::Integer => small || signed || proto == Enum,
        FieldType::Numeric | FieldType::Bignumeric => integer || matches!(proto, Double | Float | String | Bytes),
        FieldType::String => matches!(proto, String | Enum),
        FieldType::Timestamp => small || signed || proto == String,
        FieldType::Record => false,
    }
}
