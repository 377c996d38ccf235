//! BigQuery's REST resources, as far as Pipas reads and writes them.

use catalog::{Delivery, Field, FieldType, Mode, Table, TableSchema, View};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasetResource<'a> {
    dataset_reference: DatasetReference<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatasetReference<'a> {
    project_id: &'a str,
    dataset_id: &'a str,
}

impl<'a> DatasetResource<'a> {
    pub(super) fn new(project_id: &'a str, dataset_id: &'a str) -> Self {
        Self { dataset_reference: DatasetReference { project_id, dataset_id } }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TableResource {
    #[serde(skip_serializing)]
    creation_time: Option<String>,
    /// When the table removes itself, in milliseconds since the epoch.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    expiration_time: Option<String>,
    table_reference: TableReference,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<SchemaResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_partitioning: Option<TimePartitioning>,
    /// Pipas makes none.
    #[serde(skip_serializing)]
    range_partitioning: Option<serde::de::IgnoredAny>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clustering: Option<Clustering>,
    /// `TABLE`, `VIEW` and others.
    #[serde(rename = "type", skip_serializing)]
    table_type: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    table_constraints: Option<TableConstraints>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    view: Option<ViewDefinition>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableReference {
    project_id: String,
    dataset_id: String,
    table_id: String,
}

#[derive(Serialize, Deserialize)]
struct SchemaResource {
    #[serde(default)]
    fields: Vec<FieldResource>,
}

/// A column. What BigQuery tells of it beyond these members is not needed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldResource {
    name: String,
    #[serde(rename = "type")]
    field_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldResource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_length: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_value_expression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy_tags: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct TimePartitioning {
    #[serde(rename = "type")]
    partition_type: String,
    /// Without one it is the time of loading.
    field: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Clustering {
    #[serde(default)]
    fields: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TableConstraints {
    primary_key: PrimaryKey,
}

#[derive(Serialize)]
struct PrimaryKey {
    columns: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ViewDefinition {
    query: String,
    use_legacy_sql: bool,
}

impl TableResource {
    pub(super) fn of_table(project: &str, table: &Table, schema: &TableSchema) -> Self {
        let time_partitioning = table.partition.as_ref().map(|partition| TimePartitioning {
            partition_type: partition.partition_type.name().to_owned(),
            field: Some(partition.field.clone()),
        });
        let fields = schema.fields.iter().map(FieldResource::from).collect();
        let clustering = (!table.cluster.is_empty()).then(|| Clustering { fields: table.cluster.clone() });
        let table_constraints = match &table.delivery {
            Delivery::ExactlyOnce | Delivery::AtLeastOnce => None,
            Delivery::Upsert(upsert) => {
                Some(TableConstraints { primary_key: PrimaryKey { columns: upsert.key.clone() } })
            }
        };
        Self {
            schema: Some(SchemaResource { fields }),
            time_partitioning,
            clustering,
            table_constraints,
            ..Self::new(project, &table.name)
        }
    }

    /// A table without partitions, keys or clusters that removes itself.
    pub(super) fn of_temporary_table(
        project: &str,
        name: &catalog::TableName,
        schema: &TableSchema,
        expires: event::Timestamp,
    ) -> Self {
        let fields = schema.fields.iter().map(FieldResource::from).collect();
        let expiration_time = Some(expires.as_millisecond().to_string());
        Self { schema: Some(SchemaResource { fields }), expiration_time, ..Self::new(project, name) }
    }

    pub(super) fn of_view(project: &str, view: &View) -> Self {
        let definition = ViewDefinition { query: view.sql.clone(), use_legacy_sql: false };
        Self { view: Some(definition), ..Self::new(project, &view.name) }
    }

    fn new(project: &str, name: &catalog::TableName) -> Self {
        Self {
            creation_time: None,
            expiration_time: None,
            table_reference: TableReference {
                project_id: project.to_owned(),
                dataset_id: name.dataset.clone(),
                table_id: name.table.clone(),
            },
            schema: None,
            time_partitioning: None,
            range_partitioning: None,
            clustering: None,
            table_type: None,
            table_constraints: None,
            view: None,
        }
    }

    pub(super) fn into_live(self) -> Result<LiveTable, String> {
        if let Some(other) = self.table_type.filter(|table_type| table_type != "TABLE") {
            return Ok(LiveTable::Other(other));
        }
        let partition = match (self.time_partitioning, self.range_partitioning) {
            (Some(TimePartitioning { partition_type, field: Some(field) }), _) => {
                Some(format!("{partition_type} of `{field}`"))
            }
            (Some(TimePartitioning { partition_type, field: None }), _) => {
                Some(format!("{partition_type} of the time of loading"))
            }
            (None, Some(_)) => Some("ranges of a number".to_owned()),
            (None, None) => None,
        };
        let schema = columns(self.schema)?;
        let cluster = self.clustering.map(|clustering| clustering.fields).unwrap_or_default();
        Ok(LiveTable::Table { schema, partition, cluster })
    }

    pub(super) fn into_schema_and_epoch(self) -> Result<(TableSchema, i64), String> {
        let created = self.creation_time.as_deref().and_then(|time| time.parse().ok());
        let epoch = created.ok_or("BigQuery does not say when it was created")?;
        Ok((columns(self.schema)?, epoch))
    }
}

impl From<&Field> for FieldResource {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            field_type: type_name(field.field_type).to_owned(),
            mode: Some(field.mode),
            description: field.description.clone(),
            fields: field.fields.iter().map(Self::from).collect(),
            precision: field.precision.clone(),
            scale: field.scale.clone(),
            max_length: field.max_length.clone(),
            default_value_expression: field.default_value_expression.clone(),
            policy_tags: field.policy_tags.clone(),
        }
    }
}

impl TryFrom<FieldResource> for Field {
    type Error = String;

    fn try_from(resource: FieldResource) -> Result<Self, String> {
        let field_type = field_type(&resource.field_type).ok_or_else(|| {
            format!("the column {} is of the type {}, which Pipas does not write", resource.name, resource.field_type)
        })?;
        Ok(Self {
            field_type,
            mode: resource.mode.unwrap_or_default(),
            description: resource.description,
            fields: resource.fields.into_iter().map(Self::try_from).collect::<Result<_, _>>()?,
            precision: resource.precision,
            scale: resource.scale,
            max_length: resource.max_length,
            default_value_expression: resource.default_value_expression,
            policy_tags: resource.policy_tags,
            ..Self::new(&resource.name, field_type, Mode::Nullable)
        })
    }
}

/// The name in the REST API.
const fn type_name(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Integer => "INTEGER",
        FieldType::Float => "FLOAT",
        FieldType::Boolean => "BOOLEAN",
        FieldType::Record => "RECORD",
        other => other.sql_name(),
    }
}

fn field_type(name: &str) -> Option<FieldType> {
    use serde::de::{IntoDeserializer, value::Error};
    let name: serde::de::value::StrDeserializer<'_, Error> = name.into_deserializer();
    FieldType::deserialize(name).ok()
}

fn columns(schema: Option<SchemaResource>) -> Result<TableSchema, String> {
    let columns = schema.map(|schema| schema.fields).unwrap_or_default();
    Ok(TableSchema { fields: columns.into_iter().map(Field::try_from).collect::<Result<_, _>>()? })
}

/// What stands under a table's name.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveTable {
    /// A table.
    Table {
        /// Its columns.
        schema: TableSchema,
        /// How it is partitioned, as ``DAY of `order_date` ``; `None`: it is not.
        partition: Option<String>,
        /// The columns that it is clustered by, in order.
        cluster: Vec<String>,
    },
    /// Something else: `VIEW`, `MATERIALIZED_VIEW`, `EXTERNAL`, …
    Other(String),
}

#[derive(Deserialize)]
pub(super) struct ErrorBody {
    error: ErrorProto,
}

#[derive(Deserialize)]
struct ErrorProto {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    reason: String,
}

impl ErrorBody {
    pub(super) fn reason_and_message(self) -> (String, String) {
        let reason = self.error.errors.into_iter().next().map(|item| item.reason).unwrap_or_default();
        (reason, self.error.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_survive_the_trip() {
        let mut amount = Field::new("amount", FieldType::Numeric, Mode::Required);
        (amount.precision, amount.scale) = (Some("10".into()), Some("2".into()));
        let mut nested = Field::new("nested", FieldType::Record, Mode::Repeated);
        nested.fields = vec![Field::new("flag", FieldType::Boolean, Mode::Nullable)];
        for field in [amount, nested] {
            let json = serde_json::to_string(&FieldResource::from(&field)).expect("JSON");
            let resource: FieldResource = serde_json::from_str(&json).expect("a resource");
            assert_eq!(Field::try_from(resource), Ok(field));
        }
    }

    #[test]
    fn a_table_as_bigquery_tells_it() {
        let json = r#"{"kind":"bigquery#table","creationTime":"1706781886123","type":"TABLE","numRows":"0",
            "tableReference":{"projectId":"p","datasetId":"d","tableId":"t"},"timePartitioning":{"type":"DAY"},
            "schema":{"fields":[{"name":"id","type":"INTEGER","mode":"NULLABLE","collation":"und:ci"},
                                {"name":"at","type":"TIMESTAMP"}]}}"#;
        let resource: TableResource = serde_json::from_str(json).expect("a resource");
        let (schema, epoch) = resource.into_schema_and_epoch().expect("a table");
        assert_eq!(epoch, 1_706_781_886_123);
        assert_eq!(schema.fields[1], Field::new("at", FieldType::Timestamp, Mode::Nullable));
    }

    #[test]
    fn how_a_table_is_laid_out_is_told() {
        let live = |more: &str| {
            let json = format!(
                r#"{{"creationTime":"1","tableReference":{{"projectId":"p","datasetId":"d","tableId":"t"}}{more}}}"#
            );
            serde_json::from_str::<TableResource>(&json).expect("a resource").into_live().expect("what is live")
        };
        let table = |partition: Option<&str>, cluster: &[&str]| LiveTable::Table {
            schema: TableSchema { fields: Vec::new() },
            partition: partition.map(str::to_owned),
            cluster: cluster.iter().map(|column| (*column).to_owned()).collect(),
        };
        assert_eq!(live(""), table(None, &[]));
        let day = r#","type":"TABLE","timePartitioning":{"type":"DAY","field":"at"},"clustering":{"fields":["a","b"]}"#;
        assert_eq!(live(day), table(Some("DAY of `at`"), &["a", "b"]));
        assert_eq!(live(r#","timePartitioning":{"type":"HOUR"}"#), table(Some("HOUR of the time of loading"), &[]));
        assert_eq!(live(r#","rangePartitioning":{"field":"n"}"#), table(Some("ranges of a number"), &[]));
        assert_eq!(live(r#","type":"VIEW","view":{"query":"SELECT 1"}"#), LiveTable::Other("VIEW".to_owned()));
    }

    #[test]
    fn a_table_of_upserts_has_its_primary_key() {
        let upsert = catalog::Upsert { key: vec!["stream".into(), "reason".into()], sequence: None };
        let table = Table { delivery: Delivery::Upsert(upsert), ..catalog::dead_letters_table() };
        let constraints = |table: &Table| {
            let resource = TableResource::of_table("p", table, &table.schema);
            serde_json::to_value(resource).expect("JSON")["tableConstraints"].take()
        };
        assert_eq!(constraints(&table), serde_json::json!({"primaryKey": {"columns": ["stream", "reason"]}}));
        assert!(constraints(&catalog::dead_letters_table()).is_null());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let json = r#"{"creationTime":"1","tableReference":{"projectId":"p","datasetId":"d","tableId":"t"},
            "schema":{"fields":[{"name":"r","type":"RANGE"}]}}"#;
        let resource: TableResource = serde_json::from_str(json).expect("a resource");
        let error = resource.into_schema_and_epoch().expect_err("an error");
        assert_eq!(error, "the column r is of the type RANGE, which Pipas does not write");
    }
}
