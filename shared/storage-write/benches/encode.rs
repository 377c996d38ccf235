//! JSON to protobuf rows: [`RowEncoder`] beside prost-reflect's `DynamicMessage`, and beside parsing alone.

use std::hint::black_box;

use catalog::{TableSchema, UnknownFields};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _};
use prost_types::FileDescriptorProto;
use serde_json::Value;
use storage_write::RowEncoder;

/// A chat message, as the stream `courier-chat` carries it. Times are what prost-reflect can take too: both sides write the
/// same columns.
const CONVERSATION: (&str, &str) = (
    r#"[{"name":"senderAppType","type":"STRING"},{"name":"courierId","type":"INTEGER"},{"name":"fromId","type":"INTEGER"},
        {"name":"toId","type":"INTEGER"},{"name":"chatStartedByMessage","type":"BOOLEAN"},{"name":"orderId","type":"INTEGER"},
        {"name":"orderStage","type":"STRING"},{"name":"customerId","type":"INTEGER"},
        {"name":"messageSentTime","type":"TIMESTAMP"}]"#,
    r#"{"senderAppType": "Courier Android", "courierId": 45035010, "fromId": 45035010, "toId": 57270753, "chatStartedByMessage": true, "orderId": 77656162, "orderStage": "AWAITING_PICKUP", "customerId": 57270753, "messageSentTime": "2024-02-01T10:04:46Z"}"#,
);

/// An order with its lines: STRUCTs, ARRAYs, decimals, text with escapes.
const ORDER: (&str, &str) = (
    r#"[{"name":"event_id","type":"STRING","mode":"REQUIRED"},{"name":"event_type","type":"STRING"},
        {"name":"occurred_at","type":"TIMESTAMP"},{"name":"order_id","type":"INTEGER"},{"name":"total","type":"NUMERIC"},
        {"name":"currency","type":"STRING"},{"name":"paid","type":"BOOLEAN"},{"name":"note","type":"STRING"},
        {"name":"weight","type":"FLOAT"},{"name":"tags","type":"STRING","mode":"REPEATED"},
        {"name":"customer","type":"RECORD","fields":[{"name":"id","type":"INTEGER"},{"name":"name","type":"STRING"},
            {"name":"email","type":"STRING"},{"name":"address","type":"RECORD","fields":[{"name":"street","type":"STRING"},
                {"name":"city","type":"STRING"},{"name":"zip","type":"STRING"},{"name":"lat","type":"FLOAT"},
                {"name":"lon","type":"FLOAT"}]}]},
        {"name":"items","type":"RECORD","mode":"REPEATED","fields":[{"name":"sku","type":"STRING"},
            {"name":"title","type":"STRING"},{"name":"quantity","type":"INTEGER"},{"name":"price","type":"NUMERIC"},
            {"name":"options","type":"STRING","mode":"REPEATED"}]}]"#,
    r#"{"event_id":"0190b2a4-7a9c-7cc3-98c4-dc0c0c07398f","event_type":"order","occurred_at":"2024-02-01T10:04:46.123456Z",
        "order_id":77656162,"total":"1234.56","currency":"EUR","paid":true,"note":"Ring twice,\nthen \"wait\" at the door",
        "weight":12.75,"tags":["express","gift","repeat-customer"],
        "customer":{"id":57270753,"name":"Ada Lovelace","email":"ada@example.com","address":{"street":"Via Appia Nuova 12",
            "city":"Roma","zip":"00183","lat":41.88234,"lon":12.51139}},
        "items":[{"sku":"A-1001","title":"Espresso cups, set of six","quantity":1,"price":"39.90","options":["white","gift wrap"]},
            {"sku":"B-2002","title":"Moka pot","quantity":2,"price":"29.95","options":[]},
            {"sku":"C-3003","title":"Ground coffee 250 g","quantity":12,"price":"6.49","options":["dark roast"]},
            {"sku":"D-4004","title":"Sugar bowl","quantity":1,"price":"18.00","options":["white"]}]}"#,
);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, (schema, json)) in [("conversation", CONVERSATION), ("order", ORDER)] {
        let schema: TableSchema = serde_json::from_str(schema).expect("a schema");
        let encoder = RowEncoder::new(&schema.with_pipas_columns(), UnknownFields::Capture).expect("an encoder");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(json.len() as u64));
        compare(&mut group, &encoder, json.as_bytes());
        group.finish();
    }
    criterion.final_summary();
}

fn compare(group: &mut BenchmarkGroup<'_, WallTime>, encoder: &RowEncoder, json: &[u8]) {
    let mut row = Vec::with_capacity(4096);
    group.bench_function("row_encoder", |bencher| {
        bencher.iter(|| {
            row.clear();
            encoder.encode(black_box(json), &mut row).expect("a row");
            black_box(&row);
        });
    });
    let descriptor = message_descriptor(encoder);
    let mut row = Vec::with_capacity(4096);
    group.bench_function("dynamic_message", |bencher| {
        bencher.iter(|| {
            row.clear();
            let json: Value = serde_json::from_slice(black_box(json)).expect("JSON");
            let message = dynamic(&descriptor, &json);
            prost::Message::encode(&message, &mut row).expect("a row");
            black_box(&row);
        });
    });
    group.bench_function("serde_json_value", |bencher| {
        bencher.iter(|| serde_json::from_slice::<Value>(black_box(json)).expect("JSON"));
    });
}

fn message_descriptor(encoder: &RowEncoder) -> MessageDescriptor {
    let file = FileDescriptorProto {
        name: Some("row.proto".into()),
        message_type: vec![encoder.descriptor().clone()],
        ..FileDescriptorProto::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).expect("a descriptor");
    pool.get_message_by_name("Row").expect("the row")
}

/// The usual way: look each field up by its name, convert by its kind.
fn dynamic(descriptor: &MessageDescriptor, json: &Value) -> DynamicMessage {
    use prost_reflect::{Kind, Value as Field};
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, value) in json.as_object().into_iter().flatten() {
        let Some(field) = message.descriptor().get_field_by_name(name) else { continue };
        let convert = |value: &Value| match field.kind() {
            Kind::Message(nested) => Field::Message(dynamic(&nested, value)),
            Kind::Int64 => Field::I64(match value {
                Value::String(text) => text.parse::<jiff::Timestamp>().expect("a time").as_microsecond(),
                value => value.as_i64().expect("a number"),
            }),
            Kind::Double => Field::F64(value.as_f64().expect("a number")),
            Kind::Bool => Field::Bool(value.as_bool().expect("a boolean")),
            _ => Field::String(value.as_str().expect("text").to_owned()),
        };
        let value = match value {
            Value::Array(elements) => Field::List(elements.iter().map(convert).collect()),
            value => convert(value),
        };
        message.set_field(&field, value);
    }
    message
}
