//! `pipas schema infer`: a schema in BigQuery's JSON format, from sample events.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use catalog::{Catalog, Field, Probe, Stream};
use clap::Args;
use serde_json::{Map, Value, json};
use shape::{Part, Shape};

use super::kind::Object;
use crate::samples;

/// Propose a schema from sample events
///
/// Types are widened until they hold every sample: integers and other numbers are FLOAT64, whatever else differs is STRING,
/// and what is sometimes an object or an array is JSON. Texts that are dates or times in all samples are DATE, TIME, DATETIME
/// (without a zone) or TIMESTAMP. Names that BigQuery does not take are left out and told: their values stay in `extra`.
///
/// With --stream documents are cut, looked up and filtered as the stream does, with the attributes in NAME.attributes.json
/// beside NAME.json. What is printed of a stream with one table is that table's schema file; of others one schema by table.
#[derive(Debug, Default, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct InferArgs {
    /// Sample events: one object, an array of them, or one on each line
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Shape and route the samples as this stream does, and propose a schema for each of its tables
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Of the stream's tables only this one, by its key in the catalog
    #[arg(long, value_name = "KEY", requires = "stream")]
    table: Option<String>,
    /// Columns that have a value in every sample are REQUIRED
    #[arg(long)]
    required: bool,
    /// The catalog, where a stream is named. A stream that it does not have takes all samples into one schema
    #[arg(long, env = "PIPAS_CATALOG", default_value = "pipas.yaml", value_name = "FILE")]
    catalog: PathBuf,
}

/// The key of what no table takes.
const NO_ROUTE: &str = "no_route";

pub(super) fn infer(args: &InferArgs) -> anyhow::Result<ExitCode> {
    let catalog = match &args.stream {
        Some(_) => Some(Catalog::load(&args.catalog)?),
        None => None,
    };
    let stream = catalog.as_ref().zip(args.stream.as_ref()).and_then(|(catalog, name)| catalog.streams.get(name));
    let inferred = propose(args, stream)?;
    if !inferred.odd.is_empty() {
        eprintln!("left out, as BigQuery takes no such column names: {}", inferred.odd.join(", "));
    }
    if inferred.unrouted > 0 {
        eprintln!("no table takes {} of the samples", inferred.unrouted);
    }
    println!("{}", serde_json::to_string_pretty(&inferred.printed)?);
    Ok(ExitCode::SUCCESS)
}

/// What samples propose.
#[derive(Debug)]
struct Inferred {
    /// A schema, or one for each table.
    printed: Value,
    /// Names that are no columns'.
    odd: Vec<String>,
    /// Samples that are not in `printed`, as no table takes them.
    unrouted: usize,
}

