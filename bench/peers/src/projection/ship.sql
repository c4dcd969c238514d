-- An order was shipped. $1 the order, $2 the tracking number.
UPDATE order_projections
SET status = 'SHIPPED', tracking_number = $2, shipped_at = now()
WHERE order_id = $1
