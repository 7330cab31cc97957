-- Each span with the time that none of its children has.
SELECT
  spans.*,
  spans.duration - coalesce(children.duration, 0)::BIGINT AS self_ns
FROM {{keyed_spans}} AS spans
LEFT JOIN (
  SELECT stream_id, parent_key, sum(duration) AS duration
  FROM {{keyed_spans}}
  WHERE parent_key IS NOT NULL
  GROUP BY stream_id, parent_key
) AS children
ON children.stream_id = spans.stream_id AND children.parent_key = spans.key
