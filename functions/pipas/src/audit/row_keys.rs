//! The keys of an upsert table's rows, by their values as the loader writes them.

use anyhow::Context;
use catalog::{Delivery, Field, Mode, Table, TableSchema, UnknownFields};
use rows::RowEncoder;
use serde_json::Value;

use super::identity::{Key, row_key};

/// Reads the key columns of one upsert table: of events as they were sent, and of rows as BigQuery tells them. Both go through
/// the loader's own encoder, so that one value is one key however it was written: `7` and `"007"`, `2024-2-1` and `2024-02-01`.
#[derive(Debug)]
pub(super) struct RowKeys {
    table: String,
    columns: Vec<String>,
    encoder: RowEncoder,
}

impl RowKeys {
    /// Those of `table`; `None`: it is no upsert table.
    pub(super) fn of(table: &Table) -> anyhow::Result<Option<Self>> {
        let Delivery::Upsert(upsert) = &table.delivery else { return Ok(None) };
        let field = |column: &String| {
            let field = table.schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(column));
            field.with_context(|| format!("{} has no key column {column}", table.name))
        };
        // The row of a table that takes NULL there, whatever its catalog says, has a key too.
        let nullable = |field: &Field| Field { mode: Mode::Nullable, ..field.clone() };
        let fields: Vec<Field> =
            upsert.key.iter().map(|column| field(column).map(nullable)).collect::<anyhow::Result<_>>()?;
        Ok(Some(Self {
            table: table.name.to_string(),
            columns: fields.iter().map(|field| field.name.clone()).collect(),
            encoder: RowEncoder::new(&TableSchema { fields }, UnknownFields::Ignore)?,
        }))
    }

    /// The key columns, in order.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The key of the row that `json` makes; `None` where a key column does not take its value: that is no row.
    pub(super) fn of_event(&self, json: &[u8]) -> Option<Key> {
        let mut row = Vec::new();
        self.encoder.encode(json, &mut row).ok()?;
        let row = self.encoder.to_json(&row);
        let values: Vec<&Value> = self.columns.iter().map(|column| row.get(column).unwrap_or(&Value::Null)).collect();
        Some(row_key(&self.table, &values))
    }

    /// The key of the row whose key columns have these values, as BigQuery writes them as text.
    pub(super) fn of_row(&self, values: &[Option<&str>]) -> Option<Key> {
        let row: serde_json::Map<String, Value> =
            self.columns.iter().cloned().zip(values.iter().map(|value| Value::from(*value))).collect();
        self.of_event(Value::Object(row).to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use catalog::{FieldType, TableName, Upsert};

    use super::*;

    fn keys(columns: &[(&str, FieldType)]) -> RowKeys {
        let fields = columns.iter().map(|(name, of)| Field::new(name, *of, Mode::Required)).collect();
        let key = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let table = Table {
            name: TableName { dataset: "d".into(), table: "t".into() },
            schema: TableSchema { fields },
            delivery: Delivery::Upsert(Upsert { key, sequence: None }),
            ..catalog::dead_letters_table()
        };
        RowKeys::of(&table).expect("keys").expect("an upsert table")
    }

    #[test]
    fn a_value_is_one_key_however_it_was_sent_and_whatever_the_type() {
        use FieldType::{Bignumeric, Boolean, Date, Datetime, Integer, Numeric, String, Timestamp};
        for (of, sent, told) in [
            (String, &["7", "\"7\"", "7.0"][..], "7"),
            (Integer, &["7", "\"007\"", "7.0", "\"+7\""], "7"),
            (Boolean, &["true", "\"TRUE\""], "true"),
            (Numeric, &["1.5", "\"1.50\"", "15e-1", "\"+1.5\""], "1.5"),
            (Bignumeric, &["100", "\"1e2\"", "\"100.000\""], "100"),
            (Date, &["\"2024-2-1\"", "\"2024-02-01\""], "2024-02-01"),
            (Datetime, &["\"2024-2-1T1:2:3.5\"", "\"2024-02-01 01:02:03.500\""], "2024-02-01 01:02:03.500"),
            (
                Timestamp,
                &["1706781886.5", "\"2024-02-01T12:04:46.5+02:00\"", "\"2024-02-01 10:04:46.500 UTC\""],
                "2024-02-01 10:04:46.5+00",
            ),
        ] {
            let keys = keys(&[("id", of)]);
            let row = keys.of_row(&[Some(told)]).expect("a key");
            for sent in sent {
                let event = keys.of_event(format!(r#"{{"more":[1],"ID":{sent}}}"#).as_bytes());
                assert_eq!(event, Some(row), "{} {sent}", of.sql_name());
            }
            assert_ne!(keys.of_event(b"{}"), Some(row), "{}", of.sql_name());
        }
    }

    #[test]
    fn columns_stand_in_the_keys_order_and_what_does_not_fit_is_no_row() {
        let keys = keys(&[("a", FieldType::Integer), ("b", FieldType::String)]);
        let one = keys.of_event(br#"{"b":"2","a":1}"#);
        assert!(one.is_some() && one == keys.of_row(&[Some("1"), Some("2")]));
        assert_ne!(one, keys.of_event(br#"{"b":"1","a":2}"#));
        assert_eq!(keys.of_event(br#"{"a":"x","b":"2"}"#), None);
    }
}
