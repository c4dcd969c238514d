-- The read model with the columns and the indexes of factstream's order_projections.
CREATE TABLE order_projections (
    order_id TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL,
    items JSON NOT NULL,
    status TEXT NOT NULL,
    tracking_number TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    shipped_at TIMESTAMPTZ
);
CREATE INDEX order_projections_customer ON order_projections (customer_id, order_id);
CREATE INDEX order_projections_status ON order_projections (status, order_id);
