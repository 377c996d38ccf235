use serde_json::json;

use super::{QueryParameters, World, rows};

#[tokio::test]
async fn parameters_are_named_or_counted() {
    let world = World::shop().await;
    let value = |name: &str, ty: &str, value: &str| json!({"name": name, "parameterType": {"type": ty}, "parameterValue": {"value": value}});
    let parameters = QueryParameters::from_json(&[
        value("who", "STRING", "ada"),
        value("Since", "TIMESTAMP", "2024-02-02T00:00:00Z"),
        value("n", "INT64", "2"),
        value("f", "FLOAT64", "1.5"),
        value("on", "BOOL", "true"),
        value("day", "DATE", "2024-02-01"),
        value("raw", "BYTES", "YWI="),
        value("d", "NUMERIC", "1.25"),
        json!({"name": "ids", "parameterType": {"type": "ARRAY", "arrayType": {"type": "INT64"}},
            "parameterValue": {"arrayValues": [{"value": "1"}, {"value": "5"}]}}),
        json!({"name": "s", "parameterType": {"type": "STRUCT", "structTypes": [{"name": "a", "type": {"type": "INT64"}}]},
            "parameterValue": {"structValues": {"a": {"value": "7"}}}}),
        json!({"name": "none", "parameterType": {"type": "STRING"}, "parameterValue": {}}),
    ])
    .expect("parameters");
    for (sql, expected) in [
        ("SELECT id FROM orders WHERE customer = @who AND at > @since", "3"),
        ("SELECT id FROM orders WHERE id IN UNNEST(@ids) ORDER BY id", "1; 5"),
        (
            "SELECT @n + 1, @f * 2, @on, @day, @raw, @d, @s.a, @none IS NULL",
            "3, 3.0, true, 2024-02-01, b\"ab\", 1.25, 7, true",
        ),
        ("SELECT id FROM orders ORDER BY id LIMIT @n", "1; 2"),
        ("SELECT DATE_ADD(@day, INTERVAL @n DAY), STARTS_WITH(@who, 'a')", "2024-02-03, true"),
    ] {
        let output = world.asks(sql, parameters.clone()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(rows(&output), expected, "{sql}");
    }
    let positional = QueryParameters::from_json(&[
        json!({"parameterType": {"type": "INT64"}, "parameterValue": {"value": "2"}}),
        json!({"parameterType": {"type": "STRING"}, "parameterValue": {"value": "x"}}),
    ])
    .expect("parameters");
    let output = world.asks("SELECT ?, CONCAT(?, 'y')", positional).await.expect("an answer");
    assert_eq!(rows(&output), "2, xy");
}
