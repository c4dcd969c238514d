-- The instances of process managers. status: running, or ended: the row stays as a tombstone. state is JSON in the shape of state_version;
-- version counts the inputs that it has taken, and position is that of the newest event among them.
CREATE TABLE fs_processes (
    process       TEXT NOT NULL,
    process_id    TEXT NOT NULL,
    status        TEXT NOT NULL,
    state         TEXT NOT NULL,
    state_version BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    position      BIGINT NOT NULL,
    started_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    ended_at      TEXT,
    PRIMARY KEY (process, process_id)
);
CREATE INDEX fs_processes_ended ON fs_processes (ended_at) WHERE ended_at IS NOT NULL;

-- Every input that an instance has taken, and what it asked for then. kind: event, refused, timer, or rebuilt (a person had the state
-- made again). An event is kept by its position in the log, and in input only where a person has edited it. input has the
-- refusal (JSON) or the timer's name. acts is JSON.
CREATE TABLE fs_process_history (
    process    TEXT NOT NULL,
    process_id TEXT NOT NULL,
    version    BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    input_id   TEXT NOT NULL,
    position   BIGINT NOT NULL,
    input      TEXT,
    acts       TEXT NOT NULL,
    at         TEXT NOT NULL,
    PRIMARY KEY (process, process_id, version)
);
