-- A stream's version outlives its events: what was deleted is not taken again. Run once, in one transaction.

-- How far the streams reached whose events were deleted.
CREATE TABLE fs_horizons (
    aggregate_type TEXT NOT NULL,
    aggregate_id   TEXT NOT NULL,
    version        INTEGER NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
) WITHOUT ROWID;

CREATE TRIGGER fs_horizons_after_delete AFTER DELETE ON events BEGIN
    INSERT INTO fs_horizons (aggregate_type, aggregate_id, version)
    VALUES (OLD.aggregate_type, OLD.aggregate_id, OLD.version)
    ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET version = max(version, excluded.version);
END;
