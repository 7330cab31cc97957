-- Threads, then async spans.
SELECT * FROM (SELECT * FROM {{threads}} UNION ALL SELECT * FROM {{async}})
ORDER BY stream_id = '', stream_id, "begin", id
