-- Other ids of the instances of process managers, as NAME=VALUE. An instance keeps its aliases until it is forgotten.
CREATE TABLE fs_process_aliases (
    process    TEXT NOT NULL,
    alias      TEXT NOT NULL,
    process_id TEXT NOT NULL,
    PRIMARY KEY (process, alias)
);
CREATE INDEX fs_process_aliases_of ON fs_process_aliases (process, process_id);
