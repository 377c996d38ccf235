-- Sessions, those who had them, and what they did, by platform.
WITH
  activities AS (
    SELECT
      JSON_VALUE(payload, '$.user_id') AS user_id,
      JSON_VALUE(payload, '$.activity_type') AS activity_type,
      SAFE_CAST(JSON_VALUE(payload, '$.timestamp') AS TIMESTAMP) AS happened_at,
      JSON_VALUE(payload, '$.metadata.session_id') AS session_id,
      JSON_VALUE(payload, '$.metadata.platform') AS platform
    FROM `raw.backend_events`
    WHERE event_type = 'user_activity'
  )

SELECT
  platform,
  COUNT(DISTINCT session_id) AS sessions,
  COUNT(DISTINCT user_id) AS users,
  COUNT(*) AS activities
FROM activities
-- The raw layer has what the typed tables refuse, too.
WHERE user_id IS NOT NULL AND happened_at IS NOT NULL AND session_id IS NOT NULL
  AND activity_type IN ('login', 'logout', 'view_product', 'add_to_cart', 'remove_from_cart')
  AND platform IN ('web', 'mobile', 'tablet')
GROUP BY platform
