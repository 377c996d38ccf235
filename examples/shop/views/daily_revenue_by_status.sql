-- What was ordered each day, by the status that the orders have come to. An order is told of once for each status that it
-- reaches: it counts once, as it was last told of under the one that it has come furthest to.
WITH
  told AS (
    SELECT
      JSON_VALUE(payload, '$.order_id') AS order_id,
      JSON_VALUE(payload, '$.customer_id') AS customer_id,
      SAFE_CAST(JSON_VALUE(payload, '$.order_date') AS TIMESTAMP) AS order_date,
      JSON_VALUE(payload, '$.status') AS status,
      CASE JSON_VALUE(payload, '$.status')
        WHEN 'pending' THEN 1
        WHEN 'processing' THEN 2
        WHEN 'shipped' THEN 3
        WHEN 'delivered' THEN 4
      END AS stage,
      (
        SELECT
          LOGICAL_AND(
            JSON_VALUE(item, '$.product_id') IS NOT NULL
            AND COALESCE(SAFE_CAST(JSON_VALUE(item, '$.quantity') AS INT64), 0) >= 1
          )
        FROM UNNEST(JSON_QUERY_ARRAY(payload, '$.items')) AS item
      ) AS has_good_items,
      SAFE_CAST(JSON_VALUE(payload, '$.total_amount') AS NUMERIC) AS total_amount,
      published_at,
      ingest.event_id AS event_id
    FROM `raw.backend_events`
    WHERE event_type = 'order'
  ),

  -- The raw layer has what the typed tables refuse, too.
  orders AS (
    SELECT
      order_date,
      status,
      total_amount,
      ROW_NUMBER() OVER (PARTITION BY order_id ORDER BY stage DESC, published_at DESC, event_id) AS place
    FROM told
    WHERE order_id IS NOT NULL AND customer_id IS NOT NULL AND order_date IS NOT NULL AND stage IS NOT NULL
      AND has_good_items AND total_amount >= 0
  )

SELECT DATE(order_date) AS day, status, COUNT(*) AS orders, SUM(total_amount) AS revenue
FROM orders
WHERE place = 1
GROUP BY day, status
