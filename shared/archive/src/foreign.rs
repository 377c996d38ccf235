//! Avro objects that Pipas did not write: those of Pub/Sub's Cloud Storage subscriptions
//! (<https://cloud.google.com/pubsub/docs/create-cloudstorage-subscription#avro>), with metadata and without, and those of
//! Dataflow's template "Pub/Sub to Avro Files on Cloud Storage" (`AvroPubsubMessageRecord`). They are told apart by their
//! fields, not by the names of their records, which tools that copy them change.

use std::{collections::BTreeMap, io::Read};

use apache_avro::{Reader, Schema, types::Value};
use event::{Bytes, Timestamp};

use crate::reader::{ORDERING_KEY, ReadError, read};

/// What the records of a foreign object hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{subscription_name, message_id, publish_time, attributes, data}`; Pipas's own objects are of this form too.
    WithMetadata,
    /// `{data}`: a message without its id, its time and its attributes.
    DataOnly,
    /// `{message, attributes, timestamp}`: a message without its id; the time is in milliseconds, or in microseconds where it is too
    /// large for those.
    Dataflow,
}

/// A message, as far as its object tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignRecord {
    /// Pub/Sub's id of the message.
    pub message_id: Option<String>,
    /// When it was published; in Dataflow's form the time of its element, which is that where nobody set another.
    pub publish_time: Option<Timestamp>,
    /// The ordering key; empty where there is none.
    pub ordering_key: String,
    /// Every attribute.
    pub attributes: BTreeMap<String, String>,
    /// The data, byte for byte.
    pub data: Bytes,
}

/// The records of a foreign object, in the order in which they were written. After an error there are no more.
pub struct ForeignRecords<R: Read> {
    reader: Reader<'static, R>,
    form: Form,
    has_failed: bool,
}

impl Form {
    const FORMS: [(Self, &[&str]); 3] = [
        (Self::WithMetadata, &["message_id", "publish_time", "attributes", "data"]),
        (Self::Dataflow, &["message", "attributes", "timestamp"]),
        (Self::DataOnly, &["data"]),
    ];

    fn of(schema: &Schema) -> Result<Self, ReadError> {
        let found: Vec<&str> = match schema {
            Schema::Record(record) => record.fields.iter().map(|field| field.name.as_str()).collect(),
            _ => Vec::new(),
        };
        let is_it = |(form, fields): &&(Self, &[&str])| {
            fields.iter().all(|field| found.contains(field)) && (*form != Self::DataOnly || found.len() == 1)
        };
        let form = Self::FORMS.iter().find(is_it).map(|(form, _)| *form);
        form.ok_or_else(|| ReadError::UnknownForm { fields: found.join(", ") })
    }
}

impl<R: Read> ForeignRecords<R> {
    /// Reads the header of `object`.
    pub fn new(object: R) -> Result<Self, ReadError> {
        let reader = Reader::new(object).map_err(read)?;
        let form = Form::of(reader.writer_schema())?;
        Ok(Self { reader, form, has_failed: false })
    }

    /// What the records hold.
    pub fn form(&self) -> Form {
        self.form
    }
}

impl<R: Read> Iterator for ForeignRecords<R> {
    type Item = Result<ForeignRecord, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let record = self.reader.next()?.map_err(read).and_then(|value| Fields::of(value)?.record(self.form));
        self.has_failed = record.is_err();
        Some(record)
    }
}

