use super::shop_answers;

#[tokio::test]
async fn tables_are_joined_and_put_together() {
    shop_answers(&[
        ("SELECT o.id, c.city FROM orders o JOIN customers c ON o.customer = c.name ORDER BY id", "1, Rome; 2, Oslo; 3, Rome; 5, Oslo"),
        ("SELECT o.id, c.city FROM orders o LEFT JOIN customers c ON c.name = o.customer AND c.city = 'Rome' ORDER BY id", "1, Rome; 2, NULL; 3, Rome; 4, NULL; 5, NULL"),
        ("SELECT c.name, COUNT(o.id) FROM orders o RIGHT JOIN customers c ON c.name = o.customer GROUP BY 1 ORDER BY 1", "ada, 2; bob, 2; zoe, 0"),
        ("SELECT o.customer, c.name FROM (SELECT DISTINCT customer FROM orders) o FULL OUTER JOIN customers c ON c.name = o.customer ORDER BY 1, 2", "NULL, zoe; ada, ada; bob, bob; eve, NULL"),
        ("SELECT * FROM (SELECT 1 a, 2 b) JOIN (SELECT 1 a, 3 c) USING (a)", "1, 2, 3"),
        ("SELECT a, x.b, y.a FROM (SELECT 1 a, 2 b) x JOIN (SELECT 1 a, 3 c) y USING (a)", "invalidQuery: Duplicate column names in the result are not supported. Found duplicate(s): a"),
        ("SELECT a, b, c FROM (SELECT 1 a, 2 b) FULL JOIN (SELECT 5 a, 3 c) USING (a) ORDER BY a", "1, 2, NULL; 5, NULL, 3"),
        ("SELECT COUNT(*) FROM orders, customers", "15"),
        ("SELECT COUNT(*) FROM orders a CROSS JOIN orders b WHERE a.id < b.id", "10"),
        ("SELECT COUNT(*) FROM orders a JOIN orders b ON a.id < b.id", "10"),
        ("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 1 ORDER BY 1", "1; 1; 2"),
        ("SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT 1 ORDER BY x DESC", "2; 1; 1"),
        ("SELECT 1 AS x UNION DISTINCT SELECT 1 UNION DISTINCT SELECT 2 ORDER BY x", "1; 2"),
        ("(SELECT 1 AS x UNION ALL SELECT 2) EXCEPT DISTINCT SELECT 2", "1"),
        ("(SELECT 1 AS x UNION ALL SELECT NULL) INTERSECT DISTINCT SELECT NULL", "NULL"),
        ("SELECT 1 AS x UNION ALL SELECT 2.5 ORDER BY x", "1.0; 2.5"),
        ("SELECT NULL AS x UNION ALL SELECT 'a' ORDER BY x", "NULL; a"),
        ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT a.x, b.x AS y FROM a, b", "1, 2"),
        ("WITH n AS (SELECT RAND() AS r) SELECT x.r = y.r FROM n x, n y", "true"),
        ("WITH orders AS (SELECT 7 AS id) SELECT id FROM orders", "7"),
        ("SELECT id FROM paid ORDER BY id", "1; 3; 5"),
        ("SELECT p.customer, SUM(p.amount) FROM `pipas-local.shop.paid` p GROUP BY 1 ORDER BY 1", "ada, 15.75; bob, 40.0"),
        ("SELECT x FROM (SELECT 3 AS x) WHERE x IN (SELECT id FROM paid)", "3"),
        ("SELECT * FROM (SELECT 2 AS x UNION ALL SELECT 1) ORDER BY x LIMIT 1 OFFSET 1", "2"),
        ("SELECT * FROM ((SELECT 1 AS a) AS p JOIN (SELECT 1 AS b) AS q ON p.a = q.b)", "1, 1"),
    ])
    .await;
}
