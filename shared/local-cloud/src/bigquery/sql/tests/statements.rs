use catalog::{FieldType, Mode};

use super::{Statement, Warehouse, World, rows};
use crate::bigquery::sql::{QueryParameters, describe};

#[tokio::test]
async fn tables_are_made_filled_and_emptied() {
    let world = World::shop().await;
    let made = world
        .does("CREATE OR REPLACE TABLE shop.t (a INT64 NOT NULL OPTIONS(description='the key'), b NUMERIC(10, 2), c ARRAY<STRUCT<x STRING>>) PARTITION BY DATE(_PARTITIONTIME)")
        .await;
    let Statement::CreateTable { schema, or_replace, if_not_exists, .. } = made.statement else { panic!("a table") };
    assert!(or_replace && !if_not_exists);
    assert_eq!((schema.fields[0].mode, schema.fields[0].description.as_deref()), (Mode::Required, Some("the key")));
    assert_eq!((schema.fields[1].field_type, schema.fields[1].scale.as_deref()), (FieldType::Numeric, Some("2")));
    assert_eq!((schema.fields[2].field_type, schema.fields[2].mode), (FieldType::Record, Mode::Repeated));

    let inserted =
        world.does("INSERT INTO shop.t (a, b) VALUES (1, 1.5), (2, DEFAULT), (3, CAST('3' AS NUMERIC))").await;
    assert_eq!(inserted.dml_affected_rows, Some(3));
    world.does("INSERT shop.t (a, c) SELECT id, ARRAY(SELECT AS STRUCT sku FROM UNNEST(items)) FROM shop.orders WHERE id > 3").await;
    world
        .answers(&[(
            "SELECT * FROM t ORDER BY a, b",
            "1, 1.5, []; 2, NULL, []; 3, 3, []; 4, NULL, [{x=z} {x=x}]; 5, NULL, [{x=y}]",
        )])
        .await;

    let deleted =
        world.does("DELETE FROM shop.t WHERE b > 1 OR a IN (SELECT id FROM orders WHERE customer = 'eve')").await;
    assert_eq!(deleted.dml_affected_rows, Some(3));
    world.answers(&[("SELECT a FROM t ORDER BY a", "2; 5")]).await;
    world.does("TRUNCATE TABLE shop.t").await;
    world.answers(&[("SELECT COUNT(*) FROM t", "0")]).await;
    world.does("DROP TABLE IF EXISTS shop.t").await;
    assert!(world.table("shop", "t").is_none());
    world
        .refuses(&[
            ("INSERT shop.orders (id) VALUES (NULL)", "Required field id cannot be null"),
            (
                "INSERT shop.orders (id) VALUES ('x')",
                "Value of type STRING cannot be assigned to id, which has type INT64",
            ),
            ("INSERT shop.orders (nope) VALUES (1)", "Column nope is not present in table shop.orders"),
            ("INSERT shop.orders (id) VALUES (1, 2)", "Inserted row has wrong column count; Has 2, expected 1"),
            ("DELETE FROM shop.orders", "DELETE must have a WHERE clause"),
        ])
        .await;
}

#[tokio::test]
async fn a_view_is_kept_as_it_was_written() {
    let world = World::shop().await;
    let made =
        world.does("CREATE OR REPLACE VIEW shop.v AS\n  SELECT id, r'\\d' AS d -- kept\n  FROM shop.orders ;").await;
    let Statement::CreateView { sql, schema, .. } = made.statement else { panic!("a view") };
    assert_eq!(sql, "SELECT id, r'\\d' AS d -- kept\n  FROM shop.orders");
    assert_eq!(schema.fields.len(), 2);
    world.does("CREATE VIEW shop.w AS SELECT v.id FROM shop.v WHERE id = 2").await;
    world.answers(&[("SELECT * FROM w", "2")]).await;
    world.does("CREATE OR REPLACE VIEW shop.v AS SELECT id FROM shop.w").await;
    world.refuses(&[("SELECT * FROM w", "refers to itself")]).await;
}

#[tokio::test]
async fn a_statement_is_described_without_its_rows() {
    let world = World::shop().await;
    let sql =
        "SELECT id, (SELECT COUNT(*) FROM orders p WHERE p.id > o.id) AS n, 1 / (id - id) AS x, data FROM orders o";
    let described = describe(sql, QueryParameters::default(), Some("shop"), world.clone()).await.expect("a schema");
    assert_eq!(rows(&described), "");
    let types: Vec<_> = described.schema.fields.iter().map(|f| f.field_type).collect();
    assert_eq!(types, [FieldType::Integer, FieldType::Integer, FieldType::Float, FieldType::Json]);
}

#[tokio::test]
async fn a_hundred_thousand_rows_are_no_matter() {
    let world = World::shop().await;
    world.does("CREATE TABLE shop.many AS SELECT x AS id, MOD(x, 1000) AS k, CONCAT('c', CAST(MOD(x, 7) AS STRING)) AS c FROM UNNEST(GENERATE_ARRAY(1, 100000)) AS x").await;
    world
        .answers(&[
            ("SELECT COUNT(*), SUM(id), COUNT(DISTINCT k), COUNTIF(STARTS_WITH(c, 'c1')) FROM many", "100000, 5000050000, 1000, 14286"),
            ("SELECT COUNT(*) FROM (SELECT id FROM many QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY id DESC) = 1)", "1000"),
            ("SELECT COUNT(*) FROM many a JOIN many b ON a.id = b.id WHERE a.k = 5", "100"),
            ("SELECT COUNT(*) FROM many a WHERE EXISTS (SELECT 1 FROM many b WHERE b.id = a.id + 1 AND b.k = a.k + 1)", "99899"),
            ("SELECT SUM(n) FROM (SELECT ARRAY_LENGTH(ARRAY_AGG(id ORDER BY id LIMIT 2)) AS n FROM many GROUP BY k)", "2000"),
        ])
        .await;
}
