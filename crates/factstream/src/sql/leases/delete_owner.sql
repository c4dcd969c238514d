-- Forgets a process that is gone: it stands where it was seen, and owns nothing. $1 owner, $2 its beat.
DELETE FROM fs_owners
WHERE owner = $1 AND beat = $2 AND NOT EXISTS (SELECT 1 FROM fs_leases l WHERE l.owner = fs_owners.owner)
