-- What waits for the handler of a service's scheduled work ($1), by what it is.
SELECT payload_type, count(*) AS waiting, min(due_at) AS first_due
FROM fs_timers
WHERE handler = $1
GROUP BY payload_type
ORDER BY payload_type
