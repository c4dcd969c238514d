-- The processes there are but for one, their beats, which builds they run, and how many leases each has. $1 the one.
SELECT o.owner, o.beat, o.builds, count(l.name) AS leases
FROM fs_owners o LEFT JOIN fs_leases l ON l.owner = o.owner
WHERE o.owner <> $1
GROUP BY o.owner, o.beat, o.builds
