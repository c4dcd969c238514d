-- Takes permits of a shared rate: the time after the last one, nanoseconds since 1970. A bucket whose next time is not credible begins anew.
-- $1 handler, $2 key, $3 the earliest credible time, $4 the latest, $5 how long the permits take.
INSERT INTO fs_rates (handler, rate_key, next_at)
VALUES ($1, $2, CAST($3 AS BIGINT) + CAST($5 AS BIGINT))
ON CONFLICT (handler, rate_key) DO UPDATE SET next_at = CAST($5 AS BIGINT) + CASE
    WHEN fs_rates.next_at < $3 OR fs_rates.next_at > $4 THEN CAST($3 AS BIGINT)
    ELSE fs_rates.next_at
END
RETURNING next_at
