use super::shop_answers;

#[tokio::test]
async fn subqueries_see_what_is_around_them() {
    shop_answers(&[
        ("SELECT (SELECT MAX(id) FROM orders), (SELECT x FROM nothing)", "5, NULL"),
        ("SELECT (SELECT id FROM orders)", "invalidQuery: Scalar subquery produced more than one element at [1:9]"),
        ("SELECT id FROM orders WHERE amount > (SELECT AVG(amount) FROM orders) ORDER BY id", "2; 5"),
        ("SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.name) ORDER BY name", "ada; bob"),
        ("SELECT name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.name)", "zoe"),
        ("SELECT name, (SELECT COUNT(*) FROM orders o WHERE o.customer = c.name) AS n FROM customers c ORDER BY name", "ada, 2; bob, 2; zoe, 0"),
        ("SELECT name, (SELECT SUM(amount) + 1 FROM orders WHERE customer = name) AS n FROM customers ORDER BY name", "ada, 16.75; bob, 61.0; zoe, NULL"),
        ("SELECT name, (SELECT o.id FROM orders o WHERE o.customer = c.name ORDER BY o.id DESC LIMIT 1) AS last FROM customers c ORDER BY name", "ada, 3; bob, 5; zoe, NULL"),
        ("SELECT name, ARRAY(SELECT id FROM orders WHERE customer = name ORDER BY id DESC) FROM customers ORDER BY name", "ada, [3 1]; bob, [5 2]; zoe, []"),
        ("SELECT id FROM orders o WHERE customer IN (SELECT name FROM customers WHERE city = 'Rome') ORDER BY id", "1; 3"),
        ("SELECT id FROM orders o WHERE customer NOT IN (SELECT name FROM customers) ORDER BY id", "4"),
        ("SELECT id FROM orders o WHERE id NOT IN (SELECT NULL)", ""),
        ("SELECT id FROM orders o WHERE o.id IN (SELECT MAX(p.id) FROM orders p WHERE p.customer = o.customer) ORDER BY id", "3; 4; 5"),
        ("SELECT id FROM orders o WHERE amount = (SELECT MAX(p.amount) FROM orders p WHERE p.customer = o.customer) ORDER BY id", "1; 5"),
        ("SELECT customer, (SELECT city FROM customers WHERE name = customer) AS city, COUNT(*) FROM orders GROUP BY customer ORDER BY customer", "ada, Rome, 2; bob, Oslo, 2; eve, NULL, 1"),
        ("SELECT name, (SELECT STRING_AGG(t, '' ORDER BY t) FROM (SELECT DISTINCT tag AS t FROM orders o, UNNEST(o.tags) AS tag WHERE o.customer = c.name)) AS tags FROM customers c ORDER BY name", "ada, ab; bob, b; zoe, NULL"),
        ("SELECT name, (SELECT COUNT(*) FROM (SELECT customer FROM orders WHERE customer = c.name UNION ALL SELECT c.name)) AS n FROM customers c ORDER BY name", "ada, 3; bob, 3; zoe, 1"),
        ("SELECT name, (SELECT MAX(n) FROM (SELECT ROW_NUMBER() OVER (ORDER BY id) AS n FROM orders WHERE customer = c.name)) AS n FROM customers c ORDER BY name", "ada, 2; bob, 2; zoe, NULL"),
        ("SELECT id, (SELECT (SELECT o.id + x) FROM (SELECT 10 AS x)) AS y FROM orders o ORDER BY id LIMIT 2", "1, 11; 2, 12"),
        ("SELECT id, (SELECT COUNT(*) FROM orders p WHERE p.customer = o.customer AND EXISTS (SELECT 1 FROM orders q WHERE q.customer = p.customer AND q.id > o.id)) AS n FROM orders o ORDER BY id", "1, 2; 2, 2; 3, 0; 4, 0; 5, 0"),
        ("SELECT (SELECT AS STRUCT COUNT(*) AS n, MAX(p.id) AS m FROM orders p WHERE p.customer = c.name).m AS m FROM customers c ORDER BY name", "3; 5; NULL"),
        ("SELECT customer FROM orders o GROUP BY customer HAVING COUNT(*) = (SELECT COUNT(*) FROM customers) - 1 ORDER BY 1", "ada; bob"),
        ("SELECT SUM((SELECT COUNT(*) FROM UNNEST(items) i WHERE i.qty >= o.id)) AS n FROM orders o", "4"),
        ("SELECT name, (SELECT customer FROM orders o WHERE o.customer = c.name GROUP BY customer HAVING COUNT(*) > 1) AS x FROM customers c ORDER BY name", "ada, ada; bob, bob; zoe, NULL"),
        ("SELECT IF(EXISTS(SELECT 1 FROM nothing), 'some', 'none')", "none"),
        ("SELECT id FROM orders o WHERE id = (SELECT MIN(i.qty) FROM UNNEST(o.items) AS i JOIN customers c ON c.name = o.customer)", "1"),
    ])
    .await;
}

