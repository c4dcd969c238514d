-- The log and what an append needs. Run once, in one transaction, under a lock. One statement ends at ";".

-- The head of the log. Positions come from here, never from a sequence: a sequence shows gaps, and numbers out of commit
-- order. Its row is locked as late as possible and held for one short exchange.
CREATE TABLE fs_log (
    id   SMALLINT PRIMARY KEY CHECK (id = 1),
    head BIGINT NOT NULL
);
INSERT INTO fs_log (id, head) VALUES (1, 0);

-- The log: every event, in commit order. event_data and metadata hold the exact JSON text (json, not jsonb).
CREATE TABLE events (
    position       BIGINT PRIMARY KEY,
    aggregate_type TEXT NOT NULL,
    aggregate_id   TEXT NOT NULL,
    version        BIGINT NOT NULL,
    event_id       UUID NOT NULL UNIQUE,
    event_type     TEXT NOT NULL,
    schema_version BIGINT NOT NULL,
    event_data     JSON NOT NULL,
    metadata       JSON NOT NULL,
    timestamp      TIMESTAMPTZ NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, version)
);

-- Idempotency keys of commands, and their first outcome.
CREATE TABLE fs_command_keys (
    key            TEXT PRIMARY KEY,
    fingerprint    TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id   TEXT NOT NULL,
    version        BIGINT NOT NULL,
    position       BIGINT NOT NULL,
    recorded_at    TEXT NOT NULL
);
