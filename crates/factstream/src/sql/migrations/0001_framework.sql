-- Everything that factstream keeps beside the log. The same statements on every engine; one statement ends at ";".
-- Times are RFC 3339 text, UTC, six digits. Run once, under a lock, by migrations.rs.

-- How far each projection (and the relay) has come in the log.
CREATE TABLE fs_checkpoints (
    handler    TEXT PRIMARY KEY,
    position   BIGINT NOT NULL,
    updated_at TEXT NOT NULL
);

-- Which events a handler has handled: one row for each, written in the transaction of the effects.
CREATE TABLE fs_inbox (
    handler    TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    handled_at TEXT NOT NULL,
    PRIMARY KEY (handler, event_id)
);
CREATE INDEX fs_inbox_age ON fs_inbox (handled_at);

-- Keys that stand still because an event of theirs failed. next_attempt_at is NULL when that event is a dead letter.
CREATE TABLE fs_blocked_keys (
    handler         TEXT NOT NULL,
    event_key       TEXT NOT NULL,
    head_id         BIGINT NOT NULL,
    next_attempt_at TEXT,
    parked          BIGINT NOT NULL,
    PRIMARY KEY (handler, event_key)
);
CREATE INDEX fs_blocked_keys_due ON fs_blocked_keys (handler, next_attempt_at);

-- Events that wait: being retried, dead, or parked behind one of these; and the record of those that were dead once.
-- state: retrying, dead, parked, handled, discarded. value and record_key are the raw bytes.
CREATE TABLE fs_dead_letters (
    id            BIGINT PRIMARY KEY,
    handler       TEXT NOT NULL,
    event_key     TEXT NOT NULL,
    state         TEXT NOT NULL,
    event_id      TEXT NOT NULL,
    event_type    TEXT,
    position      BIGINT,
    topic         TEXT NOT NULL,
    partition     BIGINT NOT NULL,
    record_offset BIGINT NOT NULL,
    record_key    BYTEA,
    value         BYTEA,
    headers       TEXT NOT NULL,
    recorded_at   TEXT,
    reason        TEXT,
    attempts      BIGINT NOT NULL,
    died          BOOLEAN NOT NULL,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
);
CREATE INDEX fs_dead_letters_key ON fs_dead_letters (handler, event_key, id);
CREATE INDEX fs_dead_letters_state ON fs_dead_letters (state, id);

-- What happened to each of them: every failed attempt, and every redrive, edit and discard.
CREATE TABLE fs_dead_letter_history (
    letter_id BIGINT NOT NULL,
    entry     BIGINT NOT NULL,
    at        TEXT NOT NULL,
    action    TEXT NOT NULL,
    detail    TEXT NOT NULL,
    PRIMARY KEY (letter_id, entry)
);

-- Counters that give out ids.
CREATE TABLE fs_counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO fs_counters (name, value) VALUES ('dead_letter', 0);

-- The processes that run handlers; beat moves while a process lives.
CREATE TABLE fs_owners (
    owner TEXT PRIMARY KEY,
    beat  BIGINT NOT NULL
);

-- Which process owns what may have one owner only; the token is a new one with each owner.
CREATE TABLE fs_leases (
    name  TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    token BIGINT NOT NULL
);

-- The newest snapshot of long streams.
CREATE TABLE fs_snapshots (
    aggregate_type TEXT NOT NULL,
    aggregate_id   TEXT NOT NULL,
    version        BIGINT NOT NULL,
    schema_version BIGINT NOT NULL,
    state          TEXT NOT NULL,
    taken_at       TEXT NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
);

-- The shape of each read model's table as it was made, so that a changed struct is noticed.
CREATE TABLE fs_read_models (
    table_name TEXT PRIMARY KEY,
    shape      TEXT NOT NULL
);

-- The embedded broker: topics, their records, and where each group stands.
CREATE TABLE fs_topics (
    topic      TEXT PRIMARY KEY,
    partitions BIGINT NOT NULL
);
CREATE TABLE fs_partitions (
    topic         TEXT NOT NULL,
    partition     BIGINT NOT NULL,
    oldest_offset BIGINT NOT NULL,
    next_offset   BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);
CREATE TABLE fs_records (
    topic         TEXT NOT NULL,
    partition     BIGINT NOT NULL,
    record_offset BIGINT NOT NULL,
    record_key    BYTEA,
    value         BYTEA,
    headers       TEXT NOT NULL,
    published_at  TEXT NOT NULL,
    PRIMARY KEY (topic, partition, record_offset)
);
CREATE TABLE fs_group_offsets (
    group_name  TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   BIGINT NOT NULL,
    next_offset BIGINT NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
);
