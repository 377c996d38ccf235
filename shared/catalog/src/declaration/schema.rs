use std::path::Path;

use super::{
    cursor::{Cursor, PathStyle, Report},
    document::Node,
    name,
};
use crate::{Field, FieldType, Mode, SchemaError, TableSchema};

/// BigQuery's bound on STRUCTs inside STRUCTs.
const MAX_DEPTH: usize = 15;
/// BigQuery's bound on the columns of a table, those inside STRUCTs included.
const MAX_COLUMNS: usize = 10_000;

const TYPES: [(&str, FieldType); 20] = [
    ("STRING", FieldType::String),
    ("BYTES", FieldType::Bytes),
    ("INT64", FieldType::Integer),
    ("FLOAT64", FieldType::Float),
    ("BOOL", FieldType::Boolean),
    ("NUMERIC", FieldType::Numeric),
    ("BIGNUMERIC", FieldType::Bignumeric),
    ("DATE", FieldType::Date),
    ("TIME", FieldType::Time),
    ("DATETIME", FieldType::Datetime),
    ("TIMESTAMP", FieldType::Timestamp),
    ("GEOGRAPHY", FieldType::Geography),
    ("JSON", FieldType::Json),
    ("STRUCT", FieldType::Record),
    ("INTEGER", FieldType::Integer),
    ("FLOAT", FieldType::Float),
    ("BOOLEAN", FieldType::Boolean),
    ("DECIMAL", FieldType::Numeric),
    ("BIGDECIMAL", FieldType::Bignumeric),
    ("RECORD", FieldType::Record),
];
const MODES: [(&str, Mode); 3] =
    [("NULLABLE", Mode::Nullable), ("REQUIRED", Mode::Required), ("REPEATED", Mode::Repeated)];

/// Parses a schema file's text on its own.
pub(crate) fn parse(json: &str) -> Result<TableSchema, Vec<SchemaError>> {
    let report = Report::default();
    let schema = read(&report, Path::new(""), json);
    let problems = report.into_problems();
    match schema {
        Some(schema) if problems.is_empty() => Ok(schema),
        _ => Err(problems.into_iter().map(|fault| SchemaError { pointer: fault.path, detail: fault.detail }).collect()),
    }
}

/// Reads the schema in `file`, whose text is `json`. `None`: there is a problem.
pub(super) fn read(report: &Report, file: &Path, json: &str) -> Option<TableSchema> {
    let node = Node::from_json(json).map_err(|error| report.syntax(file, error)).ok()?;
    let root = Cursor::root(report, file, PathStyle::Pointer, &node);
    let columns = if root.is_list() {
        root
    } else {
        let mut settings = root.settings("a list of columns, or a map with the list as `fields`")?;
        let columns = settings.required("fields", "a list of columns");
        settings.finish();
        columns?
    };
    let fields = fields(&columns, "", 0)?;
    for (field, at) in fields.iter().zip(columns.list("a list of columns")?) {
        if [TableSchema::INGEST, TableSchema::EXTRA].iter().any(|ours| field.name.eq_ignore_ascii_case(ours)) {
            at.problem(format!("the column name `{}` is kept for the column that Pipas adds", field.name));
        }
    }
    let count = count(&fields);
    if count > MAX_COLUMNS {
        columns.problem(format!("a table has at most {MAX_COLUMNS} columns, found {count}"));
    }
    Some(TableSchema { fields })
}

fn count(fields: &[Field]) -> usize {
    fields.iter().map(|field| 1 + count(&field.fields)).sum()
}

/// Reads a list of fields. Those at fault are reported; `None` where one of them is.
fn fields(at: &Cursor<'_>, parent: &str, depth: usize) -> Option<Vec<Field>> {
    let items = at.list("a list of columns")?;
    if items.is_empty() {
        at.problem("expected at least one column");
        return None;
    }
    let read: Vec<Option<Field>> = items.iter().map(|item| field(item, parent, depth)).collect();
    for (index, field) in read.iter().enumerate() {
        let Some(field) = field else { continue };
        let earlier = read[..index].iter().flatten().find(|other| other.name.eq_ignore_ascii_case(&field.name));
        if let Some(earlier) = earlier {
            items[index].problem(format!(
                "the column name `{}` is taken by `{}` already; BigQuery compares names without regard to case",
                field.name, earlier.name
            ));
        }
    }
    read.into_iter().collect()
}

