-- What all changes of a product's stock in a warehouse add up to.
WITH
  changes AS (
    SELECT
      JSON_VALUE(payload, '$.inventory_id') AS inventory_id,
      JSON_VALUE(payload, '$.product_id') AS product_id,
      JSON_VALUE(payload, '$.warehouse_id') AS warehouse_id,
      SAFE_CAST(JSON_VALUE(payload, '$.quantity_change') AS INT64) AS quantity_change,
      JSON_VALUE(payload, '$.reason') AS reason,
      SAFE_CAST(JSON_VALUE(payload, '$.timestamp') AS TIMESTAMP) AS changed_at
    FROM `raw.backend_events`
    WHERE event_type = 'inventory'
  )

SELECT
  product_id,
  warehouse_id,
  SUM(quantity_change) AS stock,
  COUNT(*) AS changes,
  MAX(changed_at) AS last_changed_at
FROM changes
-- The raw layer has what the typed tables refuse, too.
WHERE inventory_id IS NOT NULL AND product_id IS NOT NULL AND warehouse_id IS NOT NULL AND changed_at IS NOT NULL
  AND quantity_change BETWEEN -100 AND 100
  AND reason IN ('restock', 'sale', 'return', 'damage')
GROUP BY product_id, warehouse_id
