-- Percentiles are durations that occurred, none is interpolated. The own time of a name is the time of its
-- spans without that of their children, taken off once by name: no row is given its own time. Rows of
-- depth 1 have no parent but the thread; below them a parent is the id of a span of the same stream.
WITH
own AS (
  SELECT
    name, target,
    count(*) AS count,
    sum(duration)::BIGINT AS total_ns,
    min(duration) AS min_ns,
    max(duration) AS max_ns,
    quantile_disc(duration, [0.5, 0.95, 0.99]) AS percentiles
  FROM {{spans}}
  WHERE depth > 0
  GROUP BY name, target
),
within AS (
  SELECT parents.name, parents.target, sum(children.duration)::BIGINT AS total_ns
  FROM {{spans}} AS children
  JOIN {{spans}} AS parents
  ON parents.stream_id = children.stream_id AND parents.id = children.parent
  WHERE children.depth > 1 AND parents.depth > 0
  GROUP BY parents.name, parents.target
)
SELECT
  own.name,
  own.target,
  own.count,
  own.total_ns,
  own.total_ns - coalesce(within.total_ns, 0) AS self_ns,
  own.min_ns,
  own.percentiles[1] AS p50_ns,
  own.percentiles[2] AS p95_ns,
  own.percentiles[3] AS p99_ns,
  own.max_ns
FROM own
LEFT JOIN within
ON within.name IS NOT DISTINCT FROM own.name AND within.target IS NOT DISTINCT FROM own.target