fn field(at: &Cursor<'_>, parent: &str, depth: usize) -> Option<Field> {
    let mut settings = at.settings("a column: a map with `name` and `type`")?;
    let name = settings.required("name", name::COLUMN).and_then(|at| column_name(&at));
    let field_type = settings.required("type", "a column type").and_then(|at| column_type(&at));
    let mode = settings.optional("mode").map_or(Some(Mode::default()), |at| {
        let upper = at.text("a column mode")?.to_ascii_uppercase();
        MODES.iter().find(|(known, _)| *known == upper).map(|(_, mode)| *mode).or_else(|| at.choice("mode", &MODES))
    });
    let description = settings.optional("description").and_then(|at| at.text("a text").map(str::to_owned));
    let nested = settings.optional("fields");
    let default_value = settings.optional("defaultValueExpression");
    let policy_tags = settings.optional("policyTags");
    let sizes = ["precision", "scale", "maxLength"].map(|size| settings.optional(size));
    settings.finish();

    let label = format!("{parent}{}", name.unwrap_or("?"));
    let [precision, scale, max_length] = sizes;
    let field_type = field_type?;
    let fields = match (field_type, nested) {
        (FieldType::Record, Some(nested)) if depth < MAX_DEPTH => fields(&nested, &format!("{label}."), depth + 1),
        (FieldType::Record, Some(nested)) => {
            nested.problem(format!("STRUCTs are nested deeper than {MAX_DEPTH} levels at `{label}`"));
            None
        }
        (FieldType::Record, None) => {
            at.problem(format!("`fields` is missing: the STRUCT column `{label}` has no fields"));
            None
        }
        (_, Some(nested)) => {
            nested.problem(format!("only a STRUCT has fields, but `{label}` is {}", field_type.sql_name()));
            None
        }
        (_, None) => Some(Vec::new()),
    };
    if let Some(max_length) = &max_length
        && !matches!(field_type, FieldType::String | FieldType::Bytes)
    {
        max_length.problem(format!(
            "only STRING and BYTES have a longest length, but `{label}` is {}",
            field_type.sql_name()
        ));
    }
    if let Some(default_value) = &default_value
        && depth > 0
    {
        default_value.problem(format!("a field of a STRUCT has no default of its own, but `{label}` has one"));
    }
    let (precision, scale) = digits(at, &label, field_type, precision.as_ref(), scale.as_ref());
    Some(Field {
        name: name?.to_owned(),
        field_type,
        mode: mode?,
        description,
        fields: fields?,
        precision,
        scale,
        max_length: max_length.and_then(|at| at.positive("a whole number above zero")).map(|length| length.to_string()),
        default_value_expression: default_value.and_then(|at| at.text("a SQL expression").map(str::to_owned)),
        policy_tags: policy_tags.map(|at| at.to_json()),
    })
}

fn column_name<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    let name = at.text(name::COLUMN)?;
    if !name::is_column(name) {
        at.problem(format!("expected {}, found `{name}`", name::COLUMN));
        return None;
    }
    if let Some(prefix) = name::reserved_prefix(name) {
        at.problem(format!("BigQuery keeps column names that begin with `{prefix}` for itself, found `{name}`"));
        return None;
    }
    Some(name)
}

fn column_type(at: &Cursor<'_>) -> Option<FieldType> {
    let upper = at.text("a column type")?.to_ascii_uppercase();
    TYPES
        .iter()
        .find(|(known, _)| *known == upper)
        .map(|(_, field_type)| *field_type)
        .or_else(|| at.choice("column type", &TYPES[..14]))
}

