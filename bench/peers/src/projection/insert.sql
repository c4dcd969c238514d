-- An order was created. Once more is harmless: the peers deliver at least once.
-- $1 the order, $2 the customer, $3 the items.
INSERT INTO order_projections (order_id, customer_id, items, status, created_at)
VALUES ($1, $2, $3, 'PENDING', now())
ON CONFLICT (order_id) DO NOTHING
