-- Spans that have both ends and last.
SELECT
  '' AS stream_id, 'async' AS thread_name, span_id AS id, parent_span_id AS parent, depth, hash,
  "begin", "end", duration, name, target, filename, line
FROM {{async_spans}}
WHERE "begin" < "end"
ORDER BY "begin", id
