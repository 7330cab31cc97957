-- Begin and end events paired by span id; an id used again pairs first with first. A span without an end
-- event is open: it has neither end nor duration. An end before its begin (two cores' clocks) closes the
-- span at its begin.
SELECT
  begins.span_id,
  begins.parent_span_id,
  begins.depth,
  begins.hash,
  begins.time AS "begin",
  CASE WHEN ends.time IS NOT NULL THEN greatest(ends.time, begins.time) END AS "end",
  CASE WHEN ends.time IS NOT NULL THEN greatest(epoch_ns(ends.time) - epoch_ns(begins.time), 0) END
    AS duration,
  ends.time IS NULL AS open,
  begins.name,
  begins.target,
  begins.filename,
  begins.line,
  begins.thread_id AS begin_thread_id,
  ends.thread_id AS end_thread_id
FROM (
  SELECT *, row_number() OVER (PARTITION BY span_id ORDER BY time, thread_id, block_id) AS use
  FROM {{async_events}}
  WHERE event_type = 'begin'
) AS begins
LEFT JOIN (
  SELECT span_id, time, thread_id,
    row_number() OVER (PARTITION BY span_id ORDER BY time, thread_id, block_id) AS use
  FROM {{async_events}}
  WHERE event_type = 'end'
) AS ends
ON ends.span_id = begins.span_id AND ends.use = begins.use
