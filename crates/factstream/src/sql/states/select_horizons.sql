-- How far streams of one type reached whose events were deleted. $1 aggregate type, {ids}: their ids.
SELECT aggregate_id, version
FROM fs_horizons
WHERE aggregate_type = $1 AND aggregate_id IN ({ids})
