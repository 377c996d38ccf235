//! Any row of any schema comes back from prost-reflect as it went in; no bytes make the encoder panic.

use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::{Field, FieldType, Mode, TableSchema, UnknownFields};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Map, Value, json};

use super::decode;
use crate::RowEncoder;

/// A value as an event writes it, and as prost-reflect reads it back.
type Written = (String, Value);

fn fields(depth: u32) -> BoxedStrategy<Vec<Field>> {
    vec(field(depth), 1..6)
        .prop_map(|mut fields| {
            for (index, field) in fields.iter_mut().enumerate() {
                field.name = format!("Column_{index}");
            }
            fields
        })
        .boxed()
}

fn field(depth: u32) -> BoxedStrategy<Field> {
    use FieldType::{
        Bignumeric, Boolean, Bytes, Date, Datetime, Float, Geography, Integer, Json, Numeric, String, Time, Timestamp,
    };
    let scalars = vec![
        String, Bytes, Integer, Float, Boolean, Numeric, Bignumeric, Date, Time, Datetime, Timestamp, Geography, Json,
    ];
    let mode = select(vec![Mode::Nullable, Mode::Required, Mode::Repeated]);
    let scalar = (select(scalars), mode.clone()).prop_map(|(field_type, mode)| Field::new("", field_type, mode));
    if depth == 0 {
        return scalar.boxed();
    }
    let record = (fields(depth - 1), mode).prop_map(|(fields, mode)| {
        let mut field = Field::new("", FieldType::Record, mode);
        field.fields = fields;
        field
    });
    prop_oneof![3 => scalar, 1 => record].boxed()
}

/// An object with a value for some of the columns at least: names in any case, members in any order.
fn object(fields: &[Field]) -> BoxedStrategy<Written> {
    let members: Vec<BoxedStrategy<Option<(String, String, Value)>>> = fields
        .iter()
        .map(|field| {
            let name = field.name.clone();
            let spelled =
                select(vec![name.clone(), name.to_uppercase(), name.to_lowercase(), format!("\\u0043{}", &name[1..])]);
            let member = (spelled, value(field)).prop_map(move |(spelled, (given, expected))| {
                Some((format!("\"{spelled}\":{given}"), name.clone(), expected))
            });
            if field.mode == Mode::Required {
                member.boxed()
            } else {
                prop_oneof![1 => Just(None), 4 => member].boxed()
            }
        })
        .collect();
    let shuffled = members.prop_map(|members| members.into_iter().flatten().collect::<Vec<_>>()).prop_shuffle();
    shuffled
        .prop_map(|members| {
            let text: Vec<String> = members.iter().map(|(text, ..)| text.clone()).collect();
            let present = members.into_iter().filter(|(_, _, expected)| !expected.is_null());
            let expected: Map<String, Value> = present.map(|(_, name, expected)| (name, expected)).collect();
            (format!("{{{}}}", text.join(" ,\n")), Value::Object(expected))
        })
        .boxed()
}

fn value(field: &Field) -> BoxedStrategy<Written> {
    let one = if field.field_type == FieldType::Record { object(&field.fields) } else { scalar(field.field_type) };
    let null = || Just(("null".to_owned(), Value::Null));
    match field.mode {
        Mode::Required => one,
        Mode::Nullable => prop_oneof![1 => null(), 5 => one].boxed(),
        Mode::Repeated => {
            let array = vec(one, 0..4).prop_map(|elements| {
                let (texts, values): (Vec<_>, Vec<_>) = elements.into_iter().unzip();
                // An empty array and none are one in protobuf.
                let values = if values.is_empty() { Value::Null } else { Value::Array(values) };
                (format!("[{}]", texts.join(",")), values)
            });
            prop_oneof![1 => null(), 5 => array].boxed()
        }
    }
}

/// As a number, or as a number in a string.
fn number_or_string(text: String) -> impl Strategy<Value = String> {
    select(vec![text.clone(), format!("\"{text}\"")])
}

