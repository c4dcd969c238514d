-- The head of the log: the position of its last event, or of the last one that was deleted.
SELECT max(head, coalesce((SELECT max(position) FROM events), 0))
FROM fs_log
WHERE id = 1