/// The fields of one record by name.
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn of(value: Value) -> Result<Self, ReadError> {
        match value {
            Value::Record(fields) => Ok(Self(fields)),
            _ => Err(ReadError::UnknownForm { fields: String::new() }),
        }
    }

    fn record(mut self, form: Form) -> Result<ForeignRecord, ReadError> {
        let (data, message_id, publish_time) = match form {
            Form::WithMetadata => {
                let time = self.time("publish_time", |_| Unit::Micros)?;
                ("data", Some(self.text("message_id")?), Some(time))
            }
            Form::DataOnly => ("data", None, None),
            Form::Dataflow => ("message", None, Some(self.time("timestamp", Unit::by_size)?)),
        };
        let data = match self.take(data) {
            Some(Value::Bytes(bytes)) => Bytes::from(bytes),
            Some(Value::String(text)) => Bytes::from(text),
            // A message may be of attributes alone.
            Some(Value::Null) => Bytes::new(),
            _ => return Err(unexpected(data, "bytes")),
        };
        let mut attributes = match self.take("attributes") {
            Some(Value::Map(map)) => map
                .into_iter()
                .filter(|(_, value)| !is_null(value))
                .map(|(name, value)| Ok((name, string(value).ok_or_else(|| unexpected("attributes", "strings"))?)))
                .collect::<Result<BTreeMap<_, _>, ReadError>>()?,
            Some(Value::Null) | None => BTreeMap::new(),
            Some(_) => return Err(unexpected("attributes", "a map of strings")),
        };
        let ordering_key = match self.take(ORDERING_KEY) {
            Some(Value::Null) => String::new(),
            Some(key) => string(key).ok_or_else(|| unexpected(ORDERING_KEY, "a string"))?,
            // Pub/Sub puts it among the attributes.
            None if form == Form::WithMetadata => attributes.remove(ORDERING_KEY).unwrap_or_default(),
            None => String::new(),
        };
        Ok(ForeignRecord { message_id, publish_time, ordering_key, attributes, data })
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let (_, value) = self.0.iter_mut().find(|(field, _)| field == name)?;
        Some(match std::mem::replace(value, Value::Null) {
            Value::Union(_, value) => *value,
            value => value,
        })
    }

    fn text(&mut self, name: &'static str) -> Result<String, ReadError> {
        self.take(name).and_then(string).ok_or_else(|| unexpected(name, "a string"))
    }

    /// A time by its logical type, else in the unit that `bare` says of the number. A local one is taken for UTC.
    fn time(&mut self, name: &'static str, bare: fn(i64) -> Unit) -> Result<Timestamp, ReadError> {
        let time = match self.take(name) {
            Some(Value::TimestampMillis(time) | Value::LocalTimestampMillis(time)) => Unit::Millis.time(time),
            Some(Value::TimestampMicros(time) | Value::LocalTimestampMicros(time)) => Unit::Micros.time(time),
            Some(Value::TimestampNanos(time) | Value::LocalTimestampNanos(time)) => Unit::Nanos.time(time),
            Some(Value::Long(time)) => bare(time).time(time),
            _ => return Err(unexpected(name, "a time")),
        };
        time.ok_or_else(|| unexpected(name, "a time that a clock can show"))
    }
}

/// What a time is counted in.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// Dataflow's template writes milliseconds, and tools that read its objects write microseconds: 10^14 milliseconds would be
    /// the year 5138, and as many microseconds are 1973.
    fn by_size(time: i64) -> Self {
        const MICROS: u64 = 100_000_000_000_000;
        if time.unsigned_abs() < MICROS { Self::Millis } else { Self::Micros }
    }

    fn time(self, time: i64) -> Option<Timestamp> {
        let time = match self {
            Self::Millis => Timestamp::from_millisecond(time),
            Self::Micros => Timestamp::from_microsecond(time),
            // BigQuery and Pub/Sub know microseconds.
            Self::Nanos => Timestamp::from_microsecond(time.div_euclid(1_000)),
        };
        time.ok()
    }
}

fn is_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Union(_, value) => is_null(value),
        _ => false,
    }
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Union(_, value) => string(*value),
        _ => None,
    }
}

