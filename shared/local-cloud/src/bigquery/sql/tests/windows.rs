use super::shop_answers;

#[tokio::test]
async fn windows_look_at_their_frames() {
    shop_answers(&[
        ("SELECT id, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY id) FROM orders ORDER BY id", "1, 1; 2, 1; 3, 2; 4, 1; 5, 2"),
        ("SELECT id FROM orders QUALIFY ROW_NUMBER() OVER (PARTITION BY customer ORDER BY at DESC) = 1 ORDER BY id", "3; 4; 5"),
        ("SELECT id, ROW_NUMBER() OVER w AS n FROM orders WHERE TRUE QUALIFY n = 2 WINDOW w AS (PARTITION BY customer ORDER BY id) ORDER BY id", "3, 2; 5, 2"),
        ("SELECT x, RANK() OVER (ORDER BY x), DENSE_RANK() OVER (ORDER BY x), PERCENT_RANK() OVER (ORDER BY x), CUME_DIST() OVER (ORDER BY x) FROM UNNEST([1, 1, 2]) x ORDER BY x", "1, 1, 1, 0.0, 0.66666666666666663; 1, 1, 1, 0.0, 0.66666666666666663; 2, 3, 2, 1.0, 1.0"),
        ("SELECT id, LAG(id) OVER (ORDER BY id), LEAD(id, 2, 0) OVER (ORDER BY id) FROM orders ORDER BY id", "1, NULL, 3; 2, 1, 4; 3, 2, 5; 4, 3, 0; 5, 4, 0"),
        ("SELECT id, SUM(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders ORDER BY id", "1, 1; 2, 3; 3, 5; 4, 7; 5, 9"),
        ("SELECT id, SUM(id) OVER (ORDER BY id) FROM orders ORDER BY id", "1, 1; 2, 3; 3, 6; 4, 10; 5, 15"),
        ("SELECT id, COUNT(*) OVER (PARTITION BY customer), MAX(id) OVER () FROM orders ORDER BY id", "1, 2, 5; 2, 2, 5; 3, 2, 5; 4, 1, 5; 5, 2, 5"),
        ("SELECT x, SUM(x) OVER (ORDER BY x RANGE BETWEEN 2 PRECEDING AND CURRENT ROW) FROM UNNEST([1, 2, 5, 6]) x ORDER BY x", "1, 1; 2, 3; 5, 5; 6, 11"),
        ("SELECT id, FIRST_VALUE(amount IGNORE NULLS) OVER (ORDER BY id DESC), LAST_VALUE(customer) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM orders ORDER BY id LIMIT 2", "1, 40.0, bob; 2, 40.0, bob"),
        ("SELECT NTH_VALUE(id, 2) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM orders LIMIT 1", "2"),
        ("SELECT id, NTILE(2) OVER (ORDER BY id) FROM orders ORDER BY id", "1, 1; 2, 1; 3, 1; 4, 2; 5, 2"),
        ("SELECT DISTINCT PERCENTILE_CONT(x, 0.5) OVER (), PERCENTILE_DISC(x, 0.5) OVER () FROM UNNEST([1, 2, 3, 10]) x", "2.5, 2"),
        ("SELECT id, STRING_AGG(customer) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders ORDER BY id", "1, ada,bob; 2, ada,bob,ada; 3, bob,ada,eve; 4, ada,eve,bob; 5, eve,bob"),
        ("SELECT id, COUNTIF(paid) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING) FROM orders ORDER BY id", "1, 1; 2, 1; 3, 1; 4, 1; 5, 0"),
        ("SELECT customer, SUM(SUM(id)) OVER (ORDER BY customer) FROM orders GROUP BY customer ORDER BY customer", "ada, 4; bob, 11; eve, 15"),
        ("SELECT id, AVG(amount) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM orders WINDOW w AS (PARTITION BY customer ORDER BY id) ORDER BY id", "1, 10.5; 2, 20.0; 3, 7.875; 4, NULL; 5, 30.0"),
        ("SELECT id FROM orders ORDER BY ROW_NUMBER() OVER (ORDER BY id DESC) LIMIT 1", "5"),
        ("SELECT SUM(x) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), AVG(x) OVER (ORDER BY n ROWS 1 PRECEDING) FROM UNNEST([1e20, 1.0, 2.0]) x WITH OFFSET n ORDER BY n", "1e+20, 1e+20; 1e+20, 5e+19; 3.0, 1.5"),
        ("SELECT MAX(amount) OVER (ORDER BY id), MIN(amount) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders ORDER BY id", "10.5, 10.5; 20.0, 5.25; 20.0, 5.25; 20.0, 5.25; 40.0, 40.0"),
        ("SELECT COUNT(DISTINCT customer) OVER () FROM orders LIMIT 1", "3"),
        ("SELECT TIMESTAMP_DIFF(at, LAG(at) OVER (ORDER BY at), MINUTE) FROM orders WHERE at IS NOT NULL ORDER BY at", "NULL; 90; 1305; 2324"),
    ])
    .await;
}