#[tokio::test]
async fn subqueries_may_stand_anywhere() {
    shop_answers(&[
        ("SELECT id FROM orders o WHERE id = 4 OR EXISTS (SELECT 1 FROM customers c WHERE c.name = o.customer AND c.city = 'Oslo') ORDER BY id", "2; 4; 5"),
        ("SELECT id FROM orders o WHERE (SELECT COUNT(*) FROM orders p WHERE p.amount > o.amount) = 1", "2"),
        ("SELECT id, CASE WHEN id IN (SELECT id FROM paid) THEN 'p' ELSE 'u' END FROM orders ORDER BY id", "1, p; 2, u; 3, p; 4, u; 5, p"),
        ("SELECT (SELECT COUNT(*) FROM UNNEST(tags) t WHERE t IN (SELECT tags[SAFE_OFFSET(0)] FROM orders)) FROM orders ORDER BY id", "2; 1; 0; 2; 0"),
        ("SELECT name, n FROM (SELECT name, (SELECT COUNT(*) FROM orders WHERE customer = name) AS n FROM customers) WHERE n > 0 ORDER BY name", "ada, 2; bob, 2"),
        ("SELECT customer, MAX(n) FROM (SELECT customer, (SELECT COUNT(*) FROM UNNEST(items)) AS n FROM orders) GROUP BY customer ORDER BY customer", "ada, 2; bob, 1; eve, 2"),
        ("SELECT id, ROW_NUMBER() OVER (ORDER BY (SELECT COUNT(*) FROM UNNEST(o.items)) DESC, id) FROM orders o ORDER BY id", "1, 1; 2, 3; 3, 5; 4, 2; 5, 4"),
        ("SELECT id FROM orders o ORDER BY (SELECT MAX(qty) FROM UNNEST(items)) DESC, id", "4; 2; 1; 5; 3"),
        ("WITH big AS (SELECT * FROM orders WHERE amount > 15) SELECT name, (SELECT COUNT(*) FROM big WHERE customer = name) FROM customers ORDER BY name", "ada, 0; bob, 2; zoe, 0"),
        ("SELECT o.id, x.n FROM orders o, (SELECT COUNT(*) AS n FROM customers) x ORDER BY id LIMIT 1", "1, 3"),
        ("SELECT name, (SELECT COUNT(*) FROM orders o LEFT JOIN UNNEST(o.tags) t WHERE o.customer = c.name) FROM customers c ORDER BY name", "ada, 3; bob, 2; zoe, 0"),
        ("SELECT name, ARRAY(SELECT DISTINCT sku FROM orders o, o.items WHERE o.customer = c.name ORDER BY sku) FROM customers c ORDER BY name", "ada, [x y]; bob, [x y]; zoe, []"),
        ("SELECT name, (SELECT STRING_AGG(s, ',') FROM (SELECT sku AS s FROM orders o, o.items WHERE o.customer = c.name ORDER BY qty DESC, sku LIMIT 2)) FROM customers c ORDER BY name", "ada, y,x; bob, x,y; zoe, NULL"),
        ("SELECT customer, (SELECT COUNT(*) FROM orders p WHERE p.customer = o.customer AND p.id > MIN(o.id)) FROM orders o GROUP BY customer ORDER BY customer", "invalidQuery: Aggregate function MIN not allowed in WHERE clause at [1:90]"),
        ("SELECT COUNT(*) FROM orders o JOIN customers c ON c.name = o.customer AND EXISTS (SELECT 1 FROM UNNEST(o.items) i WHERE i.sku = 'y')", "2"),
    ])
    .await;
}