fn scalar(field_type: FieldType) -> BoxedStrategy<Written> {
    let text = || any::<String>().prop_map(|text| (json!(text).to_string(), json!(text)));
    let civil = (1..=9999_i64, 1..=12_i64, 1..=28_i64, 0..24_i64, 0..60_i64, 0..60_i64, 0..1_000_000_i64);
    match field_type {
        FieldType::String | FieldType::Geography => text().boxed(),
        FieldType::Json => any_json().prop_map(|json| (json.to_string(), json!(json.to_string()))).boxed(),
        FieldType::Bytes => vec(any::<u8>(), 0..40)
            .prop_map(|bytes| {
                let standard = STANDARD.encode(bytes);
                (json!(standard).to_string(), json!(standard))
            })
            .boxed(),
        FieldType::Integer => any::<i64>()
            .prop_flat_map(|value| number_or_string(value.to_string()).prop_map(move |text| (text, json!(value))))
            .boxed(),
        FieldType::Float => any::<f64>()
            .prop_filter("JSON has no number for it", |value| value.is_finite())
            .prop_flat_map(|value| {
                number_or_string(json!(value).to_string()).prop_map(move |text| (text, json!(value)))
            })
            .boxed(),
        FieldType::Boolean => any::<bool>()
            .prop_flat_map(|value| number_or_string(value.to_string()).prop_map(move |text| (text, json!(value))))
            .boxed(),
        FieldType::Numeric | FieldType::Bignumeric => (any::<i64>(), 1..=999_999_999_u32)
            .prop_flat_map(|(whole, fraction)| {
                let text = format!("{whole}.{fraction:09}");
                let plain = text.trim_end_matches('0').to_owned();
                number_or_string(text).prop_map(move |text| (text, json!(plain)))
            })
            .boxed(),
        FieldType::Date => (1..=9999_i16, 1..=12_i8, 1..=28_i8)
            .prop_map(|(year, month, day)| {
                let date = jiff::civil::date(year, month, day);
                let days = date.since(jiff::civil::date(1970, 1, 1)).expect("a span").get_days();
                (format!("\"{date}\""), json!(days))
            })
            .boxed(),
        FieldType::Time => civil
            .prop_map(|(_, _, _, h, m, s, f)| {
                (format!("\"{h:02}:{m}:{s:02}.{f:06}\""), json!(h << 32 | m << 26 | s << 20 | f))
            })
            .boxed(),
        FieldType::Datetime => civil
            .prop_map(|(y, mo, d, h, m, s, f)| {
                let packed = y << 46 | mo << 42 | d << 37 | h << 32 | m << 26 | s << 20 | f;
                (format!("\"{y:04}-{mo}-{d:02}T{h}:{m:02}:{s}.{f:06}\""), json!(packed))
            })
            .boxed(),
        FieldType::Timestamp => (-62_135_596_800_000_000..253_402_300_800_000_000_i64)
            .prop_map(|micros| {
                let time = jiff::Timestamp::from_microsecond(micros).expect("a time");
                (format!("\"{time}\""), json!(micros))
            })
            .boxed(),
        FieldType::Record => unreachable!("no scalar"),
    }
}

fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((any::<String>(), inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
    .boxed()
}

fn encoder(fields: &[Field]) -> RowEncoder {
    let schema = TableSchema { fields: fields.to_vec() }.with_pipas_columns();
    RowEncoder::new(&schema, UnknownFields::Capture).expect("an encoder")
}

fn case() -> impl Strategy<Value = (Vec<Field>, Written)> {
    fields(2).prop_flat_map(|fields| object(&fields).prop_map(move |written| (fields.clone(), written)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rows_come_back((fields, (text, expected)) in case()) {
        let encoder = encoder(&fields);
        let mut row = Vec::new();
        let encoded = encoder.encode(text.as_bytes(), &mut row);
        prop_assert_eq!(&encoded, &Ok(()), "{}", text);
        prop_assert_eq!(decode(&encoder, &row), expected, "{}", text);
    }

    #[test]
    fn unknown_fields_come_back(
        (fields, (text, expected)) in case(),
        unknown in vec((any::<String>(), any_json()), 1..4),
    ) {
        let encoder = encoder(&fields);
        let unknown: Map<String, Value> = unknown.into_iter().collect();
        let members = Value::Object(unknown.clone()).to_string();
        let separator = if text == "{}" { "" } else { "," };
        let text = format!("{}{separator}{}", &members[..members.len() - 1], &text[1..]);
        let mut row = Vec::new();
        prop_assert_eq!(encoder.encode(text.as_bytes(), &mut row), Ok(()), "{}", text);
        let mut decoded = decode(&encoder, &row);
        let extra = decoded.as_object_mut().and_then(|row| row.remove("extra")).unwrap_or_default();
        let extra: Value = serde_json::from_str(extra.as_str().unwrap_or_default()).expect("JSON");
        prop_assert_eq!(extra, Value::Object(unknown));
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn damaged_events_never_panic((fields, (text, _)) in case(), at in any::<Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let mut row = Vec::new();
        match encoder(&fields).encode(&bytes, &mut row) {
            Ok(()) => { decode(&encoder(&fields), &row); }
            Err(_) => prop_assert!(row.is_empty()),
        }
    }

    #[test]
    fn any_bytes_never_panic(fields in fields(2), bytes in vec(any::<u8>(), 0..200)) {
        let _ = encoder(&fields).encode(&bytes, &mut Vec::new());
    }

    #[test]
    fn values_of_any_kind_never_panic(fields in fields(2), values in vec(any_json(), 6)) {
        let members = values.iter().enumerate().map(|(index, value)| format!("\"Column_{index}\":{value}"));
        let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        let _ = encoder(&fields).encode(text.as_bytes(), &mut Vec::new());
    }
}
