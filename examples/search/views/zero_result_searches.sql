-- Queries that found nothing at least once: what the shop lacks, or what visitors misspell.
SELECT
  LOWER(TRIM(query)) AS query,
  COUNT(*) AS searches,
  COUNTIF(result_count = 0) AS without_results,
  ROUND(COUNTIF(result_count = 0) / COUNT(*), 3) AS share_without_results,
  MAX(IF(result_count = 0, occurred_at, NULL)) AS last_without_results
FROM web.searches
GROUP BY LOWER(TRIM(query))
HAVING COUNTIF(result_count = 0) > 0
