-- Timers that are pending. A timer is one of a handler, by its key (in whose order it is handled) and name; who sets it again gives it
-- another token, by which it is deleted when it takes effect. wakes_at is due_at while it is to be looked for, and NULL while it waits
-- among the letters, behind an event of its key or for another attempt. origin: who asked for it, in which conversation (JSON).
CREATE TABLE fs_timers (
    handler      TEXT NOT NULL,
    timer_key    TEXT NOT NULL,
    name         TEXT NOT NULL,
    token        TEXT NOT NULL,
    due_at       TEXT NOT NULL,
    wakes_at     TEXT,
    payload_type TEXT NOT NULL,
    payload      TEXT NOT NULL,
    origin       TEXT NOT NULL,
    set_at       TEXT NOT NULL,
    PRIMARY KEY (handler, timer_key, name)
);
CREATE INDEX fs_timers_due ON fs_timers (handler, wakes_at, timer_key, name);
