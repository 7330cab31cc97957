-- Spans with the same names from the root down are one node. Nodes go by a hash of their path while
-- spans are placed, and get the path itself once they are few. What each level of the tree reads again is
-- kept, and narrow: a stream and a name are their hashes there, and only spans that lie one level below
-- those placed last are looked up. The own time of a node is its time without that of the nodes below it.
WITH RECURSIVE
spans AS MATERIALIZED (
  SELECT hash(stream_id) AS stream, hash(name, target) AS label, depth, key, parent_key, duration
  FROM {{keyed_spans}}
),
labels AS (
  SELECT hash(name, target) AS label, name, target
  FROM {{spans}}
  GROUP BY name, target
),
placed AS (
  SELECT roots.stream, roots.key, roots.label, roots.depth, roots.duration,
    roots.label AS node, NULL::UBIGINT AS parent_node
  FROM spans AS roots
  ANTI JOIN spans AS parents
  ON parents.stream = roots.stream AND parents.key = roots.parent_key
  UNION ALL
  SELECT spans.stream, spans.key, spans.label, spans.depth, spans.duration,
    hash(placed.node, spans.label), placed.node
  FROM placed
  JOIN (SELECT * FROM spans WHERE depth IN (SELECT p.depth + 1 FROM placed AS p)) AS spans
  ON spans.stream = placed.stream AND spans.parent_key = placed.key
),
nodes AS MATERIALIZED (
  SELECT
    node, parent_node,
    any_value(label) AS label,
    count(*) AS count,
    sum(duration)::BIGINT AS total_ns
  FROM placed
  GROUP BY node, parent_node
),
named AS MATERIALIZED (
  SELECT
    nodes.node, nodes.parent_node, labels.name, labels.target, nodes.count, nodes.total_ns,
    nodes.total_ns - coalesce(below.total_ns, 0)::BIGINT AS self_ns
  FROM nodes
  JOIN labels ON labels.label = nodes.label
  LEFT JOIN (
    SELECT parent_node, sum(total_ns) AS total_ns FROM nodes GROUP BY parent_node
  ) AS below
  ON below.parent_node = nodes.node
),
paths AS (
  SELECT [name] AS path, * FROM named WHERE parent_node IS NULL
  UNION ALL
  SELECT list_append(paths.path, named.name), named.*
  FROM paths JOIN named ON named.parent_node = paths.node
)
SELECT path, len(path) - 1 AS depth, name, target, count, total_ns, self_ns
FROM paths
