-- The generation of a handler, and whether any of its keys is blocked. $1 handler.
SELECT h.generation, EXISTS (SELECT 1 FROM fs_blocked_keys b WHERE b.handler = h.handler) AS blocked
FROM fs_handlers h
WHERE h.handler = $1
