-- A handler as it is registered. $1 handler.
SELECT handler, kind, service, generation, build, shape, event_types, topics, shards, marks_inbox, registered_at
FROM fs_handlers
WHERE handler = $1
