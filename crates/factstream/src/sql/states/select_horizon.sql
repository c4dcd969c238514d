-- How far a stream reached whose events were deleted; no row when none was. $1 aggregate type, $2 aggregate id.
SELECT version
FROM fs_horizons
WHERE aggregate_type = $1 AND aggregate_id = $2
