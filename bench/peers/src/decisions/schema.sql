-- The log as disintegrate-postgres 4 makes it for events whose domain id is order_id, from its files in event_store/sql. Its own
-- migration says 4294967295 in hexadecimal, which PostgreSQL reads since 16; the benchmark's server may be 15.
CREATE SEQUENCE seq_event_event_id;
CREATE TABLE event (
    event_id BIGINT PRIMARY KEY DEFAULT nextval('seq_event_event_id'),
    event_type VARCHAR(255),
    payload BYTEA,
    inserted_at TIMESTAMP DEFAULT now(),
    order_id UUID
)
-- Without statistics an append's look for newer events goes by the indexes of types and orders; with them by the end of the
-- primary key, where everybody inserts, and conflicts far more often. So they are not made in the middle of a run.
WITH (autovacuum_enabled = off);
CREATE INDEX idx_event_type_btree ON event (event_type);
CREATE INDEX idx_event_order_id ON event (order_id) WHERE order_id IS NOT NULL;

-- An append tells by locks after which event it began.
CREATE FUNCTION event_store_begin_epoch() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id BIGINT;
    db_id INT;
BEGIN
    SELECT last_value INTO id FROM seq_event_event_id;
    SELECT oid INTO db_id FROM pg_database WHERE datname = current_database();
    PERFORM pg_try_advisory_xact_lock_shared(db_id, 0);
    PERFORM pg_try_advisory_xact_lock_shared(1, (id & 4294967295)::bit(32)::integer);
    PERFORM pg_try_advisory_xact_lock_shared(2, (id >> 32)::bit(32)::integer);
END
$$;

-- The last event that a reader may see: none after which an append is still under way.
CREATE FUNCTION event_store_current_epoch() RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    persisted_event_id BIGINT;
    pending_event_id BIGINT;
    db_id INT;
BEGIN
    SELECT coalesce(max(event_id), 0) INTO persisted_event_id FROM event;
    SELECT oid INTO db_id FROM pg_database WHERE datname = current_database();
    SELECT min((l3.objid::bigint << 32) + l2.objid::bigint)
    INTO pending_event_id
    FROM pg_locks l1
    INNER JOIN pg_locks l2 ON l1.pid = l2.pid
    INNER JOIN pg_locks l3 ON l1.pid = l3.pid
    WHERE l1.classid = db_id AND l2.classid = 1 AND l3.classid = 2 AND l1.locktype = 'advisory';
    RETURN least(coalesce(pending_event_id, persisted_event_id), persisted_event_id);
END
$$;
