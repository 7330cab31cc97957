SELECT
  stream_id, thread_name, id, parent, depth, hash, "begin", "end", duration, name, target, filename, line
FROM {{spans}}
ORDER BY stream_id, "begin", id
