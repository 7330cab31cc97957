-- Thread spans with keys that are unique in their stream. Rows of depth 0 all have id -1, one a chain, and
-- parent 0, which is another span's id: a chain's key is the negative of its number. (A sum, because DuckDB
-- works out a count with a FILTER anew for each row of the window.)
SELECT
  stream_id, thread_name, name, target, depth, duration,
  id AS key,
  parent AS parent_key
FROM {{spans}}
WHERE depth > 1
UNION ALL
SELECT
  stream_id, thread_name, name, target, depth, duration,
  CASE WHEN depth = 0 THEN -chain ELSE id END AS key,
  CASE WHEN depth = 1 THEN -chain END AS parent_key
FROM (
  SELECT *, greatest(1, sum((depth = 0)::INTEGER) OVER (
    PARTITION BY stream_id ORDER BY "begin", depth ROWS UNBOUNDED PRECEDING
  ))::BIGINT AS chain
  FROM {{spans}}
  WHERE depth <= 1
)
