-- Percentiles are durations that occurred, none is interpolated.
SELECT
  name,
  target,
  count(*) AS count,
  sum(duration)::BIGINT AS total_ns,
  sum(self_ns)::BIGINT AS self_ns,
  min(duration) AS min_ns,
  quantile_disc(duration, 0.5) AS p50_ns,
  quantile_disc(duration, 0.95) AS p95_ns,
  quantile_disc(duration, 0.99) AS p99_ns,
  max(duration) AS max_ns
FROM {{self_timed_spans}}
WHERE depth > 0
GROUP BY name, target
