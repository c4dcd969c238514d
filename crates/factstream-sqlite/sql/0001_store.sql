-- The log and what an append needs. Run once, in one transaction.

-- Which migrations have run, here and of the framework.
CREATE TABLE fs_migrations (
    component  TEXT NOT NULL,
    version    INTEGER NOT NULL,
    applied_at TEXT NOT NULL,
    PRIMARY KEY (component, version)
);

-- The head of the log. Positions come from here, never from max + 1: one that was given out is never used again.
CREATE TABLE fs_log (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    head INTEGER NOT NULL
);
INSERT INTO fs_log (id, head) VALUES (1, 0);

-- The log: every event, in commit order. event_data and metadata hold the exact JSON text.
CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    aggregate_type TEXT NOT NULL,
    aggregate_id   TEXT NOT NULL,
    version        INTEGER NOT NULL,
    event_id       TEXT NOT NULL UNIQUE,
    event_type     TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    event_data     TEXT NOT NULL,
    metadata       TEXT NOT NULL,
    timestamp      TEXT NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, version)
);

-- Idempotency keys of commands, and their first outcome.
CREATE TABLE fs_command_keys (
    key            TEXT PRIMARY KEY,
    fingerprint    TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id   TEXT NOT NULL,
    version        INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    recorded_at    TEXT NOT NULL
);
