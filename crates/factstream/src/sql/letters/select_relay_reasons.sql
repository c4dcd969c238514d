-- Why some of the relay's keys wait, of a bounded number of them. $1 the relay's name among the handlers, $2 keys at most.
SELECT substr(l.reason, 1, 1000) AS reason
FROM fs_blocked_keys b JOIN fs_dead_letters l ON l.id = b.head_id
WHERE b.handler = $1
LIMIT $2
