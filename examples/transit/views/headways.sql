-- The time from one vehicle to the next at each stop: between their first arrivals there, where that is at most 20 minutes. A
-- vehicle's first arrival on a trip is the earliest that was ever told; the same stop in the other direction is another stop. A
-- vehicle does not follow itself; one that the agency does not name is known by its trip.
WITH
  arrivals AS (
    SELECT
      UPPER(stop_id) AS stop_id,
      trip_id,
      vehicle_id,
      COALESCE(vehicle_id, trip_id) AS vehicle,
      MAX(stop_name) AS stop_name,
      MAX(line) AS line,
      MAX(direction) AS direction,
      MIN(arrival_time) AS arrival_time
    FROM `transit.stop_updates`
    GROUP BY UPPER(stop_id), trip_id, vehicle_id
  ),

  pairs AS (
    SELECT
      *,
      LAG(vehicle) OVER (PARTITION BY stop_id ORDER BY arrival_time, vehicle, trip_id) AS previous_vehicle,
      LAG(vehicle_id) OVER (PARTITION BY stop_id ORDER BY arrival_time, vehicle, trip_id) AS previous_vehicle_id,
      LAG(arrival_time) OVER (PARTITION BY stop_id ORDER BY arrival_time, vehicle, trip_id) AS previous_arrival_time
    FROM arrivals
  )

SELECT
  stop_id,
  stop_name,
  line,
  direction,
  previous_vehicle_id,
  vehicle_id,
  previous_arrival_time,
  arrival_time,
  TIMESTAMP_DIFF(arrival_time, previous_arrival_time, SECOND) AS headway_seconds
FROM pairs
WHERE
  previous_vehicle != vehicle
  AND TIMESTAMP_DIFF(arrival_time, previous_arrival_time, SECOND) <= 20 * 60
