-- Registers a handler, or what it is from now on. $1 handler, $2 kind, $3 service, $4 generation, $5 build, $6 shape,
-- $7 event types and their topics (JSON), $8 topics to read (JSON), $9 shards, $10 marks its inbox, $11 now.
INSERT INTO fs_handlers (handler, kind, service, generation, build, shape, event_types, topics, shards, marks_inbox,
                         registered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (handler) DO UPDATE
SET kind = excluded.kind, service = excluded.service, generation = excluded.generation, build = excluded.build,
    shape = excluded.shape, event_types = excluded.event_types, topics = excluded.topics, shards = excluded.shards,
    marks_inbox = excluded.marks_inbox, registered_at = excluded.registered_at
