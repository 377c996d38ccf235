-- Of the searches that found something: after how many of them a result was chosen, and how far down the first choice stood.
WITH
  searches AS (
    SELECT search_id, LOWER(TRIM(query)) AS query
    FROM web.searches
    WHERE result_count > 0
  ),

  choices AS (
    SELECT
      search_id,
      ARRAY_AGG(position ORDER BY occurred_at, position LIMIT 1)[OFFSET(0)] AS first_position
    FROM web.search_interactions
    WHERE event_type = 'select' AND position IS NOT NULL
    GROUP BY search_id
  )

SELECT
  searches.query,
  COUNT(*) AS searches,
  COUNT(choices.search_id) AS with_choice,
  ROUND(COUNT(choices.search_id) / COUNT(*), 3) AS click_through,
  ROUND(AVG(choices.first_position), 2) AS mean_first_position
FROM searches
LEFT JOIN choices ON choices.search_id = searches.search_id
GROUP BY searches.query