/// The precision and scale of a decimal (<https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#parameterized_decimal_type>).
fn digits(
    at: &Cursor<'_>,
    label: &str,
    field_type: FieldType,
    precision: Option<&Cursor<'_>>,
    scale: Option<&Cursor<'_>>,
) -> (Option<String>, Option<String>) {
    let (most_scale, most_whole) = match field_type {
        FieldType::Numeric => (9, 29),
        FieldType::Bignumeric => (38, 38),
        _ => {
            for digits in [precision, scale].into_iter().flatten() {
                digits.problem(format!(
                    "only NUMERIC and BIGNUMERIC have digits, but `{label}` is {}",
                    field_type.sql_name()
                ));
            }
            return (None, None);
        }
    };
    let scale_value = scale.map_or(Some(0), |at| at.whole("a whole number"));
    let precision_value = precision.map(|at| at.positive("a whole number above zero"));
    match (precision_value, scale_value) {
        (None, Some(_)) if scale.is_some() => at.problem(format!("`{label}` has a scale, and so needs a precision")),
        (_, Some(scale_value)) if scale_value > most_scale => {
            let at = scale.unwrap_or(at);
            at.problem(format!(
                "the scale of a {} is at most {most_scale}, found {scale_value}",
                field_type.sql_name()
            ));
        }
        (Some(Some(found)), Some(scale_value)) => {
            let (least, most) = (scale_value.max(1), scale_value + most_whole);
            if !(least..=most).contains(&found) {
                let at = precision.unwrap_or(at);
                at.problem(format!("with the scale {scale_value} the precision is {least} to {most}, found {found}"));
            }
        }
        _ => {}
    }
    let text = |digits: Option<u64>| digits.map(|digits| digits.to_string());
    (text(precision_value.flatten()), text(scale.and(scale_value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<String> {
        parse(json).err().into_iter().flatten().map(|fault| fault.to_string()).collect()
    }

    #[test]
    fn both_forms_are_read() {
        let bare = parse(r#"[{"name": "a", "type": "int64"}]"#).expect("a schema");
        let wrapped = parse(r#"{"fields": [{"name": "a", "type": "INTEGER", "mode": "nullable"}]}"#).expect("a schema");
        assert_eq!(bare, wrapped);
        assert_eq!(bare.fields, [Field::new("a", FieldType::Integer, Mode::Nullable)]);
    }

    #[test]
    fn a_schema_survives_the_trip_through_its_json() {
        let json = r#"[{"name": "s", "type": "STRUCT", "mode": "REPEATED", "fields": [
            {"name": "n", "type": "NUMERIC", "precision": 10, "scale": "2", "description": "d"},
            {"name": "t", "type": "STRING", "maxLength": "7", "policyTags": {"names": ["x"]}}]}]"#;
        let schema = parse(json).expect("a schema");
        let text = serde_json::to_string(&schema).expect("JSON");
        assert_eq!(parse(&text).expect("a schema"), schema);
    }

    #[test]
    fn decimals_have_bounds() {
        for good in [r#""precision": 38, "scale": 9"#, r#""precision": 29"#, r#""precision": 1, "scale": 0"#] {
            assert_eq!(faults(&format!(r#"[{{"name": "a", "type": "NUMERIC", {good}}}]"#)), [""; 0], "{good}");
        }
        for bad in
            [r#""precision": 30"#, r#""scale": 2"#, r#""precision": 3, "scale": 4"#, r#""precision": 12, "scale": 10"#]
        {
            assert_eq!(faults(&format!(r#"[{{"name": "a", "type": "NUMERIC", {bad}}}]"#)).len(), 1, "{bad}");
        }
    }

    #[test]
    fn structs_are_nested_to_fifteen_levels() {
        let nested = |levels: usize| {
            let leaf = r#"{"name": "a", "type": "STRING"}"#.to_owned();
            let field =
                (0..levels).fold(leaf, |inner, _| format!(r#"{{"name": "a", "type": "STRUCT", "fields": [{inner}]}}"#));
            format!("[{field}]")
        };
        assert_eq!(faults(&nested(15)), [""; 0]);
        assert_eq!(faults(&nested(16)).len(), 1);
    }
}
