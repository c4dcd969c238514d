-- Where appends begin: the head of the log, as in select_head.sql, and whether events were ever deleted.
SELECT max(head, coalesce((SELECT max(position) FROM events), 0)), EXISTS (SELECT 1 FROM fs_horizons)
FROM fs_log
WHERE id = 1
