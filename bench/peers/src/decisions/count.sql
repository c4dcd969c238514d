-- Orders created, orders shipped, all events.
SELECT
    count(DISTINCT order_id) FILTER (WHERE event_type = 'OrderCreated'),
    count(DISTINCT order_id) FILTER (WHERE event_type = 'OrderShipped'),
    count(*)
FROM event
