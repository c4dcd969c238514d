-- Orders created, orders shipped, all events.
SELECT
    count(*) FILTER (WHERE sequence = 1 AND event_type = 'OrderCreated'),
    count(*) FILTER (WHERE sequence = 2 AND event_type = 'OrderShipped'),
    count(*)
FROM events