fn propose(args: &InferArgs, stream: Option<&Stream>) -> anyhow::Result<Inferred> {
    let probe = stream.map(Probe::new);
    let shape = stream.and_then(Shape::new);
    let mut tables: BTreeMap<String, Object> = BTreeMap::new();
    let mut unrouted = 0;
    for file in &args.files {
        let attributes = samples::attributes_beside(file)?;
        for (line, sample) in samples::shaped(file, shape.as_ref(), &attributes)? {
            let place = || format!("{}:{line}", file.display());
            let Part { event, left_out, .. } = sample.with_context(place)?;
            if left_out.is_some() {
                continue;
            }
            let object: Map<String, Value> =
                serde_json::from_slice(&event).with_context(|| format!("{}: expected a JSON object", place()))?;
            let table = match (&probe, stream) {
                (Some(probe), Some(stream)) => {
                    let probed = probe.scan(&event).with_context(place)?;
                    probed.route(stream, &attributes).map(|table| table.key.clone()).unwrap_or_else(|| {
                        unrouted += 1;
                        NO_ROUTE.to_owned()
                    })
                }
                _ => String::new(),
            };
            tables.entry(table).or_default().take(&object);
        }
    }
    // A stream of one table has one schema, and what is printed is that table's file.
    let routed: Vec<&str> = stream.map_or_else(Vec::new, |stream| {
        stream.tables.iter().filter(|table| !table.is_raw).map(|table| table.key.as_str()).collect()
    });
    let wanted = args.table.as_deref().or(match routed.as_slice() {
        [only] => Some(*only),
        _ => None,
    });
    match wanted {
        Some(wanted) => tables.retain(|table, _| table == wanted),
        None => unrouted = 0,
    }
    let mut odd = Vec::new();
    let mut schemas: Vec<(String, Vec<Field>)> =
        tables.into_iter().map(|(table, seen)| (table, seen.fields(args.required, &mut odd))).collect();
    let printed = match (schemas.len(), wanted) {
        (0, Some(table)) => bail!("no sample to propose a schema from: the table `{table}` takes none of them"),
        (0, None) => bail!("no sample to propose a schema from"),
        (1, _) if stream.is_none() || wanted.is_some() => json!(schemas.remove(0).1),
        _ => Value::Object(schemas.into_iter().map(|(table, fields)| (table, json!(fields))).collect()),
    };
    Ok(Inferred { printed, odd, unrouted })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use catalog::{TableSchema, UnknownFields};
    use proptest::prelude::*;
    use rows::RowEncoder;

    use super::*;

    fn fields(samples: &[Value], required: bool) -> Vec<Field> {
        let mut seen = Object::default();
        samples.iter().for_each(|sample| seen.take(sample.as_object().expect("an object")));
        seen.fields(required, &mut Vec::new())
    }

    fn types(samples: &[Value]) -> String {
        let of = |field: &Field| format!("{}:{:?}:{:?}", field.name, field.field_type, field.mode);
        fields(samples, false).iter().map(of).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn types_are_widened_over_all_samples() {
        for (samples, expected) in [
            (vec![json!({"a": 1}), json!({"a": null}), json!({"a": 2})], "a:Integer:Nullable"),
            (vec![json!({"a": 1}), json!({"A": 2.5})], "a:Float:Nullable"),
            (vec![json!({"a": u64::MAX}), json!({"a": 1})], "a:Numeric:Nullable"),
            (vec![json!({"a": 1}), json!({"a": "x"})], "a:String:Nullable"),
            (vec![json!({"a": true})], "a:Boolean:Nullable"),
            (
                vec![json!({"a": "2024-02-01T10:00:00Z"}), json!({"a": "2024-02-01T10:00:00+02:00"})],
                "a:Timestamp:Nullable",
            ),
            (vec![json!({"a": "2024-02-01T10:00:00"})], "a:Datetime:Nullable"),
            (vec![json!({"a": "2024-02-01"})], "a:Date:Nullable"),
            (vec![json!({"a": "10:04:46"})], "a:Time:Nullable"),
            (vec![json!({"a": "2024-02-01"}), json!({"a": "soon"})], "a:String:Nullable"),
            (vec![json!({"a": [1, 2]}), json!({"a": []})], "a:Integer:Repeated"),
            (vec![json!({"a": [1]}), json!({"a": 1})], "a:Json:Nullable"),
            (vec![json!({"a": [[1]]})], "a:Json:Nullable"),
            (vec![json!({"a": {}})], "a:Json:Nullable"),
            (vec![json!({"a": {"b-c": 1}})], "a:Json:Nullable"),
            (vec![json!({"a": {"b": 1}}), json!({"a": 1})], "a:Json:Nullable"),
            (vec![json!({"a": [{"b": 1}]})], "a:Record:Repeated"),
            (vec![json!({"a": null})], "a:String:Nullable"),
            (vec![json!({"a-b": 1, "ingest": 2, "c": 3})], "c:Integer:Nullable"),
        ] {
            assert_eq!(types(&samples), expected, "{samples:?}");
        }
    }

    #[test]
    fn columns_are_required_only_when_asked_for() {
        use catalog::Mode::{Nullable, Required};
        let samples = [json!({"a": 1, "b": {"c": 1}}), json!({"a": 2, "b": {"c": null}})];
        let modes = |required| {
            let fields = fields(&samples, required);
            (fields[0].mode, fields[1].mode, fields[1].fields[0].mode)
        };
        assert_eq!(modes(true), (Required, Required, Nullable));
        assert_eq!(modes(false), (Nullable, Nullable, Nullable));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from),
            Just(json!("2024-02-01")),
            Just(json!("2024-02-01T10:00:00Z")),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_inferred_takes_every_sample(
            samples in proptest::collection::vec(proptest::collection::btree_map("[a-e]", value(), 1..4), 1..5),
            required: bool,
        ) {
            let samples: Vec<Value> = samples.into_iter().map(|map| Value::Object(map.into_iter().collect())).collect();
            let schema = TableSchema { fields: fields(&samples, required) }.with_pipas_columns();
            let encoder = RowEncoder::new(&schema, UnknownFields::Reject).expect("an encoder");
            for sample in samples {
                let json = sample.to_string();
                let mut row = Vec::new();
                prop_assert_eq!(encoder.encode(json.as_bytes(), &mut row), Ok(()), "{} by {:?}", json, schema.fields);
            }
        }
    }

    /// What is proposed from `sample`, beside which `attributes` stand, for the only stream of a catalog.
    fn proposed(settings: &str, sample: &str, attributes: &str) -> Inferred {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        write("s.json", r#"[{"name": "id", "type": "STRING"}]"#);
        write("stops.csv", "stop_id,name\nA1,One\n");
        write("pipas.yaml", &format!("streams:\n  transit:\n    {}\n", settings.replace('\n', "\n    ")));
        write("sample.json", sample);
        write("sample.attributes.json", attributes);
        let catalog = Catalog::load(&folder.path().join("pipas.yaml")).unwrap_or_else(|error| panic!("{error}"));
        let args = InferArgs { files: vec![folder.path().join("sample.json")], ..InferArgs::default() };
        propose(&args, catalog.streams.get("transit")).expect("a proposal")
    }

    fn columns(schema: &Value) -> BTreeSet<&str> {
        schema.as_array().expect("a schema").iter().filter_map(|field| field["name"].as_str()).collect()
    }

    #[test]
    fn samples_are_shaped_as_their_stream_does() {
        let settings = "tables: { t: { table: d.t, schema: s.json }, raw: { table: d.raw, raw: true } }
flatten: { at: /stops/*, carry: { trip: /trip } }
lookup: { stops: { file: stops.csv, key: stop_id, from: /stop_id, columns: { stop_name: name } } }
filter: { has: [/time] }";
        let sample = r#"{"trip":"t","stops":[{"stop_id":"A1","time":1},{"stop_id":"A2","gone":true}]}"#;
        let inferred = proposed(settings, sample, "{}");
        assert_eq!(columns(&inferred.printed), BTreeSet::from(["stop_id", "stop_name", "time", "trip"]));
        assert!(TableSchema::parse(&inferred.printed.to_string()).is_ok());
    }

    #[test]
    fn samples_are_routed_by_their_attributes() {
        let table = |name: &str| {
            format!("{name}: {{ table: d.{name}, schema: s.json, when: {{ attribute: {{ type: {name} }} }} }}")
        };
        let one = proposed(&format!("tables: {{ {} }}", table("a")), r#"{"n":1}"#, r#"{"type":"a"}"#);
        assert_eq!((columns(&one.printed), one.unrouted), (BTreeSet::from(["n"]), 0));
        let two = format!("tables: {{ {}, {} }}", table("a"), table("b"));
        let inferred = proposed(&two, r#"{"n":1}"#, r#"{"type":"b"}"#);
        assert_eq!(columns(&inferred.printed["b"]), BTreeSet::from(["n"]));
        let inferred = proposed(&two, r#"{"n":1}"#, "{}");
        assert_eq!(columns(&inferred.printed["no_route"]), BTreeSet::from(["n"]));
    }

    #[test]
    fn an_inferred_schema_is_one_that_a_catalog_takes() {
        let text = serde_json::to_string(&fields(&[json!({"a": {"b": [1.5]}})], true)).expect("JSON");
        assert!(TableSchema::parse(&text).is_ok(), "{text}");
    }
}
