-- Messages that differ in ids, addresses and numbers only are one pattern.
SELECT
  regexp_replace(
    regexp_replace(
      regexp_replace(
        msg,
        '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}', '<uuid>', 'g'
      ),
      '0x[0-9a-fA-F]+', '<hex>', 'g'
    ),
    '[0-9]+(\.[0-9]+)*', '<num>', 'g'
  ) AS pattern,
  target,
  level,
  count(*) AS count,
  count(DISTINCT process_id) AS processes,
  min(time) AS first_time,
  max(time) AS last_time,
  arg_min(msg, time) AS example
FROM {{log_entries}}
GROUP BY pattern, target, level
