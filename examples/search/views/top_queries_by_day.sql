-- What was searched for most on each day (UTC), by the searches and by the visits that made them. Upper case and white space
-- around a query do not count.
WITH queries AS (
  SELECT
    DATE(occurred_at) AS day,
    LOWER(TRIM(query)) AS query,
    COUNT(*) AS searches,
    COUNT(DISTINCT session_id) AS visits
  FROM web.searches
  GROUP BY day, query
)

SELECT
  day,
  RANK() OVER (PARTITION BY day ORDER BY searches DESC, visits DESC) AS place,
  query,
  searches,
  visits
FROM queries
