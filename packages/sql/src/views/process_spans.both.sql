-- Threads, then async spans: each comes in order, and UNION ALL keeps it.
SELECT * FROM {{threads}} UNION ALL SELECT * FROM {{async}}
