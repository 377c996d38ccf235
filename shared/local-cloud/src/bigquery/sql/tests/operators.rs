use super::shop_answers;

#[tokio::test]
async fn operators_are_googles() {
    shop_answers(&[
        ("SELECT 7 / 2, 6 / 2, 1 + 2 * 3, -5, +5, 7 - 9", "3.5, 3.0, 7, -5, 5, -2"),
        ("SELECT 1 / 0", "invalidQuery: division by zero: 1 / 0"),
        ("SELECT SAFE_DIVIDE(1, 0), SAFE_DIVIDE(6, 4), SAFE_ADD(9223372036854775807, 1), SAFE_NEGATE(3)", "NULL, 1.5, NULL, -3"),
        ("SELECT 9223372036854775807 + 1", "invalidQuery: int64 overflow: 9223372036854775807 + 1"),
        ("SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) x", "invalidQuery: int64 overflow in SUM"),
        ("SELECT -9223372036854775808, 0xFF, 1e3, .5", "-9223372036854775808, 255, 1000.0, 0.5"),
        ("SELECT NUMERIC '1.1' + 1, NUMERIC '10' / 3, NUMERIC '1.5' * NUMERIC '1.5', 1.5 + NUMERIC '1'", "2.1, 3.333333333, 2.25, 2.5"),
        ("SELECT NULL = NULL, NULL IS NULL, 1 <> 2, 1 != 1, 'a' < 'b', TRUE AND NULL, FALSE AND NULL, TRUE OR NULL", "NULL, true, true, false, true, NULL, false, true"),
        ("SELECT NOT NULL, NOT TRUE, TRUE IS NOT FALSE, NULL IS TRUE, NULL IS NOT TRUE", "NULL, false, true, false, true"),
        ("SELECT 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL", "true, true"),
        ("SELECT 1 = 1.0, 2 > 1.5, CAST('nan' AS FLOAT64) = CAST('nan' AS FLOAT64), 0.0 = -0.0", "true, true, false, true"),
        ("SELECT 2 BETWEEN 1 AND 3, 5 NOT BETWEEN 1 AND 3, NULL BETWEEN 1 AND 2", "true, true, NULL"),
        ("SELECT 1 IN (1, 2), 3 NOT IN (1, NULL), 1 IN (1, NULL), 'a' IN ('b'), 1.5 IN (1, 1.5)", "true, NULL, true, false, true"),
        ("SELECT 'abc' LIKE 'a%', 'abc' LIKE '_b_', 'a%c' LIKE 'a\\\\%c', 'abc' NOT LIKE '%d%', 'x' LIKE NULL", "true, true, true, true, NULL"),
        ("SELECT 'a' || 'b' || 'c', 'a' || NULL", "abc, NULL"),
        ("SELECT 6 & 3, 6 | 3, 6 ^ 3, ~5", "2, 7, 5, -6"),
        ("SELECT CASE WHEN FALSE THEN 1 WHEN NULL THEN 2 ELSE 3 END, CASE 'b' WHEN 'a' THEN 1 WHEN 'b' THEN 2 END, CASE WHEN FALSE THEN 1 END", "3, 2, NULL"),
        ("SELECT IF(1 > 2, 'x', 'y'), IF(NULL, 1, 2), IFNULL(NULL, 5), COALESCE(NULL, NULL, 'z'), NULLIF(1, 1), NULLIF(1, 2)", "y, 2, 5, z, NULL, 1"),
        ("SELECT IF(FALSE, 1 / 0, 7)", "7.0"),
        ("SELECT IF(id > 3, 10 / (id - 3), 0), CASE WHEN id = 3 THEN 0 ELSE 10 / (id - 3) END FROM orders ORDER BY id", "0.0, -5.0; 0.0, -10.0; 0.0, 0.0; 10.0, 10.0; 5.0, 5.0"),
        ("SELECT IFNULL(NULLIF(id, 3), 0), COALESCE(id, 1 / (id - id)) FROM orders ORDER BY id LIMIT 3", "1, 1.0; 2, 2.0; 0, 3.0"),
        ("SELECT at = '2024-02-01 10:00:00', day > '2024-01-01' FROM orders WHERE id = 1", "true, true"),
        ("SELECT day + 1, day - 1, at + INTERVAL 5 MINUTE, at - INTERVAL 1 DAY, day + INTERVAL 1 MONTH FROM orders WHERE id = 1", "2024-02-02, 2024-01-31, 2024-02-01 10:05:00+00, 2024-01-31 10:00:00+00, 2024-03-01 00:00:00"),
        ("SELECT id FROM orders ORDER BY amount", "4; 3; 1; 2; 5"),
        ("SELECT id FROM orders ORDER BY amount DESC", "5; 2; 1; 3; 4"),
        ("SELECT id FROM orders ORDER BY amount NULLS LAST, id", "3; 1; 2; 5; 4"),
        ("SELECT id FROM orders ORDER BY customer DESC, id DESC", "4; 5; 2; 3; 1"),
        ("SELECT x FROM UNNEST([1.5, CAST('-inf' AS FLOAT64), CAST('nan' AS FLOAT64), NULL, -2.0]) x ORDER BY x", "NULL; nan; -inf; -2.0; 1.5"),
        ("SELECT (1, 'a').*", "1, a"),
        ("SELECT GREATEST(1, 3, 2), LEAST('b', 'a'), GREATEST(1, NULL), GREATEST(1, 2.5)", "3, a, NULL, 2.5"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_evaluated() {
    shop_answers(&[
        ("SELECT IF(x != 0, 10 / x > 1, FALSE) FROM UNNEST([0, 5]) x ORDER BY x", "false; true"),
        ("SELECT CASE WHEN x = 0 THEN NULL WHEN 10 / x > 1 THEN TRUE ELSE FALSE END FROM UNNEST([0, 5, 50]) x ORDER BY x", "NULL; true; false"),
        ("SELECT x FROM (SELECT x, CASE WHEN x = 0 THEN 'none' WHEN 10 / x > 1 THEN 'big' ELSE 'small' END AS size FROM UNNEST([0, 5, 50]) x) WHERE size = 'small'", "50"),
        ("SELECT COALESCE(x = 0 OR NULL, 10 / x > 1) FROM UNNEST([0, 5]) x ORDER BY x", "true; true"),
        ("SELECT x FROM UNNEST([0, 5]) x WHERE x != 0 AND 10 / x > 1", "5"),
        ("SELECT x FROM UNNEST([0, 5, 50]) x WHERE x = 0 OR 10 / x > 1 ORDER BY x", "0; 5"),
        ("SELECT x FROM UNNEST([0, 5, 50]) x WHERE NOT (x = 0 OR 10 / x > 1)", "50"),
        ("SELECT x FROM UNNEST([0, 5, 50]) x WHERE x = 50 OR (x != 0 AND 10 / x > 1 AND 10 / x < 5) ORDER BY x", "5; 50"),
        ("SELECT x FROM UNNEST([0, 5, 3, 50]) x WHERE x != 0 AND 10 / x > 1 AND 10 / x < 3", "5"),
        ("SELECT x != 0 AND 10 / x > 1, x = 0 OR 10 / x > 1 FROM UNNEST([0, 5, 50]) x ORDER BY x", "false, true; true, true; false, false"),
        ("SELECT x IS NOT NULL AND x != 0 AND 10 / x > 1 FROM UNNEST([0, 5, NULL]) x ORDER BY x", "false; false; true"),
        ("SELECT NULL AND 10 / x > 1, NULL OR 10 / x > 1, 10 / x > 1 AND NULL FROM UNNEST([5, 50]) x ORDER BY x", "NULL, true, NULL; false, NULL, false"),
        ("SELECT n FROM (SELECT s FROM UNNEST(['1', 'x', '20']) s WHERE REGEXP_CONTAINS(s, '^[0-9]+$')), UNNEST([CAST(s AS INT64)]) n ORDER BY n", "1; 20"),
        ("SELECT CAST(s AS INT64) AS n FROM (SELECT s FROM UNNEST(['1', 'x', '20']) s WHERE s != 'x') WHERE CAST(s AS INT64) > 1 ORDER BY n", "20"),
        ("WITH numbers AS (SELECT s FROM UNNEST(['1', 'x', '20']) s WHERE REGEXP_CONTAINS(s, r'^[0-9]+$')) SELECT s FROM numbers WHERE CAST(s AS INT64) > 1 AND CAST(s AS INT64) < 99", "20"),
        ("SELECT x, y FROM UNNEST([0, 5]) AS x JOIN UNNEST([0, 5]) AS y ON x = y AND x != 0 AND 10 / x > 1", "5, 5"),
        ("SELECT x, y FROM UNNEST([0, 5]) AS x LEFT JOIN (SELECT y FROM UNNEST([0, 5]) AS y) ON y != 0 AND x / y > 0.5 ORDER BY x", "0, NULL; 5, 5"),
        ("SELECT x, COUNT(*) FROM UNNEST([0, 5, 5]) x GROUP BY x HAVING x != 0 AND 10 / x > 1", "5, 2"),
        ("SELECT COUNT(*) FROM UNNEST([0, 5]) x WHERE 10 / x > 1", "invalidQuery: division by zero: 10 / 0"),
        ("SELECT 1 AND TRUE", "invalidQuery: No matching signature for operator AND for argument types: INT64, BOOL at [1:8]"),
        ("SELECT TRUE OR FALSE OR 'x'", "invalidQuery: No matching signature for operator OR for argument types: BOOL, STRING at [1:8]"),
    ])
    .await;
}

#[tokio::test]
async fn what_differs_each_time_is_evaluated_once() {
    shop_answers(&[
        ("SELECT COUNTIF(IFNULL(NULLIF(r, 1), 7) IS NULL) FROM (SELECT CAST(FLOOR(RAND() * 2) AS INT64) AS r FROM UNNEST(GENERATE_ARRAY(1, 200)))", "0"),
        ("SELECT COUNTIF(COALESCE(IF(RAND() < 0.5, NULL, 1), 7) IS NULL) FROM UNNEST(GENERATE_ARRAY(1, 200))", "0"),
        ("SELECT COUNTIF(IFNULL(IF(RAND() < 0.5, NULL, 1), 7) IS NULL) FROM UNNEST(GENERATE_ARRAY(1, 200))", "0"),
        ("SELECT COALESCE(IF(RAND() < 2, NULL, 1), 1 / 0)", "notImplemented: COALESCE of a value that differs each time before one that can fail is not available in the local engine at [1:8]"),
        ("SELECT NULLIF(RAND(), 0.5)", "notImplemented: NULLIF of a value that differs each time, as RAND() does is not available in the local engine at [1:8]"),
        ("SELECT RAND() BETWEEN 0 AND 1", "notImplemented: BETWEEN of a value that differs each time, as RAND() does is not available in the local engine at [1:8]"),
        ("SELECT CASE RAND() WHEN 2 THEN 1 ELSE 3 END", "3"),
        ("SELECT CASE RAND() WHEN 0 THEN 1 WHEN 2 THEN 2 END", "notImplemented: CASE of a value that differs each time, as RAND() does is not available in the local engine at [1:8]"),
    ])
    .await;
}

#[tokio::test]
async fn clauses_work_together() {
    shop_answers(&[
        ("select CUSTOMER, count(*) as N from shop.Orders group by customer", "notFound: Not found: Table pipas-local:shop.Orders was not found in location US"),
        ("select customer, count(*) as n, row_number() over (order by count(*) desc, customer) as r from orders group by customer having n > 1 qualify r = 1", "ada, 2, 1"),
        ("SELECT DATE(at) AS d, COUNT(*) AS n FROM orders WHERE at IS NOT NULL GROUP BY d QUALIFY RANK() OVER (ORDER BY n DESC) = 1", "2024-02-01, 2"),
        ("SELECT id FROM orders WHERE TRUE LIMIT 0", ""),
        ("SELECT id FROM orders ORDER BY id LIMIT 10 OFFSET 4", "5"),
        ("SELECT COUNT(*) FROM (SELECT id FROM orders LIMIT 2)", "2"),
        ("SELECT DISTINCT customer FROM orders ORDER BY id", "invalidQuery: ORDER BY clause expression references column id which is not visible after SELECT DISTINCT"),
        ("SELECT *, COUNT(*) FROM customers", "invalidQuery: SELECT list expression references column name which is neither grouped nor aggregated"),
        ("SELECT id FROM orders JOIN paid USING (id) ORDER BY id LIMIT 1", "1"),
        ("SELECT customer FROM orders JOIN paid USING (id)", "invalidQuery: Column name customer is ambiguous at [1:8]"),
        ("SELECT amount > 10 AS big, SUM(id) FROM orders GROUP BY big ORDER BY big", "NULL, 4; false, 3; true, 8"),
        ("SELECT SUM(id) AS s, MOD(id, 2) FROM orders GROUP BY MOD(id, 2) ORDER BY s DESC", "9, 1; 6, 0"),
        ("SELECT MOD(id, 2) + 1, COUNT(*) FROM orders GROUP BY MOD(id, 2) ORDER BY 1", "1, 2; 2, 3"),
        ("SELECT IF(COUNT(*) > 2, 'many', 'few'), CASE WHEN MAX(id) > 4 THEN 'x' END FROM orders", "many, x"),
        ("SELECT customer, id - MIN(id) OVER (PARTITION BY customer) AS d FROM orders ORDER BY customer, d", "ada, 0; ada, 2; bob, 0; bob, 3; eve, 0"),
        ("SELECT a, b FROM (SELECT 1 AS a, [1, 2] AS l), UNNEST(l) AS b ORDER BY b", "1, 1; 1, 2"),
        ("SELECT x.id, y.n FROM orders x LEFT JOIN (SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer) y ON x.customer = y.customer AND y.n > 1 ORDER BY 1", "1, 2; 2, 2; 3, 2; 4, NULL; 5, 2"),
        ("SELECT STRUCT(customer AS c, COUNT(*) AS n) FROM orders GROUP BY customer ORDER BY customer LIMIT 1", "{c=ada n=2}"),
        ("SELECT ARRAY_AGG(s ORDER BY s.n DESC) FROM (SELECT STRUCT(id AS n) AS s FROM orders WHERE id < 3)", "[{n=2} {n=1}]"),
        ("SELECT MAX(IF(kind = 'web', n, NULL)) FROM (SELECT JSON_VALUE(data, '$.kind') AS kind, COUNT(*) AS n FROM orders GROUP BY 1)", "2"),
        ("SELECT COALESCE(SUM(amount), 0) / NULLIF(COUNT(*), 0) FROM orders WHERE FALSE", "NULL"),
        ("SELECT 1 FROM UNNEST([1, 2]) GROUP BY 1 HAVING SUM(1) = 2", "1"),
        ("SELECT CASE WHEN id = 1 THEN 'a' WHEN id = 2 THEN 'b' END AS x, COUNT(*) FROM orders GROUP BY x ORDER BY x", "NULL, 3; a, 1; b, 1"),
        ("SELECT t.* FROM (SELECT 1 AS a UNION ALL SELECT 2) AS t WHERE t.a = (SELECT MAX(a) FROM (SELECT 1 AS a UNION ALL SELECT 2))", "2"),
        ("SELECT COUNT(*) FROM orders WHERE id IN (1, 2, 3) AND NOT (customer = 'bob' OR amount IS NULL)", "2"),
        ("SELECT ANY_VALUE(city) FROM customers WHERE name = 'ada'", "Rome"),
        ("SELECT id, SAFE_CAST(customer AS INT64) FROM orders WHERE SAFE_CAST(customer AS INT64) IS NULL ORDER BY id LIMIT 1", "1, NULL"),
        ("SELECT SUM(x), SUM(y) FROM (SELECT 1.5 AS x, NUMERIC '2.25' AS y UNION ALL SELECT 2, 1)", "3.5, 3.25"),
        ("SELECT MIN(x) FROM (SELECT DATE '2024-01-01' AS x UNION ALL SELECT '2023-01-01')", "2023-01-01"),
    ])
    .await;
}
