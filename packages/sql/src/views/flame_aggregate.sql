-- Spans with the same names from the root down are one node. Nodes go by a hash of their path while
-- spans are placed, and get the path itself once they are few.
WITH RECURSIVE
roots AS (
  SELECT spans.*
  FROM {{self_timed_spans}} AS spans
  ANTI JOIN {{keyed_spans}} AS parents
  ON parents.stream_id = spans.stream_id AND parents.key = spans.parent_key
),
placed AS (
  SELECT stream_id, key, name, target, duration, self_ns,
    hash(name, target) AS node, NULL::UBIGINT AS parent_node
  FROM roots
  UNION ALL
  SELECT spans.stream_id, spans.key, spans.name, spans.target, spans.duration, spans.self_ns,
    hash(placed.node, spans.name, spans.target), placed.node
  FROM placed
  JOIN {{self_timed_spans}} AS spans
  ON spans.stream_id = placed.stream_id AND spans.parent_key = placed.key
),
nodes AS (
  SELECT
    node, parent_node,
    any_value(name) AS name,
    any_value(target) AS target,
    count(*) AS count,
    sum(duration)::BIGINT AS total_ns,
    sum(self_ns)::BIGINT AS self_ns
  FROM placed
  GROUP BY node, parent_node
),
paths AS (
  SELECT [name] AS path, * FROM nodes WHERE parent_node IS NULL
  UNION ALL
  SELECT list_append(paths.path, nodes.name), nodes.*
  FROM paths JOIN nodes ON nodes.parent_node = paths.node
)
SELECT path, len(path) - 1 AS depth, name, target, count, total_ns, self_ns
FROM paths
