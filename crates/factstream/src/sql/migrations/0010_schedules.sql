-- Recurring work, as the build that runs it declares it. Occurrences until last_slot were considered; next_due is for people to see (NULL:
-- there is none any more).
CREATE TABLE fs_schedules (
    handler   TEXT NOT NULL,
    name      TEXT NOT NULL,
    line      TEXT NOT NULL,
    zone      TEXT NOT NULL,
    last_slot TEXT NOT NULL,
    next_due  TEXT,
    paused    BOOLEAN NOT NULL,
    PRIMARY KEY (handler, name)
);
