-- Begin and end events paired by span id. A span whose end never came, or came with another clock before its
-- begin, is open: it has no end and no duration. The first of repeated events of a kind counts.
SELECT
  span_id,
  arg_min(parent_span_id, time) FILTER (event_type = 'begin') AS parent_span_id,
  arg_min(depth, time) FILTER (event_type = 'begin') AS depth,
  arg_min(hash, time) FILTER (event_type = 'begin') AS hash,
  min(time) FILTER (event_type = 'begin') AS "begin",
  CASE WHEN min(time) FILTER (event_type = 'end') >= min(time) FILTER (event_type = 'begin')
    THEN min(time) FILTER (event_type = 'end') END AS "end",
  epoch_ns(CASE WHEN min(time) FILTER (event_type = 'end') >= min(time) FILTER (event_type = 'begin')
    THEN min(time) FILTER (event_type = 'end') END)
    - epoch_ns(min(time) FILTER (event_type = 'begin')) AS duration,
  coalesce(
    min(time) FILTER (event_type = 'end') < min(time) FILTER (event_type = 'begin'), true
  ) AS open,
  arg_min(name, time) FILTER (event_type = 'begin') AS name,
  arg_min(target, time) FILTER (event_type = 'begin') AS target,
  arg_min(filename, time) FILTER (event_type = 'begin') AS filename,
  arg_min(line, time) FILTER (event_type = 'begin') AS line,
  arg_min(thread_id, time) FILTER (event_type = 'begin') AS begin_thread_id,
  arg_min(thread_id, time) FILTER (event_type = 'end') AS end_thread_id
FROM {{async_events}}
GROUP BY span_id
HAVING count(*) FILTER (event_type = 'begin') > 0
