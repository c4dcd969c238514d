-- Takes a lease over from an owner that does not live any more. $1 name, $2 new owner, $3 old owner, $4 its token.
UPDATE fs_leases SET owner = $2, token = token + 1
WHERE name = $1 AND owner = $3 AND token = $4