fn unexpected(field: &'static str, expected: &'static str) -> ReadError {
    ReadError::Field { field, expected }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A sample that `tests/python/make_foreign_archives.py` made with fastavro, which shares no code with Pipas.
    fn sample(name: &str) -> (Form, Vec<ForeignRecord>) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name);
        let file = std::fs::File::open(path).expect("a sample");
        let records = ForeignRecords::new(std::io::BufReader::new(file)).expect("a header");
        (records.form(), records.collect::<Result<_, _>>().expect("records"))
    }

    fn event(at: usize) -> Bytes {
        format!(
            r#"{{"event_id":"foreign-{at}","timestamp":"2024-02-01T10:00:0{at}Z","data":{{"n":{at}}},"metadata":{{"source":"elsewhere","version":"1"}}}}"#
        )
        .into()
    }

    #[test]
    fn pub_subs_own_objects_with_metadata() {
        for (name, micros) in [
            ("pubsub-metadata.avro", "000123"),
            ("pubsub-metadata-deflate.avro", "000123"),
            ("pubsub-metadata-snappy.avro", "000123"),
            ("pubsub-metadata-zstd.avro", "000123"),
            ("pubsub-metadata-unions.avro", "000123"),
            ("pubsub-metadata-bare.avro", "000123"),
            ("pubsub-metadata-nanos.avro", "000123"),
            ("pubsub-metadata-local.avro", "000123"),
            ("pubsub-metadata-millis.avro", "000"),
        ] {
            let (form, records) = sample(name);
            assert_eq!((form, records.len()), (Form::WithMetadata, 3), "{name}");
            let expected = ForeignRecord {
                message_id: Some("10000000000000001".into()),
                publish_time: Some(format!("2024-02-01T10:00:01.{micros}Z").parse().expect("a time")),
                ordering_key: "order-1".into(),
                attributes: BTreeMap::from([("team".into(), "a".into())]),
                data: event(1),
            };
            assert_eq!(records[1], expected, "{name}");
            assert_eq!((records[0].ordering_key.as_str(), records[0].attributes.len()), ("", 0), "{name}");
        }
    }

    #[test]
    fn what_is_null_is_not_there() {
        let (form, records) = sample("pubsub-metadata-nulls.avro");
        assert_eq!((form, records.len()), (Form::WithMetadata, 3));
        assert_eq!(records[0].attributes, BTreeMap::from([("team".into(), "b".into())]), "an attribute");
        assert_eq!((records[1].attributes.len(), &records[1].data), (0, &event(1)), "all of them");
        assert_eq!((records[2].data.len(), records[2].ordering_key.as_str()), (0, ""), "the data");
        let (form, records) = sample("dataflow-nulls.avro");
        assert_eq!((form, records.len()), (Form::Dataflow, 3));
        assert_eq!((records[0].data.len(), &records[1].data), (0, &event(1)));
    }

    #[test]
    fn pub_subs_own_objects_without_metadata() {
        let (form, records) = sample("pubsub-data.avro");
        assert_eq!((form, records.len()), (Form::DataOnly, 3));
        let expected = ForeignRecord {
            message_id: None,
            publish_time: None,
            ordering_key: String::new(),
            attributes: BTreeMap::new(),
            data: event(2),
        };
        assert_eq!(records[2], expected);
    }

    #[test]
    fn objects_of_dataflows_template() {
        let expected = ForeignRecord {
            message_id: None,
            publish_time: Some("2024-02-01T10:00:02.002Z".parse().expect("a time")),
            ordering_key: String::new(),
            attributes: BTreeMap::from([("team".into(), "b".into())]),
            data: event(2),
        };
        for name in ["dataflow.avro", "dataflow-micros.avro", "dataflow-millis.avro"] {
            let (form, records) = sample(name);
            assert_eq!((form, records.len()), (Form::Dataflow, 3), "{name}");
            assert_eq!(records[2], expected, "{name}");
        }
    }

    #[test]
    fn another_schema_is_named() {
        let schema = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"data","type":"bytes"}]}"#;
        let schema = Schema::parse_str(schema).expect("a schema");
        let file = apache_avro::Writer::new(&schema, Vec::new()).expect("a writer").into_inner().expect("a file");
        let error = ForeignRecords::new(file.as_slice()).err().expect("an error").to_string();
        assert!(error.contains("id, data"), "{error}");
    }
}
