//! BigQuery's own JSON schema format, as `bq show --schema` prints it and Terraform's `google_bigquery_table.schema` takes it.

use serde::{Deserialize, Serialize};

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableSchema {
    /// The columns, in the table's order.
    pub fields: Vec<Field>,
}

/// One column, or one field of a STRUCT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Field {
    /// The column's name. BigQuery compares names without regard to case.
    pub name: String,
    /// The column's type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Whether the column takes NULL, needs a value, or is an ARRAY.
    #[serde(default)]
    pub mode: Mode,
    /// What the column means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The fields of a STRUCT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Digits in all, of NUMERIC and BIGNUMERIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Digits after the point, of NUMERIC and BIGNUMERIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// The longest value of STRING (characters) and BYTES (bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<String>,
    /// A SQL expression for rows that leave the column out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value_expression: Option<String>,
    /// Data Catalog policy tags; passed on as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_tags: Option<serde_json::Value>,
}

/// BigQuery's column types. The legacy names (`INTEGER`, `FLOAT`, `BOOLEAN`, `RECORD`) are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FieldType {
    /// UTF-8 text.
    String,
    /// Bytes; base64 in JSON.
    Bytes,
    /// 64-bit signed integer.
    #[serde(alias = "INT64")]
    Integer,
    /// IEEE 754 double.
    #[serde(alias = "FLOAT64")]
    Float,
    /// True or false.
    #[serde(alias = "BOOL")]
    Boolean,
    /// Decimal with 38 digits, 9 of them after the point.
    #[serde(alias = "DECIMAL")]
    Numeric,
    /// Decimal with 76 digits, 38 of them after the point.
    #[serde(alias = "BIGDECIMAL")]
    Bignumeric,
    /// A calendar date.
    Date,
    /// A time of day, µs.
    Time,
    /// Date and time without a zone, µs.
    Datetime,
    /// A point in time, µs.
    Timestamp,
    /// A geography as WKT or GeoJSON text.
    Geography,
    /// Any JSON value.
    Json,
    /// A STRUCT of [`Field::fields`].
    #[serde(alias = "STRUCT")]
    Record,
}

impl FieldType {
    /// The name in GoogleSQL, which is what errors say: `INT64`, `STRUCT`, ….
    pub const fn sql_name(self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Integer => "INT64",
            Self::Float => "FLOAT64",
            Self::Boolean => "BOOL",
            Self::Numeric => "NUMERIC",
            Self::Bignumeric => "BIGNUMERIC",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::Datetime => "DATETIME",
            Self::Timestamp => "TIMESTAMP",
            Self::Geography => "GEOGRAPHY",
            Self::Json => "JSON",
            Self::Record => "STRUCT",
        }
    }

    /// Whether a column of this type can be of a primary key.
    pub const fn fits_primary_key(self) -> bool {
        match self {
            Self::String
            | Self::Integer
            | Self::Boolean
            | Self::Numeric
            | Self::Bignumeric
            | Self::Date
            | Self::Datetime
            | Self::Timestamp => true,
            Self::Bytes | Self::Float | Self::Time | Self::Geography | Self::Json | Self::Record => false,
        }
    }
}

/// A column's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// NULL where no value is given.
    #[default]
    Nullable,
    /// A value must be given.
    Required,
    /// An ARRAY; empty where no value is given.
    Repeated,
}

/// One fault of a schema file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}{}{pointer}", if pointer.is_empty() { "" } else { " at " })]
pub struct SchemaError {
    /// The JSON pointer of the fault inside the schema file.
    pub pointer: String,
    /// What is wrong, and what was expected.
    pub detail: String,
}

impl Field {
    /// A column without further settings.
    pub fn new(name: &str, field_type: FieldType, mode: Mode) -> Self {
        Self {
            name: name.to_owned(),
            field_type,
            mode,
            description: None,
            fields: Vec::new(),
            precision: None,
            scale: None,
            max_length: None,
            default_value_expression: None,
            policy_tags: None,
        }
    }
}

impl TableSchema {
    /// The name of the column that says how a row came to be.
    pub const INGEST: &'static str = "ingest";
    /// The name of the field of [`Self::INGEST`] that tells what the event said, by a hash. Tables of older versions lack it.
    pub const PAYLOAD_HASH: &'static str = "payload_hash";
    /// The name of the column that keeps the fields that the schema does not know.
    pub const EXTRA: &'static str = "extra";

    /// Parses a schema file's text: a list of columns, or a map with the list as `fields`. Every fault is told.
    pub fn parse(json: &str) -> Result<Self, Vec<SchemaError>> {
        crate::declaration::parse_schema(json)
    }

    /// Whether this schema of a real table has a field of this name in its `ingest`.
    pub fn ingest_has(&self, name: &str) -> bool {
        let ingest = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(Self::INGEST));
        ingest.is_some_and(|ingest| ingest.fields.iter().any(|field| field.name.eq_ignore_ascii_case(name)))
    }

    /// The schema of the real table: these columns and Pipas's own two, `ingest` and `extra`.
    pub fn with_pipas_columns(&self) -> Self {
        use FieldType::{Integer, String, Timestamp};
        let mut ingest = Field::new(Self::INGEST, FieldType::Record, Mode::Nullable);
        ingest.description = Some("How the row came to be, written by Pipas".into());
        ingest.fields = [
            ("event_id", String),
            ("message_id", String),
            ("source", String),
            ("received_at", Timestamp),
            ("published_at", Timestamp),
            ("loaded_at", Timestamp),
            ("delivery_attempt", Integer),
            ("write_stream", String),
            ("write_offset", Integer),
            (Self::PAYLOAD_HASH, Integer),
        ]
        .map(|(name, field_type)| Field::new(name, field_type, Mode::Nullable))
        .to_vec();
        let mut extra = Field::new(Self::EXTRA, FieldType::Json, Mode::Nullable);
        extra.description = Some("Fields of the event that the schema does not know".into());
        let mut fields = self.fields.clone();
        fields.extend([ingest, extra]);
        Self { fields }
    }
}
