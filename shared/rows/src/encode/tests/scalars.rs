use event::Reason::{MalformedJson, OutOfRange, TypeMismatch};
use serde_json::{Value, json};

use super::{column, encode, reject};

/// Each JSON text of a column, and what prost-reflect reads of it.
fn takes(declaration: &str, cases: &[(&str, Value)]) {
    let encoder = column(declaration);
    for (given, expected) in cases {
        let row = encode(&encoder, &format!(r#"{{"c":{given}}}"#)).unwrap_or_else(|error| panic!("{given}: {error}"));
        let expected = if expected.is_null() { json!({}) } else { json!({ "c": expected }) };
        assert_eq!(row, expected, "{given}");
    }
}

fn refuses(declaration: &str, reason: event::Reason, cases: &[&str]) {
    let encoder = column(declaration);
    for given in cases {
        let (found, pointer, detail) = reject(&encoder, &format!(r#"{{"c":{given}}}"#));
        assert_eq!((found, pointer.as_str()), (reason, "/c"), "{given}: {detail}");
    }
}

#[test]
fn string() {
    let declaration = r#""type":"STRING""#;
    takes(
        declaration,
        &[
            (r#""plain""#, json!("plain")),
            (r#""""#, json!("")),
            (r#""a\n\"é\" \ud83d\ude00""#, json!("a\n\"é\" 😀")),
            ("7", json!("7")),
            ("-7", json!("-7")),
            ("18446744073709551615", json!("18446744073709551615")),
            ("1.5", json!("1.5")),
            ("true", json!("true")),
            ("null", Value::Null),
        ],
    );
    refuses(declaration, TypeMismatch, &["[]", "{}", "123456789012345678901234567890"]);
    takes(r#""type":"STRING","maxLength":"3""#, &[(r#""äöü""#, json!("äöü"))]);
    refuses(r#""type":"STRING","maxLength":"3""#, OutOfRange, &[r#""äöüß""#, "1234", "true"]);
}

#[test]
fn bytes() {
    let declaration = r#""type":"BYTES""#;
    // prost-reflect writes bytes as padded base64.
    takes(
        declaration,
        &[
            (r#""+/8=""#, json!("+/8=")),
            (r#""+/8""#, json!("+/8=")),
            (r#""-_8""#, json!("+/8=")),
            (r#""-_8=""#, json!("+/8=")),
            (r#""aGVsbG8h""#, json!("aGVsbG8h")),
            (r#""""#, json!("")),
        ],
    );
    refuses(
        declaration,
        TypeMismatch,
        &[r#""a""#, r#""a=b=""#, r#""+-8=""#, r#""a b c d ""#, r#""====""#, "1", "true"],
    );
    takes(r#""type":"BYTES","maxLength":"2""#, &[(r#""+/8=""#, json!("+/8="))]);
    refuses(r#""type":"BYTES","maxLength":"1""#, OutOfRange, &[r#""+/8=""#]);
}

#[test]
fn int64() {
    let declaration = r#""type":"INTEGER""#;
    takes(
        declaration,
        &[
            ("0", json!(0)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("9223372036854775807", json!(i64::MAX)),
            (r#""9223372036854775807""#, json!(i64::MAX)),
            (r#""-5""#, json!(-5)),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            ("-0", json!(0)),
            ("null", Value::Null),
        ],
    );
    refuses(declaration, TypeMismatch, &[r#""abc""#, r#""""#, r#""1.5""#, r#"" 1""#, "1.5", "true", "[1]", "{}"]);
    refuses(declaration, OutOfRange, &["9223372036854775808", r#""9223372036854775808""#, "1e20", "-1e20"]);
}

#[test]
fn float64() {
    let declaration = r#""type":"FLOAT64""#;
    takes(
        declaration,
        &[
            ("1", json!(1.0)),
            ("-1.5e-3", json!(-0.0015)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_f64)),
            (r#""2.5""#, json!(2.5)),
            (r#""1e3""#, json!(1000.0)),
            (r#""NaN""#, json!("NaN")),
            (r#""Infinity""#, json!("Infinity")),
            (r#""-Infinity""#, json!("-Infinity")),
            (r#""inf""#, json!("Infinity")),
        ],
    );
    refuses(declaration, TypeMismatch, &[r#""abc""#, r#""1,5""#, "false", "[]"]);
    refuses(declaration, OutOfRange, &[r#""1e999""#, "1e999"]);
}

#[test]
fn boolean() {
    let declaration = r#""type":"BOOL""#;
    takes(
        declaration,
        &[("true", json!(true)), ("false", json!(false)), (r#""True""#, json!(true)), (r#""FALSE""#, json!(false))],
    );
    refuses(declaration, TypeMismatch, &["1", "0", r#""yes""#, r#""""#, "[]"]);
}

#[test]
fn numeric() {
    let declaration = r#""type":"NUMERIC""#;
    takes(
        declaration,
        &[
            ("0.1", json!("0.1")),
            (r#""123456789012345678901234567.123456789""#, json!("123456789012345678901234567.123456789")),
            ("12345678901234567890.5", json!("12345678901234567890.5")),
            ("1e-9", json!("0.000000001")),
            (r#""\u0031.5""#, json!("1.5")),
            ("null", Value::Null),
        ],
    );
    refuses(declaration, TypeMismatch, &[r#""abc""#, "true", "[]", r#""NaN""#]);
    refuses(declaration, OutOfRange, &["1e29", r#""-100000000000000000000000000000""#]);
    let scaled = r#""type":"NUMERIC","precision":"5","scale":"2""#;
    takes(scaled, &[("1.005", json!("1.01")), ("-999.99", json!("-999.99"))]);
    refuses(scaled, OutOfRange, &["1000"]);
    takes(r#""type":"BIGNUMERIC""#, &[("1e38", json!(format!("1{}", "0".repeat(38))))]);
    refuses(r#""type":"BIGNUMERIC""#, OutOfRange, &["1e39"]);
}

#[test]
fn dates_and_times() {
    takes(r#""type":"DATE""#, &[(r#""2024-2-1""#, json!(19_754)), (r#""1969-12-31""#, json!(-1))]);
    refuses(r#""type":"DATE""#, TypeMismatch, &[r#""2024-02-30""#, r#""01.02.2024""#, "19754"]);
    takes(r#""type":"TIME""#, &[(r#""1:2:3.5""#, json!(1_i64 << 32 | 2 << 26 | 3 << 20 | 500_000))]);
    refuses(r#""type":"TIME""#, TypeMismatch, &[r#""25:00:00""#, "3600"]);
    let packed = 2024_i64 << 46 | 2 << 42 | 1 << 37 | 10 << 32 | 4 << 26 | 46 << 20;
    let cases = [(r#""2024-02-01T10:04:46""#, json!(packed)), (r#""2024-02-01 10:04:46.0""#, json!(packed))];
    takes(r#""type":"DATETIME""#, &cases);
    refuses(r#""type":"DATETIME""#, TypeMismatch, &[r#""2024-02-01T10:04:46Z""#, "0"]);
}

#[test]
fn timestamp() {
    let declaration = r#""type":"TIMESTAMP""#;
    let micros = 1_706_781_886_000_000_i64;
    takes(
        declaration,
        &[
            (r#""2024-02-01T10:04:46Z""#, json!(micros)),
            (r#""2024-02-01 10:04:46.123456 UTC""#, json!(micros + 123_456)),
            (r#""2024-02-01 05:04:46 America/New_York""#, json!(micros)),
            ("1706781886", json!(micros)),
            ("1706781886.25", json!(micros + 250_000)),
            ("1.706781886E9", json!(micros)),
            (r#""1706781886.25""#, json!(micros + 250_000)),
            ("-1", json!(-1_000_000)),
            ("null", Value::Null),
        ],
    );
    refuses(
        declaration,
        TypeMismatch,
        &[r#""yesterday""#, r#""""#, "true", "{}", r#""2024-02-01 10:04:46 Mars/Base""#],
    );
    // Milliseconds of the Unix epoch.
    refuses(declaration, OutOfRange, &["1706781886000", "1e30", r#""9999-12-31 23:59:59-01""#]);
}

#[test]
fn json() {
    let declaration = r#""type":"JSON""#;
    takes(
        declaration,
        &[
            (r#"{"b":1, "a":[1.10,null]}"#, json!(r#"{"b":1, "a":[1.10,null]}"#)),
            (r#""text""#, json!(r#""text""#)),
            ("1e2", json!("1e2")),
            ("false", json!("false")),
            ("null", Value::Null),
        ],
    );
    refuses(declaration, TypeMismatch, &[r#""\ud800""#]);
    let deep = format!("{}{}", "[".repeat(501), "]".repeat(501));
    refuses(declaration, OutOfRange, &[&deep]);
    assert_eq!(reject(&column(declaration), r#"{"c":{"a":1,}}"#).0, MalformedJson);
}

#[test]
fn geography() {
    let declaration = r#""type":"GEOGRAPHY""#;
    takes(
        declaration,
        &[
            (r#""POINT(1 2)""#, json!("POINT(1 2)")),
            (r#"{"type":"Point","coordinates":[1,2]}"#, json!(r#"{"type":"Point","coordinates":[1,2]}"#)),
        ],
    );
    refuses(declaration, TypeMismatch, &["1", "[1,2]", "true"]);
}

#[test]
fn rejections_say_what_was_expected_and_found() {
    let (_, _, detail) = reject(&column(r#""type":"INT64""#), r#"{"c":"abc"}"#);
    assert_eq!(detail, r#"expected INT64, found the string "abc""#);
    let (_, _, detail) = reject(&column(r#""type":"DATE""#), &format!(r#"{{"c":"{}"}}"#, "x".repeat(1000)));
    assert_eq!(detail, format!(r#"expected DATE (`YYYY-MM-DD`), found the string "{}…""#, "x".repeat(64)));
}
