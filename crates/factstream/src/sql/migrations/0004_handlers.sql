-- Handlers get an identity: which build of which service runs them, and a generation that every mark is fenced by.

-- One row for each handler. kind: read_model, projection, consumer. shape says what its effects depend on and
-- build is the digest of all that must match; event_types maps each type to the topic that it comes from (JSON).
CREATE TABLE fs_handlers (
    handler       TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    service       TEXT NOT NULL,
    generation    BIGINT NOT NULL,
    build         TEXT NOT NULL,
    shape         TEXT NOT NULL,
    event_types   TEXT NOT NULL,
    topics        TEXT NOT NULL,
    shards        BIGINT NOT NULL,
    marks_inbox   BOOLEAN NOT NULL,
    registered_at TEXT NOT NULL
);

-- Every build that a handler has had, and the last generation that it ran. A build that comes back is not a new one.
CREATE TABLE fs_handler_builds (
    handler    TEXT NOT NULL,
    build      TEXT NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (handler, build)
);

-- Rebuilds under way. tables: the names of the tables beside the live ones (JSON).
CREATE TABLE fs_rebuilds (
    rebuild  BIGINT PRIMARY KEY,
    handler  TEXT NOT NULL,
    build    TEXT NOT NULL,
    tables   TEXT NOT NULL,
    owner    TEXT NOT NULL,
    begun_at TEXT NOT NULL
);
INSERT INTO fs_counters (name, value) VALUES ('rebuild', 0);

-- The next offset of each partition that a consumer has come to, written with the effects. newest_at is the newest time of a
-- record that it has read there: a topic that was made again has only newer ones.
CREATE TABLE fs_offsets (
    handler     TEXT NOT NULL,
    cluster     TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   BIGINT NOT NULL,
    next_offset BIGINT NOT NULL,
    newest_at   TEXT,
    generation  BIGINT NOT NULL,
    updated_at  TEXT NOT NULL,
    PRIMARY KEY (handler, cluster, topic, partition)
);

-- How many events of types that no handler of it names a consumer has passed over.
CREATE TABLE fs_skipped_types (
    handler    TEXT NOT NULL,
    event_type TEXT NOT NULL,
    events     BIGINT NOT NULL,
    PRIMARY KEY (handler, event_type)
);

-- A checkpoint belongs to a generation and a shard (from 0, of so many). Generation 0 is the framework's own: the relay's and
-- those of rebuilds. A negative generation is an earlier division into shards, which still says what was handled.
CREATE TABLE fs_checkpoints_new (
    handler    TEXT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 0,
    shard      BIGINT NOT NULL DEFAULT 0,
    shards     BIGINT NOT NULL DEFAULT 1,
    position   BIGINT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (handler, generation, shard)
);
-- What earlier releases called `orders (rebuild)` is a rebuild that never switched.
DELETE FROM fs_inbox WHERE handler IN (
    SELECT c.handler FROM fs_checkpoints c JOIN fs_checkpoints o ON c.handler = o.handler || ' (rebuild)');
DELETE FROM fs_blocked_keys WHERE handler IN (
    SELECT c.handler FROM fs_checkpoints c JOIN fs_checkpoints o ON c.handler = o.handler || ' (rebuild)');
DELETE FROM fs_dead_letters WHERE handler IN (
    SELECT c.handler FROM fs_checkpoints c JOIN fs_checkpoints o ON c.handler = o.handler || ' (rebuild)');
DELETE FROM fs_checkpoints WHERE handler IN (
    SELECT c.handler FROM fs_checkpoints c JOIN fs_checkpoints o ON c.handler = o.handler || ' (rebuild)');
-- What they called `orders#2/4` is the second of four shards; the number of shards stands for the generation until the handler
-- is registered, for an earlier division may have been left behind.
INSERT INTO fs_checkpoints_new (handler, generation, shard, shards, position, updated_at)
SELECT CASE WHEN is_shard THEN substr(c, 1, length(c) - 1) ELSE handler END,
       CASE WHEN is_shard THEN CAST(substr(handler, length(a) + 1) AS BIGINT) WHEN handler = 'relay' THEN 0 ELSE 1 END,
       CASE WHEN is_shard THEN CAST(substr(b, length(c) + 1) AS BIGINT) - 1 ELSE 0 END,
       CASE WHEN is_shard THEN CAST(substr(handler, length(a) + 1) AS BIGINT) ELSE 1 END,
       position, updated_at
FROM (
    SELECT handler, position, updated_at, a, b, c,
           length(a) < length(handler) AND substr(a, length(a)) = '/' AND length(c) < length(b) AND length(c) > 1
           AND substr(c, length(c)) = '#' AS is_shard
    FROM (
        SELECT handler, position, updated_at, a, b, rtrim(b, '0123456789') AS c
        FROM (
            SELECT handler, position, updated_at, rtrim(handler, '0123456789') AS a,
                   rtrim(rtrim(handler, '0123456789'), '/') AS b
            FROM fs_checkpoints
        ) AS one
    ) AS two
) AS three;
DROP TABLE fs_checkpoints;
ALTER TABLE fs_checkpoints_new RENAME TO fs_checkpoints;

-- Which handler a read model's table belongs to.
ALTER TABLE fs_read_models ADD COLUMN handler TEXT;

-- Which build of each handler a process runs (JSON: handler to build).
ALTER TABLE fs_owners ADD COLUMN builds TEXT NOT NULL DEFAULT '{}';
