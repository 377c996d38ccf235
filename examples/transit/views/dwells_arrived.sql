-- How long vehicles stand: as `transit.dwells`, of the updates alone by which the vehicle has arrived; what is told of it before is a
-- prediction.
WITH
  updates AS (
    SELECT DISTINCT
      UPPER(stop_id) AS stop_id,
      stop_name,
      line,
      direction,
      vehicle_id,
      COALESCE(vehicle_id, trip_id) AS vehicle,
      updated_at
    FROM `transit.stop_updates`
    WHERE updated_at >= arrival_time
  ),

  pairs AS (
    SELECT *, LAG(updated_at) OVER (PARTITION BY stop_id, vehicle ORDER BY updated_at) AS previous_updated_at
    FROM updates
  )

SELECT
  stop_id,
  stop_name,
  line,
  direction,
  vehicle_id,
  previous_updated_at,
  updated_at,
  TIMESTAMP_DIFF(updated_at, previous_updated_at, SECOND) AS dwell_seconds
FROM pairs
WHERE TIMESTAMP_DIFF(updated_at, previous_updated_at, SECOND) <= 300
