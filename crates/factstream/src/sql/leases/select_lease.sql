-- Who has a lease, and the owner's beat, -1 when nobody knows it. $1 name.
SELECT l.owner, l.token, coalesce(o.beat, -1) AS beat
FROM fs_leases l LEFT JOIN fs_owners o ON o.owner = l.owner
WHERE l.name = $1
