-- Seals of the log: one row for each run of positions that was sealed together, up to size and as many as it has leaves. leaves are
-- hashes of 32 bytes, one a position, in this form; peaks and root are the tree's over all leaves up to here. Rows are added
-- and never changed: services may not.
CREATE TABLE fs_seals (
    size      BIGINT NOT NULL PRIMARY KEY,
    form      BIGINT NOT NULL,
    leaves    BYTEA NOT NULL,
    peaks     BYTEA NOT NULL,
    root      BYTEA NOT NULL,
    sealed_at TEXT NOT NULL
);

-- The salts of those leaves, 16 bytes a position, apart from them because they can be destroyed: zeros, of an event that was erased.
CREATE TABLE fs_seal_salts (
    size  BIGINT NOT NULL PRIMARY KEY,
    salts BYTEA NOT NULL
);
