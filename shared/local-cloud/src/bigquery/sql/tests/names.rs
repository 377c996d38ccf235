use super::{World, names, shop_answers};

#[tokio::test]
async fn columns_keep_their_names() {
    let world = World::shop().await;
    for (sql, expected) in [
        ("SELECT 1, id, ID, o.Customer AS Who, amount + 1, ingest.source FROM orders o WHERE FALSE", "duplicate"),
        ("SELECT 1, ID, o.Customer AS Who, amount + 1, ingest.source FROM orders o LIMIT 1", "f0_,ID,Who,f1_,source"),
        ("SELECT * FROM customers LIMIT 1", "name,city"),
        (
            "SELECT * EXCEPT (tags, items, data, ingest), id AS n FROM orders LIMIT 1",
            "id,customer,amount,price,at,day,paid,n",
        ),
        ("SELECT * REPLACE (UPPER(name) AS name) FROM customers LIMIT 1", "name,city"),
        ("SELECT c.*, 2 AS two FROM customers c LIMIT 1", "name,city,two"),
        ("SELECT AS STRUCT 1 AS a, 'x' AS b", "a,b"),
        ("SELECT COUNT(*) FROM orders", "f0_"),
        ("SELECT `id` AS `weird name` FROM `shop`.`orders` LIMIT 1", "weird name"),
    ] {
        match world.asks(sql, super::QueryParameters::default()).await {
            Ok(output) => assert_eq!(names(&output), expected, "{sql}"),
            Err(error) => assert!(error.message.contains(expected), "{sql}: {error}"),
        }
    }
}

#[tokio::test]
async fn names_are_found_whatever_their_case() {
    shop_answers(&[
        ("SELECT ID, Customer FROM `pipas-local.shop.orders` WHERE iD = 1", "1, ada"),
        ("SELECT O.id FROM shop.orders AS o WHERE o.ID = 2", "2"),
        ("SELECT orders.id FROM `pipas-local`.shop.orders WHERE orders.id = 3", "3"),
        ("SELECT id FROM pipas-local.shop.orders WHERE id = 4", "4"),
        ("WITH Big AS (SELECT 1 AS X) SELECT x FROM big", "1"),
        ("SELECT id AS ID2 FROM orders ORDER BY id2 DESC LIMIT 1", "5"),
        ("SELECT -id AS id FROM orders ORDER BY id LIMIT 1", "-5"),
        ("SELECT id FROM Orders", "notFound: Not found: Table pipas-local:shop.Orders was not found in location US"),
        ("SELECT INGEST.EVENT_ID FROM orders WHERE id = 1", "e1"),
        ("SELECT ingest.* FROM orders WHERE id = 1", "e1, s"),
        ("SELECT c FROM customers c ORDER BY c.name LIMIT 1", "{name=ada city=Rome}"),
        ("SELECT c.name FROM (SELECT AS STRUCT 'v' AS name) AS c", "v"),
        ("SELECT date, value, key, data FROM (SELECT 1 AS date, 2 AS value, 3 AS key, 4 AS data)", "1, 2, 3, 4"),
        ("SELECT * EXCEPT (city) FROM customers ORDER BY name LIMIT 1", "ada"),
        ("SELECT * REPLACE (city IS NULL AS city) FROM customers ORDER BY name DESC LIMIT 1", "zoe, true"),
        (
            "SELECT 1 AS a, a FROM (SELECT 2 AS a)",
            "invalidQuery: Duplicate column names in the result are not supported. Found duplicate(s): a",
        ),
    ])
    .await;
}
