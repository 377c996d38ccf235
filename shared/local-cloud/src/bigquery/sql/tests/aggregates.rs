use super::shop_answers;

#[tokio::test]
async fn groups_are_counted_and_added_up() {
    shop_answers(&[
        ("SELECT COUNT(*), COUNT(amount), SUM(id), AVG(id), MIN(amount), MAX(amount) FROM orders", "5, 4, 15, 3.0, 5.25, 40.0"),
        ("SELECT COUNT(*), SUM(x), AVG(x), MAX(y), ARRAY_AGG(x), STRING_AGG(y), COUNTIF(x > 1) FROM nothing", "0, NULL, NULL, NULL, [], NULL, 0"),
        ("SELECT customer, COUNT(*) c, SUM(amount) FROM orders GROUP BY customer ORDER BY customer", "ada, 2, 15.75; bob, 2, 60.0; eve, 1, NULL"),
        ("SELECT customer, COUNT(*) FROM orders GROUP BY 1 HAVING COUNT(*) > 1 ORDER BY 1 DESC", "bob, 2; ada, 2"),
        ("SELECT customer AS who, COUNT(*) AS n FROM orders GROUP BY who HAVING n = 1", "eve, 1"),
        ("SELECT UPPER(customer) u, COUNT(*) FROM orders GROUP BY u ORDER BY COUNT(*), u", "EVE, 1; ADA, 2; BOB, 2"),
        ("SELECT UPPER(customer), COUNT(*) FROM orders GROUP BY UPPER(customer) ORDER BY 1", "ADA, 2; BOB, 2; EVE, 1"),
        ("SELECT day, customer, SUM(id) FROM orders GROUP BY ALL ORDER BY 1, 2", "NULL, eve, 4; 2024-02-01, ada, 1; 2024-02-01, bob, 2; 2024-02-02, ada, 3; 2024-02-03, bob, 5"),
        ("SELECT customer, SUM(id) FROM orders GROUP BY ROLLUP(customer) ORDER BY 1", "NULL, 15; ada, 4; bob, 7; eve, 4"),
        ("SELECT customer, paid, COUNT(*) FROM orders GROUP BY GROUPING SETS ((customer), (paid)) ORDER BY 1, 2", "NULL, NULL, 1; NULL, false, 1; NULL, true, 3; ada, NULL, 2; bob, NULL, 2; eve, NULL, 1"),
        ("SELECT customer, paid, COUNT(*) FROM orders WHERE id < 3 GROUP BY CUBE(customer, paid) ORDER BY 1, 2", "NULL, NULL, 2; NULL, false, 1; NULL, true, 1; ada, NULL, 1; ada, true, 1; bob, NULL, 1; bob, false, 1"),
        ("SELECT SUM(price), AVG(price), MAX(price) FROM orders", "75.75, 18.9375, 40"),
        ("SELECT COUNT(DISTINCT customer), COUNT(DISTINCT paid), APPROX_COUNT_DISTINCT(day), SUM(DISTINCT MOD(id, 2)) FROM orders", "3, 2, 3, 1"),
        ("SELECT COUNTIF(paid), LOGICAL_AND(paid), LOGICAL_OR(paid) FROM orders", "3, false, true"),
        ("SELECT SUM(IF(paid, amount, 0)), SUM(CASE WHEN paid THEN 1 ELSE 0 END) FROM orders", "55.75, 3"),
        ("SELECT STDDEV(x), STDDEV_POP(x), VARIANCE(x), VAR_POP(x) FROM UNNEST([2, 4, 4, 4, 5, 5, 7, 9]) x", "2.1380899352993952, 2.0, 4.5714285714285712, 4.0"),
        ("SELECT CORR(x, x * 2), COVAR_SAMP(x, x) FROM UNNEST([1, 2, 3]) x", "1.0, 1.0"),
        ("SELECT BIT_AND(x), BIT_OR(x), BIT_XOR(x) FROM UNNEST([6, 3]) x", "2, 7, 5"),
        ("SELECT MAX_BY(customer, amount), MIN_BY(customer, amount), ANY_VALUE(customer HAVING MAX amount), ANY_VALUE(id HAVING MIN at) FROM orders", "bob, ada, bob, 1"),
        ("SELECT MIN(customer), MAX(at), MIN(day), MAX(paid) FROM orders", "ada, 2024-02-03 23:59:59+00, 2024-02-01, true"),
        ("SELECT MAX(x), MIN(x) FROM UNNEST([1.0, CAST('nan' AS FLOAT64), 2.0]) x", "nan, nan"),
        ("SELECT MAX(x), MIN(x) FROM UNNEST([-1.5, -2.5, 0.0]) x", "0.0, -2.5"),
        ("SELECT x, COUNT(*) FROM UNNEST([0.0, -0.0, CAST('nan' AS FLOAT64), CAST('nan' AS FLOAT64)]) x GROUP BY x ORDER BY x", "nan, 2; 0.0, 2"),
        ("SELECT APPROX_QUANTILES(x, 2), APPROX_QUANTILES(x, 100)[OFFSET(90)], APPROX_QUANTILES(DISTINCT x, 2) FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) x", "[1 5 10], 9, [1 6 10]"),
        ("SELECT APPROX_TOP_COUNT(x, 1) FROM UNNEST(['a', 'b', 'b']) x", "[{value=b count=2}]"),
        ("SELECT STRING_AGG(customer), STRING_AGG(DISTINCT customer, '-' ORDER BY customer DESC), STRING_AGG(customer, '' ORDER BY id DESC LIMIT 2) FROM orders", "ada,bob,ada,eve,bob, eve-bob-ada, bobeve"),
        ("SELECT COUNT(*) + 1, COUNT(*) / 2 FROM orders", "6, 2.5"),
        ("SELECT customer, COUNT(*) * 100 / SUM(COUNT(*)) OVER () AS share FROM orders GROUP BY customer ORDER BY customer", "ada, 40.0; bob, 40.0; eve, 20.0"),
        ("SELECT 1 FROM orders HAVING COUNT(*) > 3", "1"),
        ("SELECT DISTINCT customer FROM orders ORDER BY customer DESC LIMIT 2", "eve; bob"),
        ("SELECT DISTINCT customer AS c, paid FROM orders WHERE id < 4 ORDER BY c, paid", "ada, true; bob, false"),
        ("SELECT DATE(at) AS at, COUNT(*) FROM orders WHERE at IS NOT NULL GROUP BY at ORDER BY at", "2024-02-01, 2; 2024-02-02, 1; 2024-02-03, 1"),
        ("SELECT ingest.source, COUNT(*) FROM orders GROUP BY ingest.source ORDER BY 1", "NULL, 1; s, 2; t, 2"),
    ])
    .await;
}

