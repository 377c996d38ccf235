use super::World;

#[tokio::test]
async fn faults_are_told_in_bigquerys_words() {
    World::shop().await.answers(&[
        ("SELECT foo FROM orders", "invalidQuery: Unrecognized name: foo at [1:8]"),
        ("SELECT id\nFROM orders\nWHERE nope = 1", "invalidQuery: Unrecognized name: nope at [3:7]"),
        ("SELECT * FROM missing.table_", "notFound: Not found: Table pipas-local:missing.table_ was not found in location US"),
        ("SELECT * FROM `other.shop.orders`", "notFound: Not found: Table other:shop.orders was not found in location US"),
        ("SELECT LENGTH('a', 'b')", "invalidQuery: No matching signature for function LENGTH for argument types: STRING, STRING at [1:8]"),
        ("SELECT ARRAY_LENGTH(5), IF(TRUE)", "invalidQuery: No matching signature for function ARRAY_LENGTH for argument types: INT64 at [1:8]"),
        ("SELECT CURRENT_TIMESTAMP(1)", "invalidQuery: No matching signature for function CURRENT_TIMESTAMP for argument types: INT64 at [1:8]"),
        ("SELECT id = 'x' FROM orders", "invalidQuery: No matching signature for operator = for argument types: INT64, STRING at [1:8]"),
        ("SELECT id + customer FROM orders", "invalidQuery: No matching signature for operator + for argument types: INT64, STRING at [1:8]"),
        ("SELECT UPPER(id) FROM orders", "invalidQuery: No matching signature for function UPPER for argument types: INT64 at [1:8]"),
        ("SELECT customer, COUNT(*) FROM orders", "invalidQuery: SELECT list expression references column customer which is neither grouped nor aggregated"),
        ("SELECT customer FROM orders GROUP BY id", "invalidQuery: SELECT list expression references column customer which is neither grouped nor aggregated"),
        ("SELECT * FROM orders WHERE COUNT(*) > 1", "invalidQuery: Aggregate function COUNT not allowed in WHERE clause at [1:28]"),
        ("SELECT SUM(COUNT(*)) FROM orders", "invalidQuery: Aggregations of aggregations are not allowed at [1:12]"),
        ("SELECT id FROM orders WHERE ROW_NUMBER() OVER () = 1", "invalidQuery: Analytic function ROW_NUMBER not allowed in WHERE clause at [1:29]"),
        ("SELECT id FROM orders WHERE id", "invalidQuery: WHERE clause should return type BOOL, but returns INT64 at [1:29]"),
        ("SELECT id FROM orders a, orders b", "invalidQuery: Column name id is ambiguous at [1:8]"),
        ("SELECT ingest.nope FROM orders", "invalidQuery: Field name nope does not exist in STRUCT<event_id STRING, source STRING> at [1:15]"),
        ("SELECT o.nope FROM orders o", "invalidQuery: Name nope not found inside o at [1:10]"),
        ("SELECT * EXCEPT (nope) FROM orders", "invalidQuery: Column nope in SELECT * EXCEPT list does not exist at [1:18]"),
        ("SELECT 1 UNION SELECT 2", "invalidQuery: Syntax error: Expected keyword ALL or keyword DISTINCT after UNION at [1:16]"),
        ("SELECT 1, 2 UNION ALL SELECT 2", "invalidQuery: Queries in UNION have mismatched column count; query 1 has 2 columns, query 2 has 1 columns at [1:23]"),
        ("SELECT RANK() OVER () FROM orders", "invalidQuery: Window ORDER BY is required for analytic function RANK at [1:8]"),
        ("SELECT *", "invalidQuery: SELECT * must have a FROM clause at [1:8]"),
        ("SELECT @x", "invalidQuery: Query parameter 'x' not found at [1:8]"),
        ("SELECT DATE_TRUNC(day, FORTNIGHT) FROM orders", "invalidQuery: A valid date part name is required but found FORTNIGHT at [1:24]"),
        ("SELECT ERROR('boom')", "invalidQuery: boom"),
        ("SELECT id FROM orders QUALIFY id = 1", "invalidQuery: The QUALIFY clause requires analytic function to be present in the QUALIFY clause or the SELECT list"),
        ("SELECT x FROM UNNEST(5) x", "invalidQuery: Values referenced in UNNEST must be arrays. UNNEST contains expression of type INT64 at [1:22]"),
    ]).await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name() {
    World::shop()
        .await
        .refuses(&[
            (
                "SELECT ST_GEOGPOINT(1, 2)",
                "notImplemented: FUNCTION ST_GEOGPOINT is not available in the local engine at [1:8]",
            ),
            ("SELECT NET.HOST('x')", "notImplemented: FUNCTION NET.HOST is not available"),
            ("SELECT HLL_COUNT.INIT(id) FROM orders", "notImplemented: FUNCTION HLL_COUNT.INIT is not available"),
            ("SELECT SOUNDEX('x')", "notImplemented: FUNCTION SOUNDEX is not available"),
            (
                "SELECT GROUPING(customer) FROM orders GROUP BY ROLLUP(customer)",
                "notImplemented: FUNCTION GROUPING is not available",
            ),
            ("SELECT * FROM orders TABLESAMPLE SYSTEM (10 PERCENT)", "notImplemented: TABLESAMPLE is not available"),
            (
                "SELECT * FROM orders FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()",
                "notImplemented: FOR SYSTEM_TIME AS OF is not available",
            ),
            (
                "SELECT * FROM (SELECT 1 a, 'x' b) PIVOT(SUM(a) FOR b IN ('x'))",
                "notImplemented: PIVOT is not available",
            ),
            (
                "WITH RECURSIVE a AS (SELECT 1 x UNION ALL SELECT x + 1 FROM a) SELECT * FROM a",
                "notImplemented: WITH RECURSIVE is not available",
            ),
            ("FROM orders |> WHERE id = 1", "notImplemented: Pipe syntax is not available"),
            ("SELECT 1 << 2", "notImplemented: Operator << is not available"),
            ("DECLARE x INT64 DEFAULT 1; SELECT x", "notImplemented: A script of several statements is not available"),
            ("UPDATE orders SET id = 1 WHERE TRUE", "notImplemented: Statement UPDATE is not available"),
            ("MERGE shop.orders t USING shop.orders s ON FALSE WHEN NOT MATCHED THEN INSERT ROW", "is not available"),
            (
                "CREATE TEMP FUNCTION f(x INT64) AS (x + 1)",
                "notImplemented: Statement CREATE TEMPORARY is not available",
            ),
            ("SELECT * FROM shop.INFORMATION_SCHEMA.TABLES", "notImplemented: INFORMATION_SCHEMA is not available"),
            ("SELECT * FROM `shop.events_*`", "notImplemented: A wildcard table is not available"),
            (
                "SELECT CAST(day AS STRING FORMAT 'YYYY') FROM orders",
                "notImplemented: CAST with FORMAT is not available",
            ),
            ("SELECT FORMAT('%x', 255)", "notImplemented: FORMAT with %x is not available"),
            ("SELECT INTERVAL 5 DAY", "notImplemented: INTERVAL in the result is not available"),
            ("SELECT @@time_zone", "notImplemented: System variable @@time_zone is not available"),
            ("SELECT 'a' LIKE ANY ('a', 'b')", "notImplemented: LIKE ANY is not available"),
            ("SELECT CAST(1 AS NUMERIC(10, 2))", "with parameters is not available"),
        ])
        .await;
}
