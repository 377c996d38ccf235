use super::shop_answers;

#[tokio::test]
async fn json_is_looked_into() {
    shop_answers(&[
        ("SELECT JSON_VALUE(data, '$.kind'), JSON_VALUE(data, '$.n'), JSON_VALUE(data, '$.deep') FROM orders ORDER BY id LIMIT 2", "web, 1, NULL; app, 2.5, NULL"),
        ("SELECT data.kind, data.deep.a[1], data['n'] FROM orders WHERE id = 1", "\"web\", 2, 1"),
        ("SELECT JSON_QUERY(data, '$.deep'), JSON_QUERY(data, '$.deep.a[0]'), JSON_QUERY(data, '$.nope') FROM orders WHERE id = 1", "{\"a\":[1,2]}, 1, NULL"),
        ("SELECT JSON_VALUE('{\"a\": {\"b c\": [true, \"x\"]}}', '$.a.\"b c\"[1]'), JSON_EXTRACT_SCALAR('{\"a\": 1}', '$.a'), JSON_EXTRACT('{\"z\": [1, 2], \"a\": 3}', '$'), JSON_VALUE('not json', '$.a')", "x, 1, {\"z\":[1,2],\"a\":3}, NULL"),
        ("SELECT INT64(data.n), FLOAT64(data.n), STRING(data.kind), LAX_INT64(JSON '\"5\"'), BOOL(JSON 'true') FROM orders WHERE id = 1", "1, 1.0, web, 5, true"),
        ("SELECT STRING(JSON '1')", "invalidQuery: The provided JSON input is not a string: 1"),
        ("SELECT TO_JSON_STRING(STRUCT(1 AS a, 'x' AS b, [1.5, 2] AS c, NULL AS d)), TO_JSON_STRING('a\"b'), TO_JSON_STRING(day) FROM orders WHERE id = 1", "{\"a\":1,\"b\":\"x\",\"c\":[1.5,2],\"d\":null}, \"a\\\"b\", \"2024-02-01\""),
        ("SELECT TO_JSON_STRING(at), TO_JSON_STRING(ingest), TO_JSON_STRING(data) FROM orders WHERE id = 3", "\"2024-02-02T09:15:30Z\", {\"event_id\":\"e3\",\"source\":\"t\"}, {\"kind\":\"web\"}"),
        ("SELECT TO_JSON(9007199254740993), JSON_OBJECT('a', [9007199254740993]), JSON_ARRAY(-9007199254740993), TO_JSON(STRUCT(9223372036854775807 AS n)).n", "9007199254740993, {\"a\":[9007199254740993]}, [-9007199254740993], 9223372036854775807"),
        ("SELECT TO_JSON_STRING(9007199254740993), TO_JSON_STRING(STRUCT([9007199254740992, 9007199254740993] AS a))", "\"9007199254740993\", {\"a\":[9007199254740992,\"9007199254740993\"]}"),
        ("SELECT PARSE_JSON('{\"b\": 1, \"a\": [ ]}'), JSON_TYPE(PARSE_JSON('null')), TO_JSON(STRUCT(2 AS b, 1 AS a))", "{\"a\":[],\"b\":1}, null, {\"a\":1,\"b\":2}"),
        ("SELECT JSON_QUERY_ARRAY('[1, {\"a\": 2}]'), JSON_VALUE_ARRAY('{\"x\": [1, \"b\"]}', '$.x'), ARRAY_LENGTH(JSON_QUERY_ARRAY(data)) FROM orders WHERE id = 5", "[1 {\"a\":2}], [1 b], 3"),
        ("SELECT JSON_VALUE(data, '$[1]'), JSON_KEYS(JSON '{\"a\": {\"b\": 1}}'), JSON_OBJECT('x', 1, 'y', [TRUE]) FROM orders WHERE id = 5", "two, [a a.b], {\"x\":1,\"y\":[true]}"),
        ("SELECT JSON_VALUE(data, '$.kind') AS kind, COUNT(*) FROM orders WHERE data IS NOT NULL GROUP BY kind ORDER BY kind", "NULL, 1; app, 1; web, 2"),
        ("SELECT COUNT(*) FROM orders WHERE data = data", "invalidQuery: Equality is not defined for arguments of type JSON at [1:35]"),
        ("SELECT data, COUNT(*) FROM orders GROUP BY data", "invalidQuery: Grouping by expressions of type JSON is not allowed at [1:44]"),
    ])
    .await;
}

#[tokio::test]
async fn json_columns_come_back_as_json() {
    let world = super::World::shop().await;
    let output = world.does("SELECT data, data.kind AS k, TO_JSON_STRING(data) AS s, ARRAY_AGG(data) OVER () AS all_ FROM orders WHERE data IS NOT NULL LIMIT 1").await;
    let types: Vec<_> = output.schema.fields.iter().map(|f| f.field_type).collect();
    use catalog::FieldType::{Json, String};
    assert_eq!(types, [Json, Json, String, Json]);
}