#[tokio::test]
async fn arrays_are_aggregated() {
    shop_answers(&[
        ("SELECT ARRAY_AGG(customer ORDER BY id)[OFFSET(0)], ARRAY_AGG(id ORDER BY at DESC LIMIT 1)[OFFSET(0)] FROM orders", "ada, 5"),
        ("SELECT ARRAY_AGG(amount IGNORE NULLS ORDER BY amount DESC LIMIT 2) FROM orders", "[40.0 20.0]"),
        ("SELECT ARRAY_AGG(DISTINCT customer ORDER BY customer) FROM orders", "[ada bob eve]"),
        ("SELECT ARRAY_AGG(STRUCT(id, customer) ORDER BY id LIMIT 1)[SAFE_OFFSET(0)].customer FROM orders", "ada"),
        ("SELECT ARRAY_AGG(amount) FROM orders", "invalidQuery: Array cannot have a null element; error in writing field "),
        ("SELECT ARRAY_LENGTH(ARRAY_AGG(amount)) FROM orders", "5"),
        ("SELECT ARRAY_CONCAT_AGG(tags ORDER BY id) FROM orders", "[a b b c a]"),
        ("SELECT customer, ARRAY_AGG(id ORDER BY id) FROM orders GROUP BY customer ORDER BY customer", "ada, [1 3]; bob, [2 5]; eve, [4]"),
    ])
    .await;
}
