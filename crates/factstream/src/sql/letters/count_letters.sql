-- For each handler: how many keys wait for a retry, how many for a cause, how many are dead, how many events are parked behind them.
SELECT handler,
       CAST(sum(CASE WHEN next_attempt_at IS NULL OR waits_for IS NOT NULL THEN 0 ELSE 1 END) AS BIGINT) AS retrying,
       CAST(sum(CASE WHEN next_attempt_at IS NULL OR waits_for IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS waiting,
       CAST(sum(CASE WHEN next_attempt_at IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS dead,
       CAST(sum(parked) AS BIGINT) AS parked
FROM fs_blocked_keys
GROUP BY handler
