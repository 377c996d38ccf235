use super::shop_answers;

#[tokio::test]
async fn arrays_are_unnested_and_taken_apart() {
    shop_answers(&[
        ("SELECT x FROM UNNEST([3, 1, 2]) AS x ORDER BY x", "1; 2; 3"),
        ("SELECT x, o FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS o ORDER BY o", "a, 0; b, 1"),
        ("SELECT * FROM UNNEST(['a']) AS x WITH OFFSET", "a, 0"),
        ("SELECT id, tag FROM orders, UNNEST(tags) AS tag ORDER BY id, tag", "1, a; 1, b; 2, b; 4, a; 4, c"),
        ("SELECT o.id, i.sku, i.qty FROM orders AS o, UNNEST(o.items) AS i WHERE i.qty > 2 ORDER BY 1, 2", "2, x, 5; 4, x, 3; 4, z, 7"),
        ("SELECT o.id, sku FROM orders o, o.items ORDER BY 1, 2 LIMIT 2", "1, x; 1, y"),
        ("SELECT id, i.sku FROM orders o LEFT JOIN UNNEST(o.items) i ORDER BY 1, 2", "1, x; 1, y; 2, x; 3, NULL; 4, x; 4, z; 5, y"),
        ("SELECT id, tag, n FROM orders CROSS JOIN UNNEST(tags) AS tag WITH OFFSET AS n WHERE id = 4 ORDER BY n", "4, c, 0; 4, a, 1"),
        ("SELECT COUNT(*) FROM orders JOIN UNNEST(tags) t ON t = 'a'", "2"),
        ("SELECT ARRAY_LENGTH(tags), tags[SAFE_OFFSET(0)] FROM orders ORDER BY id", "2, a; 1, b; 0, NULL; 2, c; 0, NULL"),
        ("SELECT [1, 2, 3][OFFSET(1)], [1, 2][ORDINAL(1)], [1, 2][SAFE_ORDINAL(5)], [5][0]", "2, 1, NULL, 5"),
        ("SELECT [1, 2][OFFSET(2)]", "invalidQuery: Array index 2 is out of bounds (overflow)"),
        ("SELECT items[OFFSET(0)].sku, items[OFFSET(0)].qty + 1 FROM orders WHERE id = 1", "x, 2"),
        ("SELECT GENERATE_ARRAY(1, 5, 2), GENERATE_ARRAY(3, 1, -1), GENERATE_ARRAY(1, 0)", "[1 3 5], [3 2 1], []"),
        ("SELECT GENERATE_DATE_ARRAY('2024-01-30', '2024-02-02'), GENERATE_DATE_ARRAY('2024-01-31', '2024-04-01', INTERVAL 1 MONTH)", "[2024-01-30 2024-01-31 2024-02-01 2024-02-02], [2024-01-31 2024-02-29 2024-03-31]"),
        ("SELECT GENERATE_TIMESTAMP_ARRAY('2024-02-01 00:00:00', '2024-02-01 00:10:00', INTERVAL 5 MINUTE)", "[2024-02-01 00:00:00+00 2024-02-01 00:05:00+00 2024-02-01 00:10:00+00]"),
        ("SELECT ARRAY_CONCAT([1], [2, 3]), ARRAY_REVERSE([1, 2]), ARRAY_TO_STRING(['a', NULL, 'b'], '-'), ARRAY_TO_STRING(['a', NULL], '-', '?')", "[1 2 3], [2 1], a-b, a-?"),
        ("SELECT ARRAY(SELECT x * 2 FROM UNNEST([1, 2, 3]) x WHERE x > 1 ORDER BY x DESC)", "[6 4]"),
        ("SELECT id, ARRAY(SELECT i.sku FROM UNNEST(items) i ORDER BY i.qty DESC) FROM orders ORDER BY id", "1, [y x]; 2, [x]; 3, []; 4, [z x]; 5, [y]"),
        ("SELECT id, (SELECT SUM(qty) FROM UNNEST(items)) AS q FROM orders ORDER BY id", "1, 3; 2, 5; 3, NULL; 4, 10; 5, 1"),
        ("SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM UNNEST(items) i WHERE i.sku = 'x') ORDER BY id", "1; 2; 4"),
        ("SELECT id FROM orders WHERE 'b' IN UNNEST(tags) ORDER BY id", "1; 2"),
        ("SELECT 1 IN UNNEST([1, NULL]), 2 IN UNNEST([1, NULL]), NULL IN UNNEST([1]), 1 IN UNNEST(ARRAY<INT64>[])", "true, NULL, NULL, false"),
        ("SELECT ARRAY<STRING>['a'], ARRAY<FLOAT64>[1, 2], ARRAY<STRUCT<a INT64, b STRING>>[(1, 'x')]", "[a], [1.0 2.0], [{a=1 b=x}]"),
        ("SELECT STRUCT(1 AS a, 'x' AS b), STRUCT<x INT64>(5).x, (SELECT AS STRUCT 1 AS p, 2 AS q)", "{a=1 b=x}, 5, {p=1 q=2}"),
        ("SELECT ARRAY(SELECT AS STRUCT sku, qty FROM UNNEST(items) WHERE qty > 1) FROM orders WHERE id = 1", "[{sku=y qty=2}]"),
        ("SELECT x.* FROM UNNEST([STRUCT(1 AS a, 2 AS b)]) x", "1, 2"),
        ("SELECT [1, NULL]", "invalidQuery: Array cannot have a null element; error in writing field "),
        ("SELECT x FROM UNNEST([1, NULL]) x ORDER BY x", "NULL; 1"),
        ("SELECT SPLIT('a,b,c')[OFFSET(1)], (SELECT COUNT(*) FROM UNNEST(SPLIT('a b c', ' ')))", "b, 3"),
        ("SELECT [1, 2] || [3], ['a'] || []", "[1 2 3], [a]"),
    ])
    .await;
}
