-- Counts events of a type that a consumer has passed over. $1 handler, $2 event type, $3 how many.
INSERT INTO fs_skipped_types (handler, event_type, events) VALUES ($1, $2, $3)
ON CONFLICT (handler, event_type) DO UPDATE SET events = fs_skipped_types.events + excluded.events
