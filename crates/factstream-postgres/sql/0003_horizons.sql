-- A stream's version outlives its events: what was deleted is not taken again. Run once, in one transaction.

-- How far the streams reached whose events were deleted.
CREATE TABLE fs_horizons (
    aggregate_type TEXT NOT NULL,
    aggregate_id   TEXT NOT NULL,
    version        BIGINT NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
);

CREATE FUNCTION fs_keep_versions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fs_horizons AS h (aggregate_type, aggregate_id, version)
    SELECT aggregate_type, aggregate_id, max(version) FROM gone GROUP BY aggregate_type, aggregate_id
    ORDER BY aggregate_type, aggregate_id
    ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET version = greatest(h.version, excluded.version);
    RETURN NULL;
END $$;
CREATE TRIGGER fs_horizons_after_delete AFTER DELETE ON events
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION fs_keep_versions();

CREATE FUNCTION fs_keep_all_versions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fs_horizons AS h (aggregate_type, aggregate_id, version)
    SELECT aggregate_type, aggregate_id, max(version) FROM events GROUP BY aggregate_type, aggregate_id
    ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET version = greatest(h.version, excluded.version);
    RETURN NULL;
END $$;
CREATE TRIGGER fs_horizons_before_truncate BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION fs_keep_all_versions();
