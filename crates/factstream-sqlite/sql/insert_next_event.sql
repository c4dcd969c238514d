-- As insert_event.sql, right behind version ?4 - 1: where the stream does not reach that far, the version is null, and refused.
INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data,
                    metadata, timestamp)
VALUES (?1, ?2, ?3,
        (SELECT version + 1 FROM events WHERE aggregate_type = ?2 AND aggregate_id = ?3 AND version = ?4 - 1),
        ?5, ?6, ?7, ?8, ?9, ?10)
