-- What the store says of itself, in one row: its id, made once (by migrations.rs, for engines make ids in different ways), and
-- the namespace of its topics and groups in the broker, NULL until a process has started on it.
CREATE TABLE fs_store (
    store_id  TEXT PRIMARY KEY,
    namespace TEXT
);
