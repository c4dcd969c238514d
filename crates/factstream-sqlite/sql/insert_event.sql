-- Appends one event. ?1 position, ?2 aggregate type, ?3 aggregate id, ?4 version, ?5 event id, ?6 event type,
-- ?7 schema version, ?8 data, ?9 metadata, ?10 timestamp.
INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data,
                    metadata, timestamp)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
