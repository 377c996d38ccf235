//! One value of a query's result, as people and as programs read it.

use anyhow::{Context, bail};
use jiff::{SignedDuration, civil::DateTime};
use serde::{
    Deserialize, Serialize,
    ser::{SerializeMap, Serializer},
};
use serde_json::{Value, value::RawValue};

/// A column of a query's result.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    #[serde(rename = "type")]
    column_type: String,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    fields: Vec<Column>,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    /// INT64 and FLOAT64, as written.
    Number(String),
    /// In UTC. BigQuery's last day is beyond jiff's timestamps.
    Timestamp(DateTime),
    /// JSON text.
    Json(Box<RawValue>),
    /// Every other scalar.
    Text(String),
    Array(Vec<Cell>),
    Struct(Vec<(String, Cell)>),
}

impl Column {
    /// Reads a value of this column from BigQuery's `{"v": …}`.
    pub(crate) fn read(&self, value: &Value) -> anyhow::Result<Cell> {
        if value.is_null() {
            return Ok(Cell::Null);
        }
        if self.mode.as_deref() != Some("REPEATED") {
            return self.read_one(value).with_context(|| format!("column {}", self.name));
        }
        let elements = value.as_array().with_context(|| format!("column {}: no array: {value}", self.name))?;
        Ok(Cell::Array(elements.iter().map(|element| self.read_one(&element["v"])).collect::<anyhow::Result<_>>()?))
    }

    fn read_one(&self, value: &Value) -> anyhow::Result<Cell> {
        if matches!(self.column_type.as_str(), "RECORD" | "STRUCT") {
            let values = value["f"].as_array().with_context(|| format!("no STRUCT: {value}"))?;
            let fields = self.fields.iter().zip(values);
            let fields = fields.map(|(field, value)| Ok((field.name.clone(), field.read(&value["v"])?)));
            return Ok(Cell::Struct(fields.collect::<anyhow::Result<_>>()?));
        }
        let text = match value {
            Value::Null => return Ok(Cell::Null),
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => bail!("no scalar: {value}"),
        };
        Ok(match self.column_type.as_str() {
            "BOOLEAN" | "BOOL" => Cell::Bool(text == "true"),
            "INTEGER" | "INT64" | "FLOAT" | "FLOAT64" => Cell::Number(text),
            "TIMESTAMP" => Cell::Timestamp(
                DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(SignedDuration::from_micros(text.parse()?))?,
            ),
            "JSON" => Cell::Json(RawValue::from_string(text)?),
            _ => Cell::Text(text),
        })
    }
}

impl Cell {
    /// The value as a table or a CSV field shows it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) | Self::Text(text) => text.clone(),
            Self::Timestamp(time) => time.strftime("%F %T%.f UTC").to_string(),
            Self::Json(json) => json.get().to_owned(),
            Self::Array(_) | Self::Struct(_) => serde_json::to_string(self).unwrap_or_default(),
        }
    }

    /// Whether people expect it at the right edge of its column.
    pub(crate) const fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(text) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(integer), _) => serializer.serialize_i64(integer),
                (_, Ok(float)) if float.is_finite() => serializer.serialize_f64(float),
                _ => serializer.serialize_str(text),
            },
            Self::Timestamp(time) => serializer.collect_str(&format_args!("{time}Z")),
            Self::Json(json) => json.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(elements) => elements.serialize(serializer),
            Self::Struct(fields) => {
                serialize_fields(fields.iter().map(|(name, cell)| (name.as_str(), cell)), serializer)
            }
        }
    }
}

/// An object whose members keep their order.
pub(crate) fn serialize_fields<'a, S: Serializer>(
    fields: impl Iterator<Item = (&'a str, &'a Cell)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (name, cell) in fields {
        map.serialize_entry(name, cell)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn column(json: Value) -> Column {
        serde_json::from_value(json).expect("a column")
    }

    #[test]
    fn nested_values_keep_their_shape() {
        let items = column(json!({"name": "items", "type": "RECORD", "mode": "REPEATED", "fields": [
            {"name": "id", "type": "INTEGER"}, {"name": "at", "type": "TIMESTAMP"}, {"name": "more", "type": "JSON"}]}));
        let value =
            json!([{"v": {"f": [{"v": "9007199254740993"}, {"v": "1706781886000000"}, {"v": "{\"b\":1,\"a\":2}"}]}}]);
        let cell = items.read(&value).expect("a cell");
        let expected = r#"[{"id":9007199254740993,"at":"2024-02-01T10:04:46Z","more":{"b":1,"a":2}}]"#;
        assert_eq!(cell.text(), expected);
    }

    #[test]
    fn timestamps_read_as_bigquery_prints_them() {
        let at = column(json!({"name": "at", "type": "TIMESTAMP"}));
        assert_eq!(at.read(&json!("1706781886500000")).expect("a cell").text(), "2024-02-01 10:04:46.5 UTC");
        for (micros, text, json) in [
            ("-62135596800000000", "0001-01-01 00:00:00 UTC", "0001-01-01T00:00:00Z"),
            ("-1", "1969-12-31 23:59:59.999999 UTC", "1969-12-31T23:59:59.999999Z"),
            ("253402300799999999", "9999-12-31 23:59:59.999999 UTC", "9999-12-31T23:59:59.999999Z"),
        ] {
            let cell = at.read(&json!(micros)).expect("a cell");
            assert_eq!((cell.text(), serde_json::to_value(&cell).expect("JSON")), (text.to_owned(), json!(json)));
        }
        assert!(at.read(&json!("soon")).is_err());
    }
}
